"""The feature tables of a run, and the fingerprint of what makes its maps."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vssl.audio import read_clip
from vssl.config import build
from vssl.config.identity import described
from vssl.config.networks import gpu_name, on_gpu
from vssl.config.settings import RunSettings
from vssl.core.hashing import file_sha256
from vssl.core.randomness import generator_for
from vssl.engine.feature_table import FeatureTable, RunTables, table_path
from vssl.engine.localizer import Localizer
from vssl.images import decode_image
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import EVALUATION_SIZE, POSITIVE, AudioClip, ImageBatch, Sample

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fingerprint:
    """What makes the maps of a run."""

    marks: dict[str, str]  # hashes of what is made of a fixed image and a fixed sound, "" for none
    code: tuple[str, ...]  # hashes of the files of the model and of what prepares its input
    other_code: tuple[str, ...]  # the same of the object prior and the negatives
    machine: tuple[object, ...] = ()  # see `machine_facts`


def take_fingerprint(localizer: Localizer, conditions: Sequence[AudioCondition]) -> Fingerprint:
    """Take the fingerprint of a run's networks, on the CPU and not compiled yet."""
    model, prior = localizer.model, localizer.prior
    pixels = generator_for(0, "fingerprint", "image").integers(0, 256, (272, 360, 3), np.uint8)
    picture = localizer.prepare(pixels, "fixed")
    image = picture.image[None]
    other = image if picture.prior_image is None else picture.prior_image[None]

    @functools.cache
    def encoded(name: str) -> torch.Tensor:
        frontend = localizer.frontend(name)
        noise = generator_for(0, "fingerprint", "audio").standard_normal(4 * frontend.rate)
        clip = AudioClip(0.1 * noise.astype(np.float32)[None], frontend.rate)
        return model.encode_audio(frontend(frontend.waveform(clip)[None]))

    def localized() -> torch.Tensor:
        vectors = encoded(POSITIVE)[:, None] if localizer.uses_audio else torch.empty(1, 1, 0)
        first = torch.zeros(1, dtype=torch.int64)
        whole = (0, 0, EVALUATION_SIZE, EVALUATION_SIZE)
        sample = Sample("fixed", Path(), Path(), boxes=(whole,), box_weights=(1.0,))
        alone = ImageBatch(
            first, image, first[None], ("fixed",), ((POSITIVE, 0),),
            sounding=((sample,),), pictured=((sample,),),
        )  # fmt: skip
        return model.localize(alone, vectors)

    frontends = localizer.frontends
    marks = {
        "image": _mark(lambda: model.encode_image(image)) if model.encodes_separately else "",
        "objects": "" if prior is None else _mark(lambda: prior(other)),
        "maps": _mark(localized) if model.takes_images else "",
        **{f"sound {name}": _mark(functools.partial(encoded, name)) for name in frontends},
    }
    return Fingerprint(
        marks,
        code=_code_of(model, localizer.transform, *frontends.values()),
        other_code=_code_of(prior, localizer.prior_transform, *conditions),
    )


def machine_facts(settings: RunSettings, loader: Mapping[str, int]) -> tuple[object, ...]:
    """Hardware, precision and batch sizes, on which last digits depend; begins to use a GPU."""
    device: list[object] = [gpu_name(settings.trainer)]
    if device == [None]:  # whose cores the processes share
        threads, processes = torch.get_num_threads(), str(settings.trainer.devices)
        device = [torch.backends.cpu.get_cpu_capability(), threads, processes]
    options: list[object] = [settings.model.channels_last, settings.model.fold_batch_norms]
    options += [settings.model.compile, settings.trainer.precision]
    return torch.__version__, *device, *options, loader["batch_size"], loader["audio_batch_size"]


def open_tables(
    settings: RunSettings,
    fingerprint: Fingerprint,
    samples: Sequence[Sample],
    plan: AudioPlan,
    provenance: Mapping[str, Any],
    *,
    keep: bool,
) -> RunTables:
    """Open the feature tables of a run: those of its images, and of the clips of its samples.

    What negatives make, such as noise, is encoded anew in every run. Empty tables where the
    networks run on a GPU, which encodes faster than a disk reads. Tables may be kept where this
    process encodes everything.
    """
    folder, gigabytes = settings.cache.get("folder"), settings.cache.get("gigabytes", 0)
    if folder is None or gigabytes == 0 or on_gpu(settings.trainer):
        return RunTables()
    folder = Path(str(folder)).expanduser().absolute()
    names = ("environment", "libraries", "inputs_sha256", "weights")
    known = [provenance[name] for name in names if name in provenance]
    common = known, fingerprint.code, fingerprint.machine

    def table(kind: str, length: int, mark: str, *facts: object) -> FeatureTable:
        path = table_path(folder, kind, mark, common, *facts) if mark else None
        return FeatureTable(path, length, limit_bytes=gigabytes * 1e9, keep=keep)

    marks = fingerprint.marks
    images = [str(sample.image_path) for sample in samples]
    clips = {sample.sample_id: str(sample.audio_path) for sample in samples}
    sounds = []
    for size, end in zip(plan.parts, accumulate(plan.parts), strict=True):
        name, first = plan.distinct[end - size]
        mark = marks.get(f"sound {name}", "")
        if mark and first.condition == POSITIVE:
            places = range(end - size, end)
            heard = [clips[plan.distinct[place][1].source_id] for place in places]
            facts = described(build.frontend_recipe(settings, name)), heard
            sounds.append((places, table("sounds", size, mark, *facts)))
    seen, prior = described(settings.model.image), described(settings.prior.group)
    objects = prior, provenance["prior"], images
    return RunTables(
        images=table("images", len(images), marks["image"], seen, images),
        objects=table("objects", len(images), marks["objects"], *objects),
        sounds=sounds,
    )


def _mark(encode: Callable[[], torch.Tensor]) -> str:
    """Hash of an encoding; empty where it cannot be made or is no tensor, and cannot be kept."""
    try:
        with torch.inference_mode():
            values = encode().float().contiguous().numpy()
    except Exception as error:  # of any model; if it fails on real inputs, it will say so there
        _log.info("no fingerprint, so nothing is kept: the model takes no test input (%s)", error)
        return ""
    return hashlib.sha256(values.data).hexdigest()


def _code_of(*objects: object) -> tuple[str, ...]:
    """Hashes of the files in which some objects' classes are written, and what reads files."""
    files = {Path(inspect.getfile(read)) for read in (read_clip, decode_image)}
    for each in objects:
        for kind in type(each).__mro__:
            if kind.__module__.partition(".")[0] not in ("builtins", "torch", "abc"):
                with contextlib.suppress(TypeError, OSError):  # typed in, or compiled
                    files.add(Path(inspect.getfile(kind)))
    return tuple(sorted(file_sha256(path) for path in files if path.is_file()))

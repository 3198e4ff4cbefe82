"""The cache of a run: what is kept of decoded images and encoded inputs, and what it depends on."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from vssl.cache import ArrayCache, Shelf, content_key
from vssl.commands import build
from vssl.commands.networks import channels_last, fold_batch_norms, gpu_name
from vssl.data.dataset import ImageShelves
from vssl.frontends import FrontEnd
from vssl.hashing import file_sha256
from vssl.images import Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.object_prior import ObjectPrior
from vssl.models.weights import WeightsReport
from vssl.negatives.base import AudioCondition
from vssl.randomness import generator_for
from vssl.records.fingerprint import config_hash
from vssl.types import EVALUATION_SIZE, POSITIVE, SAMPLE_RATE, AudioClip, ImageBatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunCache:
    """Shelves of a run, and the fingerprint of what makes its maps.

    Attributes:
        images: of images.
        audio: of encoded audio inputs, by front end.
        fingerprint: a hash of what the model and the prior make of a fixed image and a fixed sound,
            of their code, and of the hardware and batch sizes on which last digits depend.
    """

    images: ImageShelves
    audio: Mapping[str, Shelf]
    fingerprint: str


def open_cache(
    config: DictConfig,
    loader: build.LoaderOptions,
    *,
    model: LocalizationModel,
    frontends: Mapping[str, FrontEnd],
    transforms: tuple[Transform, Transform | None],
    prior: tuple[ObjectPrior, WeightsReport] | None,
    conditions: Sequence[AudioCondition],
) -> RunCache:
    """Open the shelves of a run.

    Args:
        config: with the groups `cache`, `model`, `prior` and `trainer`.
        loader: batch sizes, as `loader_options` gives them.
        model: the model on the CPU, not compiled yet.
        frontends: front end by audio condition.
        transforms: the image transforms of the model and, where it takes another, of the prior.
        prior: the object prior with its weights; None without one.
        conditions: the negatives, whose code counts.
    """
    folder = config.cache.folder
    cache = ArrayCache(
        folder and Path(folder).expanduser().absolute(), limit_bytes=config.cache.gigabytes * 1e9
    )
    transform, own = transforms
    image = _prepared(transform)
    prior_image = image if own is None else _prepared(own)
    seen = (_plain(config.model.image), _hash_of(image), *_decoders())
    prior_seen = seen
    if own is not None:
        prior_seen = (_plain(config.prior.image), _hash_of(prior_image), *_decoders())
    machine = _machine(config)

    @functools.cache
    def features() -> torch.Tensor:
        return model.encode_image(image[None])

    @functools.cache
    def encoded(frontend: FrontEnd) -> torch.Tensor:
        return model.encode_audio(_heard(frontend))

    def localized() -> torch.Tensor:
        vectors = torch.empty(1, 1, 0)
        if frontends:
            vectors = encoded(frontends[POSITIVE])[:, None]
        if model.compares:
            return model.similarity(features(), vectors)
        return model.localize(_seen(image), vectors)

    looks = _mark("image", features) if model.compares else ""
    hears = {
        name: _mark("sound", functools.partial(encoded, each)) for name, each in frontends.items()
    }

    def shelf(kind: str, *facts: object) -> Shelf:
        return cache.shelf(kind, *facts) if all(facts) else Shelf()

    objects = object_marks = None
    if prior is not None:
        network, weights = prior
        object_marks = _mark("image", lambda: network(prior_image[None]))
        objects = shelf("object_maps", prior_seen, weights.sha256, object_marks, machine)
    marks = [looks, *hears.values(), object_marks, _mark("image and sound", localized)]
    code = _code_of(model, *frontends.values(), *transforms, *(prior or ()), *conditions)
    return RunCache(
        images=ImageShelves(
            images=shelf("images", seen),
            prior_images=Shelf() if own is None else shelf("images", prior_seen),
            features=shelf("image_features", seen, looks, machine) if looks else None,
            object_maps=objects,
        ),
        audio={
            name: shelf(
                "audio_vectors", _plain(build.released_settings(config, name)), mark, machine
            )
            for name, mark in hears.items()
        },
        fingerprint=config_hash({"marks": marks, "code": code, "on": [machine, dict(loader)]}),
    )


def _plain(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def _decoders() -> list[str]:
    return [importlib.metadata.version(name) for name in ("pillow", "simplejpeg")]


def _machine(config: DictConfig) -> tuple[object, ...]:
    """What changes the last digits of a network's output besides its weights and its batch."""
    device, processes = gpu_name(config), "1"
    if device is None:  # whose cores the processes share
        device, processes = torch.backends.cpu.get_cpu_capability(), str(config.trainer.devices)
    quicker = channels_last(config), fold_batch_norms(config), config.model.compile
    options = *quicker, str(config.trainer.precision)
    return (torch.__version__, device, torch.get_num_threads(), processes, *options)


def _prepared(transform: Transform) -> torch.Tensor:
    """A fixed image as a network takes it."""
    random = generator_for(0, "fingerprint", "image")
    return prepare(transform, random.integers(0, 256, size=(272, 360, 3), dtype=np.uint8))


def _heard(frontend: FrontEnd) -> torch.Tensor:
    """A fixed sound behind a front end, `[1, ...]`."""
    noise = generator_for(0, "fingerprint", "audio").standard_normal(4 * SAMPLE_RATE)
    clip = AudioClip(0.1 * noise.astype(np.float32)[None])
    heard: torch.Tensor = frontend(frontend.waveform(clip)[None])
    return heard


def _seen(image: torch.Tensor) -> ImageBatch:
    """An image as a batch that meets one sound."""
    first = torch.zeros(1, dtype=torch.int64)
    truth = torch.ones(1, EVALUATION_SIZE, EVALUATION_SIZE)
    return ImageBatch(first, image[None], truth, first[None], ("fixed",), ((POSITIVE, 0),))


def _mark(kind: str, encode: Callable[[], torch.Tensor]) -> str:
    """Hash of an encoding; empty where it cannot be made or is no tensor, and cannot be kept."""
    try:
        with torch.inference_mode():
            return _hash_of(encode())
    except Exception as error:  # of any model; if it fails on real inputs, it will say so there
        _log.info(
            "no fingerprint, so nothing is kept: the model takes no test %s (%s)", kind, error
        )
        return ""


def _hash_of(values: torch.Tensor) -> str:
    return content_key(values.float().contiguous().numpy().data).hex()


def _code_of(*objects: object) -> list[str]:
    """Hashes of the files in which the classes of some objects are written."""
    files = set()
    for each in objects:
        for kind in type(each).__mro__:
            if kind.__module__.partition(".")[0] not in ("builtins", "torch", "abc"):
                with contextlib.suppress(TypeError, OSError):  # typed in, or compiled
                    files.add(Path(inspect.getfile(kind)))
    return sorted(file_sha256(path) for path in files if path.is_file())

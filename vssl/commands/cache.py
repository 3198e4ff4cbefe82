"""The cache of a run: what is kept of decoded images and encoded inputs, and what it depends on."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from vssl.cache import ArrayCache, Shelf, content_key
from vssl.commands import build
from vssl.commands.networks import channels_last, on_gpu
from vssl.data.dataset import ImageShelves
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import Pixels, Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.weights import WeightsReport
from vssl.randomness import generator_for
from vssl.types import SAMPLE_RATE, AudioClip

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunCache:
    """Shelves of a run, and the fingerprint of its networks.

    Attributes:
        images: of images.
        audio: of encoded audio inputs, by front end.
        fingerprint: what the networks make of a fixed image and a fixed sound, as a hash: it
            changes with weights, code and libraries.
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
    prior: WeightsReport | None,
) -> RunCache:
    """Open the shelves of a run.

    Args:
        config: with the groups `cache`, `model`, `prior` and `trainer`.
        loader: batch sizes, as `loader_options` gives them.
        model: the model on the CPU, not compiled yet.
        frontends: front end by audio condition.
        transforms: the image transforms of the model and, where it takes another, of the prior.
        prior: weights of the object prior; None without one.

    Raises:
        UsageError: for a size that is no number from 0.
    """
    size = config.cache.gigabytes
    if not isinstance(size, int | float) or not size >= 0:
        raise UsageError(f"Expected `cache.gigabytes` to be a number from 0, but got {size}.")
    folder = config.cache.folder
    cache = ArrayCache(folder and Path(folder).expanduser().absolute(), limit_bytes=size * 1e9)
    transform, own = transforms
    seen = (_plain(config.model.image), *_transformed(transform))
    prior_seen = (_plain(config.prior.image), *_transformed(own)) if own else seen
    machine = _machine(config)
    looks = _image_fingerprint(model, transform) if model.compares else ""
    hears = {name: _audio_fingerprint(model, each) for name, each in frontends.items()}
    batch, audio_batch = loader["batch_size"], loader["audio_batch_size"]

    def heard(name: str) -> Any:
        return _plain(build.released_settings(config, name))

    return RunCache(
        images=ImageShelves(
            images=cache.shelf("images", seen),
            prior_images=cache.shelf("images", prior_seen),
            features=cache.shelf("image_features", seen, looks, machine, batch)
            if looks else None,
            object_maps=cache.shelf("object_maps", prior_seen, prior.sha256, machine, batch)
            if prior else None,
        ),
        audio={
            name: cache.shelf("audio_vectors", heard(name), mark, machine, audio_batch)
            for name, mark in hears.items()
            if mark
        },
        fingerprint=" ".join([looks, *hears.values()]),
    )  # fmt: skip


def _plain(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def _machine(config: DictConfig) -> tuple[object, ...]:
    """What changes the last digits of a network's output besides its weights."""
    device = torch.backends.cpu.get_cpu_capability()
    if on_gpu(config) and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    options = channels_last(config), config.model.compile, str(config.trainer.precision)
    return (torch.__version__, device, torch.get_num_threads(), *options)


def _fixed_image() -> Pixels:
    random = generator_for(0, "fingerprint", "image")
    return random.integers(0, 256, size=(272, 360, 3), dtype=np.uint8)


def _transformed(transform: Transform) -> tuple[str, ...]:
    """What a transform makes of a fixed image, as a hash, and the decoders' versions."""
    versions = (importlib.metadata.version(name) for name in ("pillow", "simplejpeg"))
    return (_hash_of(prepare(transform, _fixed_image())), *versions)


def _image_fingerprint(model: LocalizationModel, transform: Transform) -> str:
    """Hash of what the model makes of a fixed image; empty when it takes none such."""
    image = prepare(transform, _fixed_image())
    return _mark("image", lambda: model.encode_image(image[None]))


def _audio_fingerprint(model: LocalizationModel, frontend: FrontEnd) -> str:
    """Hash of what the model makes of a fixed sound through a front end; empty as above."""
    noise = generator_for(0, "fingerprint", "audio").standard_normal(2 * SAMPLE_RATE)
    clip = AudioClip(0.1 * noise.astype(np.float32)[None])
    return _mark("sound", lambda: model.encode_audio(frontend(frontend.waveform(clip)[None])))


def _mark(kind: str, encode: Callable[[], torch.Tensor]) -> str:
    try:
        with torch.inference_mode():
            encoded = encode()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        _log.info("encodings are not kept: the model takes no test %s (%s)", kind, error)
        return ""
    return _hash_of(encoded)


def _hash_of(values: torch.Tensor) -> str:
    return content_key(values.float().contiguous().numpy().data).hex()

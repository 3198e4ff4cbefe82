"""What a run cannot be faster than: the networks alone, and the reading of pictures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
from inputs import settings, timed

from vssl.audio import read_clip
from vssl.config import build, networks
from vssl.config.settings import RunSettings
from vssl.core.devices import usable_cores
from vssl.images import Transform, decode_image, prepare, read_bytes, read_image
from vssl.negatives.plan import make_plan
from vssl.types import POSITIVE, Sample

BATCHES = {"cpu": (8, 16, 32), "cuda": (64, 128, 256)}
_READ_ALONE = 1024  # pictures of a run
_READ = 64  # pictures of a batch in `pictures_per_second`

Encode = Callable[[torch.Tensor], torch.Tensor]


def synchronized(work: Callable[[], object]) -> float:
    """Seconds of one call and of what it leaves on the GPU."""

    def whole() -> None:
        work()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()

    return timed(whole)


def pass_seconds(encode: Encode, batch: torch.Tensor, *, repeats: int = 3) -> float:
    """Seconds of a network's pass over a batch: the median, after one that does not count."""
    encode(batch)
    return median(synchronized(lambda: encode(batch)) for _ in range(repeats))


def network_inputs(
    asked: RunSettings, samples: Sequence[Sample], count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of a run's image and audio network, `count` of each."""
    some = list(islice(samples, count))
    transform, _ = build.build_transforms(asked)
    frontend = build.build_frontends(asked, [])[POSITIVE]
    images = [transform(read_image(s.image_path)) for s in some]
    waveforms = [frontend.waveform(read_clip(s.audio_path)) for s in some]
    with torch.inference_mode():
        inputs = frontend(torch.stack(waveforms))
    chosen = list(islice(cycle(range(len(some))), count))
    return torch.stack(images)[chosen], inputs[chosen]


def network_seconds(asked: RunSettings, *others: RunSettings, device: str = "cpu") -> float:
    """Seconds of a run's networks alone, in float32: each image and each distinct clip once.

    Inputs are on the device, in batches of the best size. Of several settings, which differ in the
    network alone, the fastest counts.
    """
    samples = build.build_reader(asked.data).check().samples
    sounds = len(make_plan(samples, build.build_conditions(asked), seed=0).distinct)
    networks.keep_float32(asked.trainer)
    sizes = [size for size in BATCHES[device] if size <= len(samples)] or [len(samples)]
    images, inputs = (each.to(device) for each in network_inputs(asked, samples, max(sizes)))

    def alone(encode: Encode, batch: torch.Tensor, count: int) -> float:
        size = min(sizes, key=lambda size: pass_seconds(encode, batch[:size]) / size)
        parts = [batch[: min(size, count - done)] for done in range(0, count, size)]
        return synchronized(lambda: [encode(part) for part in parts])

    found = []
    for each in (asked, *others):
        model = networks.build_model(each.model)[0].to(device)
        with torch.inference_mode():
            of_images = alone(model.encode_image, images, len(samples))
            found.append(of_images + alone(model.encode_audio, inputs, sounds))
    return min(found)


def pictures_per_second(
    paths: Sequence[Path], transform: Transform, *, threads: int, device: str
) -> float:
    """Pictures that threads read, decode and resize into batches, which go to the device.

    On a GPU batches lie in pinned memory and are copied while the next one is filled.
    """
    pinned = device == "cuda"
    side = transform(read_image(paths[0])).shape
    ring = [torch.empty(_READ, *side, pin_memory=pinned) for _ in range(4)]

    def read(place: int) -> None:
        batch, row = divmod(place, _READ)
        pixels = decode_image(read_bytes(paths[place]), paths[place])
        ring[batch % len(ring)][row] = prepare(transform, pixels)

    def batches() -> Iterator[torch.Tensor]:
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(paths), _READ):
                chosen = range(first, min(first + _READ, len(paths)))
                list(pool.map(read, chosen))
                batch = ring[first // _READ % len(ring)]
                yield batch.to(device, non_blocking=True)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return len(paths) / synchronized(lambda: [None for _ in batches()])
    finally:
        torch.set_num_threads(before)


def floors(overrides: Sequence[str], *, device: str) -> dict[str, float]:
    """Seconds of the networks of a run alone, and of reading all of its pictures by all cores."""
    formats = ("model.channels_last=false", "model.channels_last=true")
    asked, other = (settings(*overrides, each) for each in formats)
    bare = network_seconds(asked, other, device=device)
    paths = [sample.image_path for sample in build.build_reader(asked.data).check().samples]
    transform, _ = build.build_transforms(asked)
    threads, some = len(usable_cores()), paths[:_READ_ALONE]
    rate = pictures_per_second(some, transform, threads=threads, device=device)
    return {"bare_seconds": bare, "read_seconds": len(paths) / rate}

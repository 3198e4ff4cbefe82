"""vssl-localize's look at the frames of a video: maps with the sound around each moment."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch

from vssl.commands.localize_setup import Setup, encode_given, encode_negatives, measure_maps
from vssl.engine.localizer import Localizer, Picture
from vssl.growing import GrowingArray
from vssl.moments import HeardSpan, SoundAround
from vssl.progress import progress_bar
from vssl.reporting.timeline import Timeline
from vssl.reporting.verdict import MapNumbers, Verdict, judge_video
from vssl.types import POSITIVE, AudioClip
from vssl.video import VideoFacts, VideoFrame, opened_sound, read_frames

Pairings = Sequence[tuple[str, int]]


@dataclass
class Seen:
    """What was found in a video.

    Attributes:
        native: native similarity maps `[frames, K, h, w]`.
        objects: native object maps; None without a prior.
        timeline: largest values by frame.
        pairings: the K (audio condition, draw) pairs.
        localized: number of frames in which the sound is localized.
        pointing: the same for each negative.
        largest: largest value under the given sound.
    """

    native: GrowingArray
    objects: GrowingArray | None
    timeline: Timeline = field(default_factory=Timeline)
    pairings: Pairings = ()
    localized: int = 0
    marked: float = 0.0
    pointing: dict[str, int] = field(default_factory=dict)
    largest: float = -math.inf
    smallest: float = math.inf

    @property
    def mean_marked(self) -> float:
        """Share of the image that is marked where the sound is localized, on average."""
        return self.marked / max(self.localized, 1)

    def add(self, seconds: float, numbers: Sequence[MapNumbers]) -> None:
        """Count a frame."""
        self.timeline.add(seconds, numbers)
        given = numbers[0]
        self.largest = max(self.largest, given.largest)
        self.smallest = min(self.smallest, given.smallest)
        if given.points:
            self.localized += 1
            self.marked += given.marked or 0.0
        for condition in dict.fromkeys(each.condition for each in numbers[1:]):
            points = any(each.points for each in numbers if each.condition == condition)
            self.pointing[condition] = self.pointing.get(condition, 0) + points

    def verdict(self, setup: Setup) -> Verdict:
        """The verdict on the video."""
        return judge_video(
            len(self.timeline.seconds), self.localized, self.mean_marked, self.largest,
            self.pointing, setup.threshold, model=setup.name, transform=setup.recipe.transform,
            rates=setup.rates,
        )  # fmt: skip

    def arrays(self) -> dict[str, Any]:
        """What is kept of the maps."""
        found: dict[str, npt.NDArray[Any] | GrowingArray] = {
            "similarity_map": self.native,
            "seconds": np.array(self.timeline.seconds),
            "audio_condition": np.array([condition for condition, _ in self.pairings]),
            "draw": np.array([draw for _, draw in self.pairings]),
        }
        if self.objects is not None:
            found["object_map"] = self.objects
        return found


class Sampler:
    """Which frames are looked at: the first, and then the first at or after every 1 / fps."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._next = 0.0

    def takes(self, frame: VideoFrame) -> bool:
        """Whether a frame is looked at; to be asked of each, in order."""
        if math.isinf(self._fps):
            return True
        # frame times are rounded to the file's clock
        if frame.seconds + 1e-6 < self._next:
            return False
        self._next = (math.floor(frame.seconds * self._fps + 1e-6) + 1) / self._fps
        return True


def look(
    setup: Setup, facts: VideoFacts, heard: Path, seen: Seen, file: TextIO, *, fps: float
) -> None:
    """Run the networks over the frames of a video.

    Args:
        setup: what to localize with.
        facts: the video.
        heard: file of the sound.
        seen: takes what is found.
        file: csv file, open for writing, that takes every number.
        fps: frames that are looked at in a second.
    """
    writer = csv.writer(file, lineterminator="\n")
    reach = setup.rates.reach if setup.rates is not None else ()
    writer.writerow(
        ["seconds", "audio_condition", "draw", "largest", "smallest", "native_largest",
         "native_smallest", "marked", *(f"p_{name}" for name in reach)]
    )  # fmt: skip
    localizer = setup.localizer
    window = localizer.frontend().window if localizer.hears else object()
    with opened_sound(heard) as sound:
        around = SoundAround(sound.chunks, HeardSpan.of(window))  # type: ignore[arg-type]
        shift = facts.begin - sound.begin if heard == facts.path else 0.0
        ears = _Ears(setup, heard)
        sampler = Sampler(fps)
        wanted = facts.frames if math.isinf(fps) else min(
            facts.frames, math.ceil(facts.frames * fps / facts.rate)
        )  # fmt: skip
        with progress_bar("frames looked at", max(wanted, 1)) as advance:
            for batch in _batches(localizer, facts, sampler, around, shift, setup.batch_size):
                _localize_batch(setup, ears, batch, seen, writer)
                advance(len(batch))
    seen.pairings = ears.pairings


@dataclass(frozen=True)
class _Moment:
    seconds: float
    picture: Picture
    begin: int
    clip: AudioClip


def _batches(
    localizer: Localizer,
    facts: VideoFacts,
    sampler: Sampler,
    around: SoundAround,
    shift: float,
    size: int,
) -> Iterator[list[_Moment]]:
    batch: list[_Moment] = []
    for frame in read_frames(facts):
        if not sampler.takes(frame):
            continue
        begin, clip = around.at(frame.seconds + shift)
        name = f"{facts.path.name} at {frame.seconds:.3f} s"
        batch.append(_Moment(frame.seconds, localizer.prepare(frame.pixels(), name), begin, clip))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Ears:
    """Encodings of the sound around each moment and of its negatives, each made once."""

    def __init__(self, setup: Setup, heard: Path) -> None:
        self._setup = setup
        self._heard = heard
        self._negatives: torch.Tensor | None = None
        self._last: tuple[int, torch.Tensor] | None = None
        self.pairings: Pairings = ()

    def hear(self, moments: Sequence[_Moment]) -> torch.Tensor:
        """Encodings `[N, K, ...]`: of the moment's sound, then of the negatives."""
        if self._negatives is None:
            others, vectors = encode_negatives(self._setup, moments[0].clip, self._heard)
            self.pairings = ((POSITIVE, 0), *others)
            self._negatives = torch.stack(vectors) if vectors else None
        known = {} if self._last is None else dict([self._last])
        fresh = {m.begin: m.clip for m in moments if m.begin not in known}
        encoded = encode_given(self._setup, list(fresh.values()), self._heard) if fresh else ()
        known.update(zip(fresh, encoded, strict=True))
        self._last = (moments[-1].begin, known[moments[-1].begin])
        given = torch.stack([known[m.begin] for m in moments])[:, None]
        if self._negatives is None:
            return given
        negatives = self._negatives[None].expand(len(moments), *self._negatives.shape)
        return torch.cat([given, negatives], dim=1)


def _localize_batch(
    setup: Setup, ears: _Ears, moments: Sequence[_Moment], seen: Seen, writer: Any
) -> None:
    sounds = ears.hear(moments)
    pictures = [moment.picture for moment in moments]
    native = setup.localizer.localize(pictures, sounds, ears.pairings)
    seen.native.append(native.similarity.numpy())
    if seen.objects is not None and native.objects is not None:
        seen.objects.append(native.objects.numpy())
    for place, moment in enumerate(moments):
        objects = None if native.objects is None else native.objects[place]
        _, numbers = measure_maps(setup, ears.pairings, native.similarity[place], objects)
        seen.add(moment.seconds, numbers)
        for each in numbers:
            values = list(each.as_json().values())
            if setup.rates is not None:
                own = each.condition == POSITIVE
                found = setup.rates.p_values(each.largest)
                values += [value if own else None for value in found.values()]
            texts = [f"{v:.7g}" if isinstance(v, float) else v for v in values]
            writer.writerow([f"{moment.seconds:.6f}", *texts])

"""The audio plan of a run: which waveform each image meets, and the distinct ones among them.

Made once, before anything is read, from ids and seeds alone; so it is the same in every process.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.manifest import ManifestError, ManifestRow
from vssl.types import POSITIVE, AudioRequest, Sample, SoundingObject, SoundingObjects

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioPlan:
    """Which waveform each image meets.

    Attributes:
        pairings: the K (audio condition, draw) pairs; positive first.
        distinct: the distinct (front end, waveform) pairs, in order of first use, pairing after
            pairing. The front end is given as the audio condition that declares it.
        index: `[N, K]` int32 positions in `distinct`.
        manifest: a row for each negative, sample by sample.
        sounding: which object of the picture sounds, by audio condition.
    """

    pairings: tuple[tuple[str, int], ...]
    distinct: tuple[tuple[str, AudioRequest], ...]
    index: npt.NDArray[np.int32]
    manifest: tuple[ManifestRow, ...]
    sounding: SoundingObjects

    @property
    def parts(self) -> tuple[int, ...]:
        """How many of `distinct` belong together, by front end and the condition that makes them.

        Runs with other negatives have the same parts, and so find what was kept of them.
        """
        return tuple(len(list(together)) for _, together in groupby(self.distinct, key=_kind))


def make_plan(
    samples: Sequence[Sample],
    conditions: Sequence[AudioCondition],
    *,
    seed: int,
    use: str = "",
    shared_frontend: Mapping[str, str] | None = None,
    made_length: int | None = None,
    manifest: Sequence[ManifestRow] | None = None,
    manifest_path: Path | None = None,
) -> AudioPlan:
    """Plan the audio of a run.

    Args:
        samples: the images of the run.
        conditions: the other audio conditions; the positive is added in front.
        seed: seed of all draws.
        use: what the sounds are for, see `AudioCondition.draw_seed`.
        shared_frontend: audio condition -> condition whose front end serves it; missing ones share
            the positive's.
        made_length: length in samples of silence and noise; None takes each image's own clip's.
        manifest: choices to replay instead of drawing.
        manifest_path: where they come from, for messages.

    Returns:
        The plan.

    Raises:
        ManifestError: when the manifest lacks a choice or names an unknown source.
        ValueError: when a condition cannot be met.
    """
    frontend_of = dict(shared_frontend or {})
    everyone: list[AudioCondition] = [Positive(), *conditions]
    sounding = SoundingObjects((each.name, each.sounding_object) for each in everyone)
    replay = _Replay(manifest, manifest_path, {s.sample_id: s for s in samples}, sounding)
    pairings = tuple(
        (condition.name, draw)
        for condition in everyone
        for draw in range(replay.draws(condition, samples))
    )
    by_name = {condition.name: condition for condition in everyone}
    for condition in everyone:
        condition.prepare(samples)

    distinct: dict[tuple[str, AudioRequest], int] = {}
    index = np.empty((len(samples), len(pairings)), dtype=np.int32)
    rows: list[list[ManifestRow]] = [[] for _ in samples]
    # one pairing after the other, so that what stands together does not depend on the others
    for k, (name, draw) in enumerate(pairings):
        condition = by_name[name]
        for n, sample in enumerate(samples):
            length = sample.audio_length if made_length is None else made_length
            row_seed = replay.seed(sample, name, draw, condition.draw_seed(seed, use))
            request = replay.source(sample, name, draw) or condition.request(
                sample, draw=draw, seed=row_seed, length=length
            )
            key = (frontend_of.get(name, POSITIVE), request)
            index[n, k] = distinct.setdefault(key, len(distinct))
            if name != POSITIVE:
                rows[n].append(
                    ManifestRow(sample.sample_id, name, draw, _source(request), row_seed)
                )
    return AudioPlan(pairings, tuple(distinct), index, tuple(chain.from_iterable(rows)), sounding)


def _kind(distinct: tuple[str, AudioRequest]) -> tuple[str, str]:
    """Front end and kind of audio of a distinct input."""
    frontend, request = distinct
    return frontend, request.condition


def _source(request: AudioRequest) -> str:
    return request.source_id if request.condition == POSITIVE else ""


class _Replay:
    """Choices of a manifest, or none."""

    def __init__(
        self,
        rows: Sequence[ManifestRow] | None,
        path: Path | None,
        samples: Mapping[str, Sample],
        sounding: SoundingObjects,
    ) -> None:
        self._path = path
        self._rows = {(r.sample_id, r.condition, r.draw): r for r in rows or ()}
        self._draws: dict[str, set[int]] = defaultdict(set)
        for row in rows or ():
            self._draws[row.condition].add(row.draw)
        unknown = {r.audio_source_id for r in self._rows.values() if r.sample_id in samples}
        unknown -= {"", *samples}
        if unknown:
            raise ManifestError(
                f"{path}: {len(unknown)} audio sources are not in the test set, e.g."
                f" {min(unknown)}. Was the manifest made on another test set, or is audio missing?"
            )
        clips = {
            key: (samples[key[0]], samples[row.audio_source_id])
            for key, row in self._rows.items()
            if key[0] in samples and row.audio_source_id and key[1] in sounding
        }
        in_picture = [
            key
            for key, (image, heard) in clips.items()
            if sounding[key[1]] == SoundingObject.NONE and heard.category in image.image_categories
        ]
        elsewhere = [
            key
            for key, (image, heard) in clips.items()
            if sounding[key[1]] == SoundingObject.OTHER
            and (heard.image_group != image.image_group or heard.category == image.category)
        ]
        for odd, what in (
            (in_picture, "play a class that is in the picture"),
            (elsewhere, "play no other object of the picture"),
        ):
            if odd:
                _log.warning("%s: %d choices %s, e.g. %s", path, len(odd), what, odd[0])
        others = {r.sample_id for r in self._rows.values()} - samples.keys()
        if others:
            _log.warning(
                "%s: left out %d samples that are not in this test set, e.g. %s",
                path, len(others), min(others),
            )  # fmt: skip

    def draws(self, condition: AudioCondition, samples: Sequence[Sample]) -> int:
        """Number of draws: the condition's, or fewer where the manifest holds fewer."""
        if condition.name not in self._draws:
            if self._rows and condition.random:
                _log.warning("%s: holds no %s, which is drawn anew", self._path, condition.name)
            return condition.draws
        draws = min(condition.draws, len(self._draws[condition.name]))
        if draws < condition.draws:
            _log.warning(
                "%s: holds %d draws of %s, so %d are evaluated, not %d",
                self._path, draws, condition.name, draws, condition.draws,
            )  # fmt: skip
        keys = [(s.sample_id, condition.name, d) for s in samples for d in range(draws)]
        odd = [k for k in keys if k in self._rows]
        odd = [k for k in odd if bool(self._rows[k].audio_source_id) != condition.plays_clips]
        if odd:
            what = "names no audio source" if condition.plays_clips else "names an audio source"
            raise ManifestError(f"{self._path}: {odd[0]} {what} (negatives.manifest)")
        missing = [(k[0], k[2]) for k in keys if k not in self._rows]
        if missing:
            raise ManifestError(
                f"{self._path}: lacks {len(missing)} choices for {condition.name}, e.g. sample"
                f" {missing[0][0]}, draw {missing[0][1]}. Was it made on another test set?"
            )
        return draws

    def seed(self, sample: Sample, condition: str, draw: int, default: int) -> int:
        row = self._rows.get((sample.sample_id, condition, draw))
        return default if row is None else row.seed

    def source(self, sample: Sample, condition: str, draw: int) -> AudioRequest | None:
        row = self._rows.get((sample.sample_id, condition, draw))
        if row is None or not row.audio_source_id:
            return None
        return AudioRequest(POSITIVE, source_id=row.audio_source_id)

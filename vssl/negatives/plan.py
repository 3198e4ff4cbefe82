"""The audio plan of a run: the waveforms that each image meets, and the distinct ones among them.

It is made from ids and seeds alone, before any file is read, so every process has the same plan.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Index
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.manifest import ROWS_AT_ONCE, ManifestError, column_texts, manifest_table
from vssl.types import POSITIVE, AudioRequest, Sample, SoundingObject, SoundingObjects

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioPlan:
    """The waveforms that each image meets."""

    pairings: tuple[tuple[str, int], ...]  # K pairs of audio condition and draw; positive first
    distinct: tuple[tuple[str, AudioRequest], ...]
    """Pairs of front end, as the condition that declares it, and waveform, in order of first use,
    pairing after pairing.
    """
    index: npt.NDArray[np.int32]  # `[N, K]` positions in `distinct`
    manifest: pa.Table  # a row for each negative, sample by sample
    sounding: SoundingObjects

    @property
    def parts(self) -> tuple[int, ...]:
        """Lengths of the runs in `distinct` with one front end and one making condition.

        A run with other negatives has the same parts, so that it finds their kept encodings.
        """
        kinds = ((frontend, request.condition) for frontend, request in self.distinct)
        return tuple(len(list(together)) for _, together in groupby(kinds))


def make_plan(
    samples: Sequence[Sample],
    conditions: Sequence[AudioCondition],
    *,
    seed: int,
    use: str = "",
    own_frontend: Collection[str] = (),
    made_length: int | None = None,
    manifest: pa.Table | None = None,
    manifest_path: Path | None = None,
) -> AudioPlan:
    """Plan the audio of a run.

    Args:
        samples: the images of the run.
        conditions: the audio conditions besides the positive, which is added in front.
        seed: seed of all draws.
        use: as of `AudioCondition.draw_seed`.
        own_frontend: audio conditions with their own front end; others share the positive's.
        made_length: length in samples of silence and noise; None for that of each image's own clip.
        manifest: choices to replay instead of drawing.
        manifest_path: its file, for messages.

    Raises:
        ManifestError: when the manifest lacks a choice or names an unknown source.
        ValueError: when a condition cannot be met.
    """
    everyone: list[AudioCondition] = [Positive(), *conditions]
    sounding = SoundingObjects((each.name, each.sounding_object) for each in everyone)
    choices = None if manifest is None else _Choices(manifest, manifest_path, samples)
    if choices is not None:
        choices.check(sounding)
    pairings: list[tuple[AudioCondition, int, Index | None]] = []
    for condition in everyone:
        known = [None] * condition.draws if choices is None else choices.rows_of(condition)
        pairings += [(condition, draw, rows) for draw, rows in enumerate(known)]
    for condition in everyone:
        condition.prepare(samples)

    lengths = [s.audio_length if made_length is None else made_length for s in samples]
    distinct: dict[tuple[str, AudioRequest], int] = {}
    index = np.empty((len(samples), len(pairings)), dtype=np.int32)
    seeds = np.empty(index.shape, dtype=np.int64)
    # pairing by pairing, so that the order within a part does not depend on other negatives
    for k, (condition, draw, rows) in enumerate(pairings):
        seeds[:, k], sources = condition.draw_seed(seed, use), [""] * len(samples)
        if manifest is not None and rows is not None:
            chosen = manifest.select(["audio_source_id", "seed"]).take(rows)
            sources, seeds[:, k] = column_texts(chosen.column(0)), chosen.column(1).to_numpy()
        requests = [
            AudioRequest(POSITIVE, source_id=source)
            if source
            else condition.request(sample, draw=draw, seed=own, length=length)
            for sample, source, own, length in zip(
                samples, sources, seeds[:, k].tolist(), lengths, strict=True
            )
        ]
        frontend = condition.name if condition.name in own_frontend else POSITIVE
        index[:, k] = [distinct.setdefault((frontend, each), len(distinct)) for each in requests]
    named = tuple((condition.name, draw) for condition, draw, _ in pairings)
    whole = _manifest(samples, named[1:], distinct, index[:, 1:], seeds[:, 1:])
    return AudioPlan(named, tuple(distinct), index, whole, sounding)


def _manifest(
    samples: Sequence[Sample],
    negatives: Sequence[tuple[str, int]],
    distinct: Iterable[tuple[str, AudioRequest]],
    index: npt.NDArray[np.int32],
    seeds: Index,
) -> pa.Table:
    """Manifest of K negatives by the positions of their sounds `[N, K]` and their seeds."""
    heard = [each.source_id if each.condition == POSITIVE else "" for _, each in distinct]
    ids = {sample.sample_id: n for n, sample in enumerate(samples)}
    sources = np.array([ids.setdefault(name, len(ids)) for name in heard], dtype=np.int32)
    conditions = list(dict.fromkeys(name for name, _ in negatives))
    return manifest_table(
        ids,
        conditions,
        np.repeat(np.arange(len(samples), dtype=np.int32), len(negatives)),
        np.tile([conditions.index(name) for name, _ in negatives], len(samples)),
        np.tile([draw for _, draw in negatives], len(samples)),
        sources[index.ravel()],
        seeds.ravel(),
    )


class _Choices:
    """The choices of a manifest for a run's samples."""

    def __init__(self, manifest: pa.Table, path: Path | None, samples: Sequence[Sample]) -> None:
        self._manifest = manifest
        self._path = path
        self._samples = {sample.sample_id: sample for sample in samples}
        found = pc.index_in(manifest["sample_id"], pa.array([*self._samples], pa.string()))
        self._place = found.fill_null(-1).to_numpy()  # of each row's sample
        self._draw = manifest["draw"].to_numpy()
        self._named = pc.not_equal(manifest["audio_source_id"], "").to_numpy()

    def check(self, sounding: SoundingObjects) -> None:
        """Check that sources exist; warn of choices that their condition excludes."""
        path, samples = self._path, self._samples
        here = self._manifest.filter(self._place >= 0)
        unknown = {*here["audio_source_id"].unique().to_pylist()} - {"", *samples}
        if unknown:
            raise ManifestError(
                f"{path}: {len(unknown)} audio sources are not in the test set, e.g."
                f" {min(unknown)}. Was the manifest made on another test set, or is audio missing?"
            )
        in_picture, elsewhere = [], []
        for batch in here.to_batches(ROWS_AT_ONCE):
            for name, condition, draw, source, _ in zip(*map(column_texts, batch), strict=True):
                if source and condition in sounding:
                    image, heard = samples[name], samples[source]
                    kind = sounding[condition]
                    if kind == SoundingObject.NONE and heard.category in image.image_categories:
                        in_picture.append((name, condition, int(draw)))
                    same = heard.image_group == image.image_group
                    other = same and heard.category != image.category
                    if kind == SoundingObject.OTHER and not other:
                        elsewhere.append((name, condition, int(draw)))
        for odd, what in (
            (in_picture, "play a class that is in the picture"),
            (elsewhere, "play no other object of the picture"),
        ):
            if odd:
                _log.warning("%s: %d choices %s, e.g. %s", path, len(odd), what, odd[0])
        others = self._manifest.filter(self._place < 0)["sample_id"].unique().to_pylist()
        if others:
            _log.warning(
                "%s: left out %d samples that are not in this test set, e.g. %s",
                path, len(others), min(others),
            )  # fmt: skip

    def rows_of(self, condition: AudioCondition) -> list[Index] | list[None]:
        """Rows `[N]` by draw of a condition, at most its draws; None where they are drawn anew."""
        name, path = condition.name, self._path
        own = pc.equal(self._manifest["condition"], name).to_numpy()
        held = len(np.unique(self._draw[own]))
        if not held:
            if condition.random:
                _log.warning("%s: holds no %s, which is drawn anew", path, name)
            return [None] * condition.draws
        draws = min(condition.draws, held)
        if draws < condition.draws:
            _log.warning(
                "%s: holds %d draws of %s, so %d are evaluated, not %d",
                path, draws, name, draws, condition.draws,
            )  # fmt: skip
        ids = list(self._samples)
        here = np.flatnonzero(own & (self._place >= 0) & (self._draw < draws))
        rows = np.full((len(ids), draws), -1)
        rows[self._place[here], self._draw[here]] = here
        odd = np.argwhere((rows >= 0) & (self._named[rows] != condition.reuses_clips)).tolist()
        missing = np.argwhere(rows < 0).tolist()
        if odd:
            key = ids[odd[0][0]], name, odd[0][1]
            what = "names no audio source" if condition.reuses_clips else "names an audio source"
            raise ManifestError(f"{path}: {key} {what} (negatives.manifest)")
        if missing:
            raise ManifestError(
                f"{path}: lacks {len(missing)} choices for {name}, e.g. sample"
                f" {ids[missing[0][0]]}, draw {missing[0][1]}. Was it made on another test set?"
            )
        return list(rows.T)

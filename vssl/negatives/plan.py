"""The audio plan of a run: the waveforms that each image meets, and the distinct ones among them.

It is made from ids and seeds alone, before any file is read, so every process has the same plan.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
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
    """The waveforms that each image meets.

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
    manifest: Sequence[ManifestRow] | None = None,
    manifest_path: Path | None = None,
) -> AudioPlan:
    """Plan the audio of a run.

    Args:
        samples: the images of the run.
        conditions: the audio conditions besides the positive, which is added in front.
        seed: seed of all draws.
        use: use of the seed, see `AudioCondition.draw_seed`.
        own_frontend: audio conditions with their own front end; others share the positive's.
        made_length: length in samples of silence and noise; None for that of each image's own clip.
        manifest: choices to replay instead of drawing.
        manifest_path: file of the manifest, for messages.

    Raises:
        ManifestError: when the manifest lacks a choice or names an unknown source.
        ValueError: when a condition cannot be met.
    """
    everyone: list[AudioCondition] = [Positive(), *conditions]
    by_name = {condition.name: condition for condition in everyone}
    sounding = SoundingObjects((each.name, each.sounding_object) for each in everyone)
    given = {(r.sample_id, r.condition, r.draw): r for r in manifest or ()}
    _check_choices(given, manifest_path, {s.sample_id: s for s in samples}, sounding)
    pairings = tuple(
        (condition.name, draw)
        for condition in everyone
        for draw in range(_number_of_draws(condition, samples, given, manifest_path))
    )
    for condition in everyone:
        condition.prepare(samples)

    distinct: dict[tuple[str, AudioRequest], int] = {}
    index = np.empty((len(samples), len(pairings)), dtype=np.int32)
    rows: list[list[ManifestRow]] = [[] for _ in samples]
    # pairing by pairing, so that the order within a part does not depend on other negatives
    for k, (name, draw) in enumerate(pairings):
        own_seed = by_name[name].draw_seed(seed, use)
        for n, sample in enumerate(samples):
            length = sample.audio_length if made_length is None else made_length
            row = given.get((sample.sample_id, name, draw))
            row_seed = own_seed if row is None else row.seed
            if row is not None and row.audio_source_id:
                request = AudioRequest(POSITIVE, source_id=row.audio_source_id)
            else:
                request = by_name[name].request(sample, draw=draw, seed=row_seed, length=length)
            key = (name if name in own_frontend else POSITIVE, request)
            index[n, k] = distinct.setdefault(key, len(distinct))
            if name != POSITIVE:
                source = request.source_id if request.condition == POSITIVE else ""
                rows[n].append(ManifestRow(sample.sample_id, name, draw, source, row_seed))
    return AudioPlan(pairings, tuple(distinct), index, tuple(chain.from_iterable(rows)), sounding)


_Choices = Mapping[tuple[str, str, int], ManifestRow]


def _number_of_draws(
    condition: AudioCondition, samples: Sequence[Sample], given: _Choices, path: Path | None
) -> int:
    """The condition's number of draws, limited by those of the manifest."""
    name = condition.name
    held = {draw for _, condition_of, draw in given if condition_of == name}
    if not held:
        if given and condition.random:
            _log.warning("%s: holds no %s, which is drawn anew", path, name)
        return condition.draws
    draws = min(condition.draws, len(held))
    if draws < condition.draws:
        _log.warning(
            "%s: holds %d draws of %s, so %d are evaluated, not %d",
            path, draws, name, draws, condition.draws,
        )  # fmt: skip
    keys = [(s.sample_id, name, draw) for s in samples for draw in range(draws)]
    for key in keys:
        if key in given and bool(given[key].audio_source_id) != condition.reuses_clips:
            what = "names no audio source" if condition.reuses_clips else "names an audio source"
            raise ManifestError(f"{path}: {key} {what} (negatives.manifest)")
    missing = [key for key in keys if key not in given]
    if missing:
        raise ManifestError(
            f"{path}: lacks {len(missing)} choices for {name}, e.g. sample {missing[0][0]},"
            f" draw {missing[0][2]}. Was it made on another test set?"
        )
    return draws


def _check_choices(
    given: _Choices, path: Path | None, samples: Mapping[str, Sample], sounding: SoundingObjects
) -> None:
    """Check that a manifest's sources exist; warn of choices that their condition excludes."""
    here = {key: row for key, row in given.items() if key[0] in samples}
    unknown = {row.audio_source_id for row in here.values()} - {"", *samples}
    if unknown:
        raise ManifestError(
            f"{path}: {len(unknown)} audio sources are not in the test set, e.g."
            f" {min(unknown)}. Was the manifest made on another test set, or is audio missing?"
        )
    in_picture, elsewhere = [], []
    for key, row in here.items():
        if row.audio_source_id and key[1] in sounding:
            image, heard = samples[key[0]], samples[row.audio_source_id]
            kind = sounding[key[1]]
            if kind == SoundingObject.NONE and heard.category in image.image_categories:
                in_picture.append(key)
            other = heard.image_group == image.image_group and heard.category != image.category
            if kind == SoundingObject.OTHER and not other:
                elsewhere.append(key)
    for odd, what in (
        (in_picture, "play a class that is in the picture"),
        (elsewhere, "play no other object of the picture"),
    ):
        if odd:
            _log.warning("%s: %d choices %s, e.g. %s", path, len(odd), what, odd[0])
    others = {sample_id for sample_id, _, _ in given} - samples.keys()
    if others:
        _log.warning(
            "%s: left out %d samples that are not in this test set, e.g. %s",
            path, len(others), min(others),
        )  # fmt: skip

"""Verdicts of vssl-localize: numbers of maps at a threshold, the answer, and its error rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from vssl.analysis.error_rates import ErrorRates, Share
from vssl.engine.localizer import NativeMaps
from vssl.maps import binarize
from vssl.metrics.pia import image_area
from vssl.records.localization import Localization

THRESHOLD_MISSING = (
    "no verdict is possible without a threshold: give a finished run of this model"
    " (--calibration RUN), a number (--threshold X), or a policy that needs no run (--policy fixed,"
    " or released_q3 for a model that the released code has constants of)"
)
UNKNOWN = (
    "how often this is wrong is unknown, and no wrong sound was tested: --calibration RUN, a"
    " finished run of this model, would tell"
)
"""Error rates of a verdict without a calibration run."""

Chance = dict[str, float]
"""Numbers of a type of negatives, see `chances`."""


@dataclass(frozen=True)
class Threshold:
    """One threshold for all maps."""

    value: float  # in units of the localization map
    policy: str  # `given` for a number on the command line
    source: str  # in words
    calibration: str | None = None  # folder of the run it was learnt from
    calibration_hash: str | None = None  # configuration hash of that run

    @property
    def words(self) -> str:
        """Policy and source, as in `universal_q3, fit on vggss (silence+noise+offscreen)`."""
        return self.policy if self.policy == self.source else f"{self.policy}, {self.source}"

    @property
    def brief(self) -> str:
        """Policy and data set, as in `universal_q3 fit on vggss`."""
        learnt = self.source.startswith("fit on ")
        return f"{self.policy} {self.source}".partition(" (")[0] if learnt else self.policy


@dataclass(frozen=True)
class MapNumbers:
    """Numbers of one map."""

    condition: str  # audio condition
    draw: int  # which of its random sounds
    largest: float  # of the localization map, which is compared with the threshold
    smallest: float
    native_largest: float  # of the native similarity map
    native_smallest: float
    marked: float | None  # share of the image above the threshold (pIA); None without one

    @property
    def points(self) -> bool:
        """Whether anything is marked."""
        return bool(self.marked)

    def as_json(self) -> dict[str, Any]:
        """The numbers with None in place of NaN and infinity, which JSON lacks."""
        values = asdict(self).items()
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values}


def measure(
    recipe: Localization,
    native: NativeMaps,
    pairings: Sequence[tuple[str, int]],
    threshold: Threshold | None,
) -> tuple[torch.Tensor, list[MapNumbers]]:
    """Make and measure the localization maps `[K, 224, 224]` of a picture under its first K sounds.

    The recipe makes them of the picture's native maps; object-guided if there is an object map.
    `pairings` are K pairs (audio condition, draw). Without a threshold no marked area is measured.
    """
    similarity = native.similarity[: len(pairings)]
    conditions = [condition for condition, _ in pairings]
    objects = None if native.objects is None else native.objects.expand(len(pairings), -1, -1)
    maps = recipe.localize(similarity, conditions, objects)[recipe.variants[-1]]
    marked: Sequence[float | None] = [None] * len(maps)
    if threshold is not None:
        marked = image_area(binarize(maps, threshold.value)).tolist()
    extremes = (
        each
        for of_maps in (maps, similarity)
        for each in (of_maps.amax(dim=(1, 2)).tolist(), of_maps.amin(dim=(1, 2)).tolist())
    )
    columns = zip(pairings, *extremes, marked, strict=True)
    return maps, [MapNumbers(*pairing, *values) for pairing, *values in columns]


def highest(numbers: Sequence[MapNumbers]) -> dict[str, int]:
    """Find the position of each audio condition's highest map; NaN counts as lowest."""
    places: dict[str, int] = {}
    for place, each in enumerate(numbers):
        best = places.get(each.condition)
        if best is None or not numbers[best].largest >= each.largest:
            places[each.condition] = place
    return places


def pointing(pictures: Sequence[Sequence[MapNumbers]]) -> dict[str, int]:
    """Count, for each type of negatives, the pictures in which a draw of it marks something."""
    conditions = dict.fromkeys(each.condition for each in pictures[0][1:])
    return {
        name: sum(any(n.points for n in each if n.condition == name) for each in pictures)
        for name in conditions
    }


@dataclass(frozen=True)
class Verdict:
    """Answer for a picture or video and a sound."""

    words: str
    localized: bool | None  # None if there is no verdict
    warnings: tuple[str, ...] = ()  # reasons not to trust it
    errors: tuple[str, ...] = ()  # error rates in words
    by_chance: Mapping[str, Chance] = field(default_factory=dict)  # by type, see `chances`


def judge(
    pictures: Sequence[Sequence[MapNumbers]],
    threshold: Threshold | None,
    *,
    model: str,
    transform: str,
    rates: ErrorRates | None = None,
    video: bool = False,
) -> Verdict:
    """Judge one picture, or the frames of a video.

    Numbers of each picture's maps begin with the given sound, and go on with the negatives. There
    is no verdict without a threshold, or with another `map_transform` of the model than `none`.
    """
    if transform != "none":
        hint = " (--model rcgrad_raw has the map before that)" if model == "rcgrad" else ""
        return Verdict(
            f"no verdict is possible: every map of {model} is stretched to [0, 1], so its largest"
            f" value says nothing{hint}",
            None,
        )
    if threshold is None:
        return Verdict(THRESHOLD_MISSING, None)
    given = [numbers[0] for numbers in pictures]
    values = [each.largest for each in given if not math.isnan(each.largest)]
    if not values:
        maps = "maps hold" if video else "map holds"
        return Verdict(f"no verdict is possible: the {maps} NaN", None)
    largest = max(values)
    marked = [each.marked for each in given if each.marked]
    value, limit = distinguishable(largest, threshold.value)
    beside = "exceeds" if marked else "does not exceed"
    count, place = len(pictures), ""
    if video:
        place = f" in {len(marked)} of {count} frames" if marked else f" in any of {count} frames"
    words = f"nothing here makes this sound{place}"
    if marked:
        share = in_percent(sum(marked) / len(marked))
        words = f"localized{place}: marks {share} of the image{' there on average' * video}"
    words += f" (largest value {value} {beside} {limit}, {threshold.brief})"
    warnings = _distrust(pictures, video=video)
    if rates is None:
        return Verdict(words, bool(marked), warnings, (UNKNOWN,))
    frames = count if video else None
    chance = chances(rates, largest, frames)
    if marked:
        warnings += tuple(wrong_sound_warnings(rates, chance, frames))
    errors = errors_in_words(rates, chance, frames)
    return Verdict(words, bool(marked), warnings, errors, chance)


def _distrust(pictures: Sequence[Sequence[MapNumbers]], *, video: bool) -> tuple[str, ...]:
    """Warn of negatives that mark something, too."""
    negatives = []
    for name, frames in pointing(pictures).items():
        draws = [each.points for each in pictures[0] if each.condition == name]
        if frames and video:
            negatives.append(f"{name} in {frames} of {len(pictures)} frames")
        elif frames:
            negatives.append(name + (f" ({sum(draws)} of {len(draws)} draws)" if draws[1:] else ""))
    if not negatives:
        return ()
    where = "there" if video else "here"
    return (f"this model also points under {' and '.join(negatives)}: do not trust it {where}",)


def in_percent(fraction: float | None) -> str:
    """Write a share of the image; only 0 reads as nothing."""
    if fraction is None:
        return ""
    if fraction == 0:
        return "nothing"
    if 0 < fraction < 0.001:
        return "less than 0.1 %"
    return f"{100 * fraction:.1f} %" if fraction < 0.1 else f"{100 * fraction:.0f} %"


def distinguishable(first: float, second: float) -> tuple[str, str]:
    """Write two numbers with enough digits to differ, two to six.

    Nor is a number written as a whole one that it is not: a map of probabilities is below 1.
    """
    for digits in range(2, 7):
        texts = (f"{first:.{digits}f}", f"{second:.{digits}f}")
        pairs = zip(texts, (first, second), strict=True)
        whole = any(float(text).is_integer() and float(text) != value for text, value in pairs)
        if texts[0] != texts[1] and not whole:
            break
    return texts


def chances(rates: ErrorRates, largest: float, frames: int | None = None) -> dict[str, Chance]:
    """Find p values and, of a video, expected marked frames for each type of negatives.

    The p value of a video's best frame is also given times the number of frames, at most 1
    (Bonferroni), which holds however the frames depend on each other.

    `largest` is of the given sound's maps; `frames` is None for an image.
    """
    numbers = {name: {"p": value} for name, value in rates.p_values(largest).items()}
    if frames is not None:
        for name, chance in numbers.items():
            rate = rates.false_alarms[name].rate
            chance["p_all_frames"] = min(frames * chance["p"], 1.0)
            chance["frames_marked"] = frames * rate
            chance["some_frame_if_independent"] = 1 - (1 - rate) ** frames
    return numbers


def errors_in_words(
    rates: ErrorRates, chance: Mapping[str, Chance], frames: int | None = None
) -> tuple[str, ...]:
    """Write error rates, and the given `chances` of this map, in lines."""
    lines = [
        f"how often this is wrong, by the calibration run ({rates.dataset}) at this threshold, with"
        " 95 % intervals:"
    ]
    for name, share in rates.false_alarms.items():
        numbers = chance[name]
        line = f"{name}: something marked in {_share_in_words(share)}"
        if frames is None:
            line += f"; this map: p = {numbers['p']:.2g}"
        else:
            line += (
                f", so by chance in {numbers['frames_marked']:.1f} of {frames} frames; best frame:"
                f" p = {numbers['p']:.2g}, for {frames} frames {numbers['p_all_frames']:.2g}"
            )
        lines.append(line)
    if rates.misses is not None:
        line = f"own sound: nothing marked in {_share_in_words(rates.misses)}"
        if rates.right_places is not None:
            places = _share_in_words(rates.right_places)
            line += f"; where marked, cIoU of at least 0.5 in {places}"
        lines.append(line)
    if rates.false_alarms:
        images = max(reach.images for reach in rates.reach.values())
        lines.append(
            "p: how often such a sound in another image reaches as high as the map, if this image"
            f" and sound are like the run's ({1 / (images + 1):.2g} at least, with {images}"
            " images); it is not the probability that the sound is wrong"
        )
    if frames is not None and frames > 1 and rates.false_alarms:
        name, share = max(rates.false_alarms.items(), key=lambda each: each[1].rate)
        many = 100 * chance[name]["some_frame_if_independent"]
        lines.append(
            f"{frames} frames are {frames} tries: {name} marks some frame in about"
            f" {100 * share.rate:.1f} % (all frames alike) to {many:.1f} % (independent) of videos"
        )
    if not rates.wrong_sounds:
        lines.append("no wrong sound was tested: the calibration run has no negative of other clips"
                     " (negatives=all, offscreen)")  # fmt: skip
    if rates.undefined:
        lines.append(f"{rates.undefined} maps of the calibration run hold NaN and are left out")
    if rates.in_sample:
        lines.append("the threshold was learnt on these very maps: other images may have more false"
                     " alarms")  # fmt: skip
    return tuple(lines)


def wrong_sound_warnings(
    rates: ErrorRates, chance: Mapping[str, Chance], frames: int | None = None
) -> list[str]:
    """Warn of wrong sounds of the calibration run that reach as high too often."""
    warnings = []
    for name in rates.wrong_sounds:
        value = chance[name]["p" if frames is None else "p_all_frames"]
        if value <= rates.level:
            continue
        text = (
            f"a wrong sound is not ruled out: p = {value:.2g} against {name} of the calibration run"
        )
        needed = math.ceil(round((frames or 1) / rates.level - 1, 6))
        if rates.reach[name].images < needed:
            text += (
                f", whose {rates.reach[name].images} images are too few to rule it out"
                f"{'' if frames is None else f' in {frames} frames'} ({needed} are needed)"
            )
        warnings.append(text)
    return warnings


def _share_in_words(share: Share) -> str:
    rate, low, high = (f"{100 * each:.1f}" for each in (share.rate, share.low, share.high))
    return f"{rate} % ({low} to {high}) of {share.maps} maps of {share.images} images"

"""Does anything here make this sound? Numbers of maps at one threshold, and the answer in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from vssl.analysis.error_rates import ErrorRates
from vssl.localize.error_words import (
    UNKNOWN,
    Chance,
    chances,
    errors_in_words,
    wrong_sound_warnings,
)
from vssl.maps import binarize
from vssl.metrics.pia import image_area
from vssl.records.localization import Localization

THRESHOLD_MISSING = (
    "no verdict is possible without a threshold: give a finished run of this model"
    " (--calibration RUN), a number (--threshold X), or a policy that needs no run (--policy"
    " released_q3)"
)


@dataclass(frozen=True)
class Threshold:
    """One threshold for all maps."""

    value: float  # in units of the localization map
    policy: str  # `given` for a number of the user's
    source: str  # in words
    calibration: str | None = None  # folder of the run that it was learnt from
    calibration_hash: str | None = None  # configuration hash of that run

    @property
    def words(self) -> str:
        """Policy and source, as in `universal_q3, fit on vggss (silence+noise+offscreen)`."""
        return self.policy if self.policy == self.source else f"{self.policy}, {self.source}"

    @property
    def brief(self) -> str:
        """The policy, and what it was learnt on: `universal_q3 fit on vggss`."""
        learnt = self.source.startswith("fit on ")
        return f"{self.policy} {self.source}".partition(" (")[0] if learnt else self.policy


@dataclass(frozen=True)
class MapNumbers:
    """Numbers of one map."""

    condition: str  # audio condition
    draw: int  # which of its random sounds
    largest: float  # of the localization map, which is what the threshold meets
    smallest: float
    native_largest: float  # of the native similarity map
    native_smallest: float
    marked: float | None  # share of the image above the threshold (pIA); None without one

    @property
    def points(self) -> bool:
        """Whether anything is marked."""
        return bool(self.marked)

    def as_json(self) -> dict[str, Any]:
        """The same for a JSON file, which has neither NaN nor infinity."""
        values = asdict(self).items()
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values}


def measure(
    recipe: Localization,
    native: torch.Tensor,
    pairings: Sequence[tuple[str, int]],
    objects: torch.Tensor | None,
    threshold: Threshold | None,
) -> tuple[torch.Tensor, list[MapNumbers]]:
    """Make the localization maps of one picture under K sounds, and measure them.

    From `[K, h, w]` native similarity maps, the K (audio condition, draw) pairs, and the `[g, g]`
    native object map follow `[K, 224, 224]` maps, object-guided ones with a prior.
    """
    conditions = [condition for condition, _ in pairings]
    if objects is not None:
        objects = objects.expand(len(native), -1, -1)
    maps = recipe.localize(native, conditions, objects)[recipe.variants[-1]]
    marked: Sequence[float | None] = [None] * len(maps)
    if threshold is not None:
        marked = image_area(binarize(maps, threshold.value)).tolist()
    extremes = (
        each
        for of_maps in (maps, native)
        for each in (of_maps.amax(dim=(1, 2)).tolist(), of_maps.amin(dim=(1, 2)).tolist())
    )
    columns = zip(pairings, *extremes, marked, strict=True)
    return maps, [MapNumbers(*pairing, *values) for pairing, *values in columns]


def highest(numbers: Sequence[MapNumbers]) -> dict[str, int]:
    """Audio condition -> place of the draw whose map reaches highest; a NaN counts as lowest."""
    found: dict[str, int] = {}
    for place, each in enumerate(numbers):
        best = found.get(each.condition)
        if best is None or not numbers[best].largest >= each.largest:
            found[each.condition] = place
    return found


def pointing(pictures: Sequence[Sequence[MapNumbers]]) -> dict[str, int]:
    """Audio condition of a negative -> in how many pictures a draw of it marks something."""
    conditions = dict.fromkeys(each.condition for each in pictures[0][1:])
    return {
        name: sum(any(n.points for n in each if n.condition == name) for each in pictures)
        for name in conditions
    }


@dataclass(frozen=True)
class Verdict:
    """The answer for a picture or video and a sound."""

    words: str
    localized: bool | None  # None where nothing can be said
    warnings: tuple[str, ...] = ()  # reasons not to trust it
    errors: tuple[str, ...] = ()  # lines that say how often it is wrong
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

    `pictures` has of each the numbers of the given sound's map, then of the negatives';
    `transform` is the model's `map_transform`; `rates` are of a calibration run.
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
    largest = max(
        (each.largest for each in given if not math.isnan(each.largest)), default=math.nan
    )
    if math.isnan(largest):
        return Verdict(
            f"no verdict is possible: the map{'s hold' if video else ' holds'} NaN", None
        )
    marked = [each.marked for each in given if each.marked]
    value, limit = apart(largest, threshold.value)
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
    """The warning that the model points under negatives, too."""
    found = []
    for name, frames in pointing(pictures).items():
        draws = [each.points for each in pictures[0] if each.condition == name]
        if frames and video:
            found.append(f"{name} in {frames} of {len(pictures)} frames")
        elif frames:
            found.append(name + (f" ({sum(draws)} of {len(draws)} draws)" if draws[1:] else ""))
    where = "there" if video else "here"
    also = " and ".join(found)
    return (f"this model also points under {also}: do not trust it {where}",) if found else ()


def in_percent(fraction: float | None) -> str:
    """A share of the image in words; what is marked never reads 0.0 %."""
    if fraction is None:
        return ""
    if fraction == 0:
        return "nothing"
    if 0 < fraction < 0.001:
        return "less than 0.1 %"
    return f"{100 * fraction:.1f} %" if fraction < 0.1 else f"{100 * fraction:.0f} %"


def apart(first: float, second: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart, two to six."""
    for digits in range(2, 7):
        texts = (f"{first:.{digits}f}", f"{second:.{digits}f}")
        if texts[0] != texts[1]:
            break
    return texts

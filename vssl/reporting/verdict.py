"""Does anything here make this sound? Numbers of maps at one threshold, and the answer in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from vssl.maps import binarize
from vssl.metrics.pia import image_area
from vssl.records.error_rates import ErrorRates
from vssl.records.localization import Localization
from vssl.reporting.error_words import (
    UNKNOWN,
    Chance,
    chances,
    errors_in_words,
    wrong_sound_warnings,
)
from vssl.types import POSITIVE

NO_THRESHOLD = (
    "no verdict is possible without a threshold: give a finished run of this model"
    " (--calibration RUN), a number (--threshold X), or a policy that needs no run (--policy"
    " released_q3)"
)

_DIGITS = range(2, 7)


@dataclass(frozen=True)
class Threshold:
    """One threshold for all maps.

    Attributes:
        value: in units of the localization map.
        policy: name of its policy; `given` for a number of the user's.
        source: what it rests on, in words.
        calibration: folder of the run that it was learnt from; None for none.
        calibration_hash: configuration hash of that run.
    """

    value: float
    policy: str
    source: str
    calibration: str | None = None
    calibration_hash: str | None = None

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
    """Numbers of one map.

    Attributes:
        condition: audio condition of the sound.
        draw: which of its random sounds.
        largest: largest value of the localization map, which is what the threshold meets.
        smallest: its smallest value.
        native_largest: largest value of the native similarity map.
        native_smallest: its smallest value.
        marked: share of the image above the threshold (pIA); None without a threshold.
    """

    condition: str
    draw: int
    largest: float
    smallest: float
    native_largest: float
    native_smallest: float
    marked: float | None

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
    """Localization maps of one picture's native maps, and their numbers.

    Args:
        recipe: how localization maps follow from native ones; with an object prior, object-guided
            maps are taken.
        native: `[R, h, w]` similarity maps.
        pairings: audio condition and draw of each.
        objects: `[g, g]` native object map; None without a prior.
        threshold: threshold of all; None for none.

    Returns:
        `[R, 224, 224]` maps, and the numbers of each.
    """
    seen = None if objects is None else objects.expand(len(native), -1, -1)
    conditions = [condition for condition, _ in pairings]
    maps = recipe.localize(native, conditions, seen)[recipe.variants[-1]]
    marked: Sequence[float | None] = [None] * len(maps)
    if threshold is not None:
        marked = image_area(binarize(maps, threshold.value)).tolist()
    columns = (
        conditions,
        [draw for _, draw in pairings],
        maps.amax(dim=(1, 2)).tolist(),
        maps.amin(dim=(1, 2)).tolist(),
        native.amax(dim=(1, 2)).tolist(),
        native.amin(dim=(1, 2)).tolist(),
        marked,
    )
    return maps, [MapNumbers(*values) for values in zip(*columns, strict=True)]


def highest(numbers: Sequence[MapNumbers]) -> dict[str, int]:
    """Audio condition -> place of the draw whose map reaches highest; a NaN counts as lowest."""
    found: dict[str, int] = {}
    for place, each in enumerate(numbers):
        best = found.get(each.condition)
        if best is None or not numbers[best].largest >= each.largest:
            found[each.condition] = place
    return found


@dataclass(frozen=True)
class Verdict:
    """What can be said of a picture and a sound.

    Attributes:
        words: the answer.
        localized: whether the sound is localized; None where nothing can be said.
        warnings: what should keep the user from trusting it.
        errors: lines that say how often it is wrong.
        by_chance: numbers of what negatives do by chance, by type, see `chances`.
    """

    words: str
    localized: bool | None
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    by_chance: Mapping[str, Chance] = field(default_factory=dict)


def judge(
    numbers: Sequence[MapNumbers],
    threshold: Threshold | None,
    *,
    model: str,
    transform: str,
    rates: ErrorRates | None = None,
) -> Verdict:
    """The verdict on one picture.

    Args:
        numbers: of the given sound's map, and of those of silence and noise.
        threshold: threshold; None for none.
        model: name of the model.
        transform: its `map_transform`.
        rates: how often a verdict is wrong in a calibration run; None without one.
    """
    reason = why_no_verdict(threshold, model=model, transform=transform)
    if threshold is None or reason:
        return Verdict(reason or NO_THRESHOLD, None)
    given = next(each for each in numbers if each.condition == POSITIVE)
    if math.isnan(given.largest):
        return Verdict("no verdict is possible: the map holds NaN", None)
    largest, limit = apart(given.largest, threshold.value)
    if given.points:
        words = f"localized: marks {in_percent(given.marked)} of the image (largest value {largest}"
        words += f" exceeds {limit}, {threshold.brief})"
    else:
        words = f"nothing here makes this sound (largest value {largest} does not exceed {limit},"
        words += f" {threshold.brief})"
    negatives = [each for each in numbers if each.condition != POSITIVE]
    return _with_errors(Verdict(words, given.points, _distrust(negatives)), rates, given.largest)


def _with_errors(
    verdict: Verdict, rates: ErrorRates | None, largest: float, frames: int | None = None
) -> Verdict:
    """A verdict with how often it is wrong, and a warning where a wrong sound may give it too."""
    if rates is None:
        return replace(verdict, errors=(UNKNOWN,))
    chance = chances(rates, largest, frames)
    warnings = wrong_sound_warnings(rates, chance, frames) if verdict.localized else []
    return replace(
        verdict,
        warnings=(*verdict.warnings, *warnings),
        errors=errors_in_words(rates, chance, frames),
        by_chance=chance,
    )


def why_no_verdict(threshold: Threshold | None, *, model: str, transform: str) -> str:
    """Why nothing can be said of this model's maps, or nothing without a threshold; else empty."""
    if transform != "none":
        hint = " (--model rcgrad_raw has the map before that)" if model == "rcgrad" else ""
        return (
            f"no verdict is possible: every map of {model} is stretched to [0, 1], so its largest"
            f" value says nothing{hint}"
        )
    return "" if threshold is not None else NO_THRESHOLD


def _distrust(negatives: Sequence[MapNumbers]) -> tuple[str, ...]:
    pointing = []
    for condition in dict.fromkeys(each.condition for each in negatives):
        of_it = [each for each in negatives if each.condition == condition]
        count = sum(each.points for each in of_it)
        if count:
            share = f" ({count} of {len(of_it)} draws)" if len(of_it) > 1 else ""
            pointing.append(f"{condition}{share}")
    if not pointing:
        return ()
    return (f"this model also points under {' and '.join(pointing)}: do not trust it here",)


def judge_video(
    frames: int,
    localized: int,
    marked: float,
    largest: float,
    pointing: Mapping[str, int],
    threshold: Threshold | None,
    *,
    model: str,
    transform: str,
    rates: ErrorRates | None = None,
) -> Verdict:
    """The verdict on a video.

    Args:
        frames: number of frames that were looked at.
        localized: in how many of them the sound is localized.
        marked: share of the image that is marked in these, on average.
        largest: largest value of all maps of the video's sound.
        pointing: audio condition of a negative -> in how many frames it is localized too.
        threshold: threshold; None for none.
        model: name of the model.
        transform: its `map_transform`.
        rates: how often a verdict is wrong in a calibration run; None without one.
    """
    reason = why_no_verdict(threshold, model=model, transform=transform)
    if threshold is None or reason:
        return Verdict(reason or NO_THRESHOLD, None)
    if not math.isfinite(largest):
        return Verdict("no verdict is possible: the maps hold NaN", None)
    value, limit = apart(largest, threshold.value)
    if localized:
        words = (
            f"localized in {localized} of {frames} frames: marks {in_percent(marked)} of the image"
            f" there on average (largest value {value} exceeds {limit}, {threshold.brief})"
        )
    else:
        words = (
            f"nothing here makes this sound in any of {frames} frames (largest value {value} does"
            f" not exceed {limit}, {threshold.brief})"
        )
    also = [f"{name} in {count} of {frames} frames" for name, count in pointing.items() if count]
    warning = f"this model also points under {' and '.join(also)}: do not trust it there"
    verdict = Verdict(words, bool(localized), (warning,) if also else ())
    return _with_errors(verdict, rates, largest, frames)


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
    """Two numbers with as many digits as it takes to tell them apart, at least two."""
    for digits in _DIGITS:
        texts = (f"{first:.{digits}f}", f"{second:.{digits}f}")
        if texts[0] != texts[1]:
            break
    return texts

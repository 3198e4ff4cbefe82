"""How often a verdict is wrong, in words and numbers: error rates, p values, many frames."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vssl.analysis.error_rates import ErrorRates, Share

Chance = dict[str, float]
"""Numbers of what one type of negatives does by chance, see `chances`."""

UNKNOWN = (
    "how often this is wrong is unknown, and no wrong sound was tested: --calibration RUN, a"
    " finished run of this model, would tell"
)
"""Said at a threshold without a calibration run."""


def chances(rates: ErrorRates, largest: float, frames: int | None = None) -> dict[str, Chance]:
    """Say what negatives of each type do by chance, by the calibration run's rates.

    `largest` is the largest value of the given sound's maps; `frames` is None for an image. Of many
    frames the best is looked at, so its p value is Bonferroni's: times the number of frames, at
    most 1. That holds however they depend on each other, unlike what is said of independent frames.
    """
    found = {name: {"p": value} for name, value in rates.p_values(largest).items()}
    if frames is not None:
        for name, chance in found.items():
            rate = rates.false_alarms[name].rate
            chance["p_all_frames"] = min(frames * chance["p"], 1.0)
            chance["frames_marked"] = frames * rate
            chance["some_frame_if_independent"] = 1 - (1 - rate) ** frames
    return found


def errors_in_words(
    rates: ErrorRates, chance: Mapping[str, Chance], frames: int | None = None
) -> tuple[str, ...]:
    """Lines that say how often a verdict is wrong, of the given `chances`."""
    lines = [
        f"how often this is wrong, by the calibration run ({rates.dataset}) at this threshold, with"
        " 95 % intervals:"
    ]
    for name, share in rates.false_alarms.items():
        own = chance[name]
        line = f"{name}: something marked in {_share_in_words(share)}"
        if frames is None:
            line += f"; this map: p = {own['p']:.2g}"
        else:
            line += (
                f", so by chance in {own['frames_marked']:.1f} of {frames} frames; best frame:"
                f" p = {own['p']:.2g}, for {frames} frames {own['p_all_frames']:.2g}"
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
    """Warnings where a wrong sound of the calibration run reaches as high too often."""
    found = []
    for name in rates.wrong_sounds:
        value = chance[name]["p" if frames is None else "p_all_frames"]
        if value <= rates.level:
            continue
        share = f"p = {value:.2g} against {name} of the calibration run"
        found.append(f"a wrong sound is not ruled out: {share}")
        needed = math.ceil(round((frames or 1) / rates.level - 1, 6))
        if rates.reach[name].images < needed:
            found[-1] += (
                f", whose {rates.reach[name].images} images are too few to rule it out"
                f"{'' if frames is None else f' in {frames} frames'} ({needed} are needed)"
            )
    return found


def _share_in_words(share: Share) -> str:
    rate, low, high = (f"{100 * each:.1f}" for each in (share.rate, share.low, share.high))
    return f"{rate} % ({low} to {high}) of {share.maps} maps of {share.images} images"

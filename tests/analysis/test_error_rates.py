"""How often verdicts are wrong: against scipy, plain loops, and simulations of known truth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from vssl.analysis.error_rates import ErrorRates, Reach, Share, share_of
from vssl.localize.verdict import (
    MapNumbers,
    Threshold,
    chances,
    errors_in_words,
    judge,
    wrong_sound_warnings,
)
from vssl.types import POSITIVE

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def wilson(count: int, number: int) -> tuple[float, float]:
    """Scipy's 95 % interval."""
    found = scipy.stats.binomtest(count, number).proportion_ci(method="wilson")
    return found.low, found.high


def share(found: Mask, image: Index, clip: Index | None = None) -> Share:
    """A share that there is."""
    result = share_of(found, image, clip)
    assert result is not None
    return result


@pytest.mark.parametrize(("count", "number"), [(1, 7), (3, 60), (30, 60), (59, 60), (217, 1000)])
def test_intervals_of_one_map_an_image_are_scipys(count: int, number: int) -> None:
    found = share(np.arange(number) < count, np.arange(number))
    assert (found.rate, found.maps, found.images) == (count / number, number, number)
    assert (found.low, found.high) == pytest.approx(wilson(count, number), abs=1e-6)


@pytest.mark.parametrize("marked", [True, False])
def test_images_count_where_all_maps_agree(marked: bool) -> None:
    """Ten draws that all mark nothing may depend on each other: no variance is seen."""
    found = share(np.full(600, marked), np.repeat(np.arange(60), 10))
    assert (found.low, found.high) == pytest.approx(wilson(60 * marked, 60), abs=1e-6)
    assert found.low < found.high


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_intervals_hold_the_rate(pairs: list[tuple[int, bool]]) -> None:
    found = share(np.array([f for _, f in pairs]), np.array([i for i, _ in pairs]))
    assert 0 <= found.low <= found.rate <= found.high <= 1
    assert found.low < found.high
    assert found.images == len({i for i, _ in pairs})


@pytest.mark.parametrize("dependence", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("images", "draws", "rate"), [(60, 2, 0.05), (250, 10, 0.1)])
def test_intervals_cover_the_truth(images: int, draws: int, rate: float, dependence: float) -> None:
    """Rates of images are beta distributed, `dependence` is the correlation of their draws."""
    generator = np.random.default_rng(11)
    image, covered, repetitions = np.repeat(np.arange(images), draws), 0, 1000
    for _ in range(repetitions):
        own = np.full(images, rate)
        if dependence == 1:
            own = (generator.random(images) < rate).astype(float)
        elif dependence:
            both = (1 - dependence) / dependence
            own = generator.beta(rate * both, (1 - rate) * both, images)
        found = share((generator.random((images, draws)) < own[:, None]).ravel(), image)
        covered += found.low <= rate <= found.high
    assert 0.925 < covered / repetitions < 0.985


@pytest.mark.parametrize("clips", [40, 200])
def test_intervals_cover_the_truth_where_clips_are_shared(clips: int) -> None:
    """Image and clip each make up a fifth of what decides whether a map is marked."""
    generator = np.random.default_rng(3)
    images, draws, rate, repetitions = 100, 4, 0.2, 1000
    limit, image = scipy.stats.norm.isf(rate), np.repeat(np.arange(images), draws)
    covered = np.zeros(2)
    for _ in range(repetitions):
        clip = generator.integers(clips, size=len(image))
        parts = [generator.standard_normal(size) for size in (images, clips, len(image))]
        values = math.sqrt(0.2) * (parts[0][image] + parts[1][clip]) + math.sqrt(0.6) * parts[2]
        both, one = (share(values > limit, image, each) for each in (clip, None))
        covered += [each.low <= rate <= each.high for each in (both, one)]
    assert 0.925 < covered[0] / repetitions < 0.98
    assert covered[1] < covered[0]


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30),
    st.floats(-1, 1, width=32),
)
def test_p_counts_the_negatives_that_reach_as_high(maxima: list[float], largest: float) -> None:
    reach = Reach.of(np.array(maxima), np.arange(len(maxima)))
    expected = (1 + sum(value >= largest for value in maxima)) / (len(maxima) + 1)
    assert reach.p_value(largest) == pytest.approx(expected)
    twice = Reach.of(np.array(2 * maxima), np.tile(np.arange(len(maxima)), 2))
    assert twice.p_value(largest) == pytest.approx(expected), "copies say nothing more"
    assert reach.p_value(largest) <= reach.p_value(largest - 0.1)
    assert reach.p_value(math.nan) == 1


@pytest.mark.parametrize("shared", [0.0, 0.7, 1.0])
def test_p_is_rarely_small_for_a_negative_of_another_image(shared: float) -> None:
    """With draws that share much of their image, where a count of maps would be too bold."""
    generator = np.random.default_rng(5)
    images, draws, repetitions = 19, 5, 1500
    image = np.repeat(np.arange(images), draws)
    values = np.empty(repetitions)
    for place in range(repetitions):
        own = generator.standard_normal((images + 1, 1)) * math.sqrt(shared)
        maxima = own + generator.standard_normal((images + 1, draws)) * math.sqrt(1 - shared)
        values[place] = Reach.of(maxima[:-1].ravel(), image).p_value(maxima[-1, 0])
    for level in (0.05, 0.1, 0.3):
        error = math.sqrt(level * (1 - level) / repetitions)
        assert (values <= level).mean() < level + 3 * error


def made_rates(**changed: Any) -> ErrorRates:
    """Rates of a run of 40 images, whose offscreen sounds reach 0.01 to 0.40."""
    maxima = {"silence": np.zeros(40), "offscreen": np.arange(1, 41) / 100}
    image = np.arange(40)
    shares = {name: share(values > 0.3, image) for name, values in maxima.items()}
    rates = ErrorRates(
        run="run",
        dataset="vggss",
        false_alarms=shares,
        misses=share(image < 4, image),
        right_places=share(image < 9, image),
        undefined=0,
        in_sample=True,
        wrong_sounds=("offscreen",),
        reach={name: Reach.of(values, image) for name, values in maxima.items()},
    )
    return replace(rates, **changed)


@pytest.mark.parametrize(
    ("largest", "frames", "warning"),
    [
        (0.5, None, ""),
        (0.4, None, ""),  # p = 2 / 41
        (0.395, None, ""),
        (0.385, None, "a wrong sound is not ruled out: p = 0.073 against offscreen"),
        (0.5, 1, ""),
        (0.5, 2, ""),  # 2 frames x 1 / 41
        (0.4, 3, "p = 0.15 against offscreen of the calibration run, whose 40 images are too few"
         " to rule it out in 3 frames (59 are needed)"),
    ],
)  # fmt: skip
def test_wrong_sounds_that_reach_as_high_are_a_warning(
    largest: float, frames: int | None, warning: str
) -> None:
    rates = made_rates()
    found = wrong_sound_warnings(rates, chances(rates, largest, frames), frames)
    assert len(found) == bool(warning)
    assert warning in " ".join(found)


def test_what_frames_do_by_chance() -> None:
    rates = made_rates()
    offscreen = chances(rates, 0.4, 30)["offscreen"]
    assert offscreen == pytest.approx(
        {
            "p": 2 / 41,
            "p_all_frames": 1.0,
            "frames_marked": 30 * 0.25,
            "some_frame_if_independent": 1 - 0.75**30,
        }
    )
    words = " ".join(errors_in_words(rates, chances(rates, 0.4, 30), 30))
    assert "by chance in 7.5 of 30 frames" in words
    assert "offscreen marks some frame in about 25.0 % (all frames alike) to 100.0 %" in words


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "offscreen: something marked in 25.0 % (14.2 to 40.2) of 40 maps of 40 images;"
         " this map: p = 0.12"),
        ({}, "own sound: nothing marked in 10.0 % (4.0 to 23.1) of 40 maps"),
        ({"wrong_sounds": ()}, "no wrong sound was tested"),
        ({"false_alarms": {}, "reach": {}, "wrong_sounds": ()}, "no wrong sound was tested"),
        ({"undefined": 3}, "3 maps of the calibration run hold NaN and are left out"),
        ({"misses": None, "right_places": None}, "silence: something marked in 0.0 %"),
    ],
)  # fmt: skip
def test_rates_in_words(changed: dict[str, Any], words: str) -> None:
    rates = made_rates(**changed)
    assert words in " ".join(errors_in_words(rates, chances(rates, 0.37)))


def test_only_where_something_is_localized_a_wrong_sound_is_a_warning() -> None:
    limit = Threshold(0.3, "given", "given")
    for largest, warnings in ((0.35, 1), (0.25, 0)):
        numbers = [MapNumbers(POSITIVE, 0, largest, 0.0, largest, 0.0, float(largest > 0.3))]
        verdict = judge([numbers], limit, model="ezvsl", transform="none", rates=made_rates())
        assert len(verdict.warnings) == warnings

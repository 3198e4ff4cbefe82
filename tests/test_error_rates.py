"""How often verdicts are wrong: against scipy, plain loops, and simulations of known truth."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import draw_vggss
from tests.making_videos import make_video
from tests.running import HEARS, maps, records, run
from vssl.commands.localize_image import localize_image
from vssl.commands.localize_setup import set_up
from vssl.commands.localize_threshold import Wanted
from vssl.commands.localize_video import localize_video
from vssl.errors import UsageError
from vssl.metrics.ciou import consensus_iou
from vssl.records.error_rates import ErrorRates, Reach, Share, error_rates, share_of
from vssl.reporting.error_words import UNKNOWN, chances, errors_in_words, wrong_sound_warnings
from vssl.reporting.verdict import MapNumbers, Threshold, judge
from vssl.types import POSITIVE

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
HEARD = (*(each for each in HEARS if not each.startswith("model=")), "trainer=cpu")
QUICK = ("threshold=universal_q3", "metrics=pia", "bootstrap.resamples=10", "subsets=[]")


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


def test_maps_that_are_the_same_count_once() -> None:
    """Under silence both samples of an image have one map; 1 of 120 is lost by linearisation."""
    marked, image = np.arange(60) < 12, np.arange(60)
    once = share(marked, image)
    twice = share(np.tile(marked, 2), np.tile(image, 2))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=2e-3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_intervals_hold_the_rate(pairs: list[tuple[int, bool]]) -> None:
    found = share(np.array([f for _, f in pairs]), np.array([i for i, _ in pairs]))
    assert 0 <= found.low <= found.rate <= found.high <= 1
    assert found.low < found.high
    assert found.images == len({i for i, _ in pairs})


@pytest.mark.parametrize("dependence", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("images", "draws", "rate"), [(60, 2, 0.05), (60, 2, 0.2), (250, 10, 0.1)])
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


@settings(max_examples=100, deadline=None)
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
    images, draws, repetitions = 19, 5, 4000
    image = np.repeat(np.arange(images), draws)
    values = np.empty(repetitions)
    for place in range(repetitions):
        own = generator.standard_normal((images + 1, 1)) * math.sqrt(shared)
        maxima = own + generator.standard_normal((images + 1, draws)) * math.sqrt(1 - shared)
        values[place] = Reach.of(maxima[:-1].ravel(), image).p_value(maxima[-1, 0])
    for level in (0.05, 0.1, 0.3):
        error = math.sqrt(level * (1 - level) / repetitions)
        assert (values <= level).mean() < level + 3 * error


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set, and a run of the small model that hears, in the folder `run` beside it."""
    folder = tmp_path_factory.mktemp("toy")
    root = draw_vggss(folder / "vggss")
    negatives = ("negatives=all", "negatives.noise.draws=2", "negatives.offscreen.draws=3")
    run(folder / "run", *HEARS, "data=vggss", f"data.root={root}", *negatives, *QUICK)
    (folder / "run" / "run.json").write_text("{}")
    return root


def test_rates_are_those_of_the_upsampled_maps(toy: Path) -> None:
    folder = toy.parent / "run"
    found = records(folder)
    native = torch.from_numpy(maps(found).reshape(len(found), 1, 32, 32))
    shown = torch.nn.functional.interpolate(native, size=(224, 224), mode="bilinear")[:, 0]
    reached = shown.amax(dim=(1, 2)).unique()
    threshold = float(reached[len(reached) // 2 :][:2].mean())
    rates = error_rates(folder, variant="av", threshold=threshold, in_sample=False)
    marked = (shown > threshold).flatten(1).any(dim=1).numpy()
    for name in ("silence", "noise", "offscreen"):
        chosen = (found["audio_condition"] == name).to_numpy(copy=True)
        assert rates.false_alarms[name].rate == pytest.approx(marked[chosen].mean())
        assert rates.false_alarms[name].maps == chosen.sum()
        largest = shown[chosen].amax(dim=(1, 2)).numpy()
        assert rates.p_values(float(largest.max()) + 1)[name] == pytest.approx(
            1 / (rates.false_alarms[name].images + 1)
        )
    own = (found["audio_condition"] == POSITIVE).to_numpy(copy=True)
    assert rates.misses is not None
    assert rates.misses.rate == pytest.approx(1 - marked[own].mean())
    truth = torch.zeros(len(found), 224, 224)
    for place, boxes in enumerate(found["boxes"]):
        for x0, y0, x1, y1 in boxes:
            truth[place, y0:y1, x0:x1] = 1
    ciou = consensus_iou(shown > threshold, truth).numpy()
    assert rates.right_places is not None
    assert rates.right_places.maps == (own & marked).sum()
    assert rates.right_places.rate == pytest.approx((ciou[own & marked] >= 0.5).mean())
    assert rates.wrong_sounds == ("offscreen",)
    assert rates.undefined == 0


def localized(root: Path, name: str, output: Path, **options: Any) -> dict[str, Any]:
    """localize.json of a sample, with the small model that hears."""
    wanted = Wanted(**{"model": "ezvsl", "overrides": HEARD, "noise_draws": 2, **options})
    picture, sound = root / "frames" / f"{name}.jpg", root / "audio" / f"{name}.wav"
    localize_image(picture, sound, lambda: set_up(wanted), output)
    content: dict[str, Any] = json.loads((output / "localize.json").read_text())
    return content


def test_a_verdict_stands_beside_how_often_it_is_wrong(tmp_path: Path, toy: Path) -> None:
    calibration = toy.parent / "run"
    found = localized(toy, "clip1_000010", tmp_path / "out", calibration=calibration)
    rates = error_rates(
        calibration, variant="av", threshold=found["threshold"]["value"], in_sample=True
    )
    assert found["error_rates"] == json.loads(json.dumps(rates.as_json()))
    largest = found["maps"][0]["largest"]
    for name, value in rates.p_values(largest).items():
        assert found["verdict"]["by_chance"][name]["p"] == pytest.approx(value)
    lines = found["verdict"]["errors"]
    assert [line.partition(":")[0] for line in lines[1:5]] == [
        "silence", "noise", "offscreen", "own sound",
    ]  # fmt: skip
    assert "learnt on these very maps" in lines[-1]


@pytest.mark.parametrize("options", [{"threshold": 0.1}, {"policy": "fixed"}])
def test_rates_of_a_constant_threshold_are_known_with_a_run_only(
    tmp_path: Path, toy: Path, options: dict[str, Any]
) -> None:
    without = localized(toy, "clip1_000010", tmp_path / "out", **options)
    assert without["error_rates"] is None
    assert without["verdict"]["errors"] == [UNKNOWN]
    options = {**options, "calibration": toy.parent / "run"}
    found = localized(toy, "clip1_000010", tmp_path / "out", **options)
    assert found["threshold"]["value"] == without["threshold"]["value"]
    assert found["threshold"]["calibration"] is None
    assert found["error_rates"]["in_sample"] is False
    assert set(found["error_rates"]["false_alarms"]) == {"silence", "noise", "offscreen"}
    assert not any("very maps" in line for line in found["verdict"]["errors"])


def test_a_stated_rate_is_kept_in_the_calibration_run(tmp_path: Path, toy: Path) -> None:
    calibration = toy.parent / "run"
    found = localized(
        toy, "clip1_000010", tmp_path / "out", calibration=calibration, false_alarms=0.2
    )
    assert found["threshold"]["policy"] == "false_alarm_20"
    assert found["error_rates"]["level"] == 0.2
    rates = [share["rate"] for share in found["error_rates"]["false_alarms"].values()]
    assert max(rates) <= 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_alarms": 0.05}, r"--false-alarms chooses .*: give --calibration RUN"),
        (
            {"false_alarms": 0.01, "calibration": Path("run")},
            r"1 % of false alarms needs at least 99 images, and its silence has \d+\. State a rate",
        ),
        (
            {"policy": "false_alarm_1", "calibration": Path("run")},
            r"--calibration run: 1 % of false alarms needs at least 99 images",
        ),
        ({"threshold": 0.1, "calibration": Path("nowhere")}, r"nowhere: holds no finished run"),
    ],
)
def test_faults_have_one_error(
    monkeypatch: pytest.MonkeyPatch, toy: Path, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(toy.parent)
    with pytest.raises(UsageError, match=message):
        set_up(Wanted("ezvsl", overrides=HEARD, **options))


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
        verdict = judge(numbers, limit, model="ezvsl", transform="none", rates=made_rates())
        assert len(verdict.warnings) == warnings


def test_a_video_says_what_many_frames_do(tmp_path: Path, toy: Path) -> None:
    video = make_video(tmp_path / "video.mp4")
    wanted = Wanted("ezvsl", overrides=HEARD, noise_draws=1, calibration=toy.parent / "run")
    verdict = localize_video(
        video, None, lambda: set_up(wanted), tmp_path / "out", fps=5, draw_video=False
    )
    found = json.loads((tmp_path / "out" / "localize.json").read_text())
    assert found["verdict"]["by_chance"].keys() == {"silence", "noise", "offscreen"}
    for name, chance in verdict.by_chance.items():
        rate = found["error_rates"]["false_alarms"][name]["rate"]
        assert chance["frames_marked"] == pytest.approx(10 * rate)
        assert chance["p_all_frames"] == pytest.approx(min(1, 10 * chance["p"]))
    assert any("for 10 frames" in line for line in verdict.errors)
    rows = pd.read_csv(tmp_path / "out" / "timeline.csv")
    own = rows[rows["audio_condition"] == POSITIVE]
    for name, chance in verdict.by_chance.items():
        assert own[f"p_{name}"].min() == pytest.approx(chance["p"], rel=1e-6)
    assert rows[rows["audio_condition"] != POSITIVE]["p_offscreen"].isna().all()

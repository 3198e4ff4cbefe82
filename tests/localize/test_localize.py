"""vssl-localize: the maps of vssl-evaluate, verdicts, how often they are wrong, and videos."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.helpers.drawn import draw_vggss, write_picture, write_tone
from tests.helpers.localizing import HEARD, localized, make_video, options, read_sound, read_video
from tests.helpers.running import HEARS, Loudness, maps, records, run
from vssl.analysis.error_rates import error_rates
from vssl.cli.localize import main
from vssl.core.errors import UsageError
from vssl.engine.localizer import Localizer
from vssl.localize import video as localize_video
from vssl.localize.figures import bar_height, frame_layer
from vssl.localize.setup import set_up
from vssl.localize.verdict import UNKNOWN, MapNumbers, Threshold, distinguishable, in_percent, judge
from vssl.metrics.ciou import consensus_iou
from vssl.negatives.manifest import read_manifest
from vssl.records.files import MANIFEST_FILE
from vssl.records.truth import GroundTruth
from vssl.reporting.figures.overlay import in_range
from vssl.types import POSITIVE, AudioClip

NEGATIVES = ("negatives=[silence,noise]", "negatives.noise.draws=2")
QUICK = ("threshold=universal_q3", "metrics=pia")
TESTED = ("silence", "noise", "offscreen")


def evaluated(folder: Path, *overrides: str) -> pd.DataFrame:
    """The summary of a run, which has ended."""
    summary = run(folder, "data=vggss", *overrides, *QUICK)
    (folder / "run.json").write_text("{}")  # which the command writes last
    return summary


def pair(root: Path, name: str) -> tuple[Path, Path]:
    """Picture and sound of a sample of a test set."""
    return root / "frames" / f"{name}.jpg", root / "audio" / f"{name}.wav"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set, and a run of the small model that hears, in the folder `run` beside it."""
    folder = tmp_path_factory.mktemp("toy")
    root = draw_vggss(folder / "vggss")
    negatives = ("negatives=all", "negatives.noise.draws=2", "negatives.offscreen.draws=3")
    evaluated(folder / "run", *HEARS, f"data.root={root}", *negatives)
    return root


@pytest.mark.parametrize(
    ("model", "overrides"), [("ezvsl", ()), ("rcgrad", ()), ("lvs", ("protocol=released",))]
)
def test_maps_are_those_of_an_evaluation(
    tmp_path: Path,
    toy: Path,
    seeded_checkpoint: Callable[..., Path],
    model: str,
    overrides: tuple[str, ...],
) -> None:
    """The same pair, silence and noise; and the threshold that the run was scored at.

    A run draws noise for its test set, so it is given the seed that the run's manifest has.
    """
    weights = seeded_checkpoint(model)
    network = (f"model={model}", f"model.weights={weights}", *overrides)
    summary = evaluated(tmp_path / "run", f"data.root={toy}", "data.limit=2", *network, *NEGATIVES)
    found = records(tmp_path / "run")
    name = str(found["sample_id"].iloc[0])
    rows = read_manifest(tmp_path / "run" / MANIFEST_FILE).to_pylist()
    (seed,) = {row["seed"] for row in rows if row["condition"] == "noise"}
    given = {"model": model, "weights": weights, "overrides": (*overrides, f"seed={seed}")}
    numbers, arrays = localized(
        *pair(toy, name), tmp_path / "out", calibration=tmp_path / "run", **given
    )
    own = found[found["sample_id"] == name]
    keys = list(zip(own["audio_condition"], own["draw"], strict=True))
    assert list(zip(arrays["audio_condition"], arrays["draw"], strict=True)) == keys
    largest = np.abs(maps(own)).max()
    np.testing.assert_allclose(
        arrays["similarity_map"].reshape(len(own), -1), maps(own), atol=1e-5 * max(1, largest)
    )
    fitted = summary[summary["threshold_policy"] == "universal_q3"]["threshold"].iloc[0]
    assert numbers["threshold"]["value"] == pytest.approx(fitted, rel=1e-6)
    assert numbers["threshold"]["source"] == "fit on vggss (first 2) (silence+noise)"
    assert numbers["provenance"]["weights"]["file"] == weights.name
    assert (numbers["verdict"]["localized"] is None) == (model == "rcgrad")
    with Image.open(tmp_path / "out" / "localize.png") as picture:
        assert picture.width > 500
    if model == "ezvsl":
        given["weights"] = seeded_checkpoint(model, seed=1)
        with pytest.raises(UsageError, match=r"is a run of ezvsl with other weights"):
            set_up(options(calibration=tmp_path / "run", **given))


def test_object_guided_maps_are_judged_with_their_own_threshold(
    tmp_path: Path, toy: Path, prior_file: Path
) -> None:
    prior = ("prior=object_guided", f"prior.weights={prior_file}")
    summary = evaluated(tmp_path / "run", f"data.root={toy}", *HEARS, *NEGATIVES, *prior)
    given = {"calibration": tmp_path / "run", "overrides": (*HEARD, *prior)}
    numbers, arrays = localized(*pair(toy, "clip1_000010"), tmp_path / "out", **given)
    guided = summary[summary["map_variant"] == "ogl"]["threshold"].dropna().unique()
    assert numbers["threshold"]["value"] == pytest.approx(guided[0], rel=1e-6)
    assert numbers["provenance"]["map_variant"] == "ogl"
    assert arrays["object_map"].ndim == 2
    overrides = ("model.name=ezvsl", "trainer=cpu", *prior)
    with pytest.raises(UsageError, match=r"in units of the model's own map"):
        set_up(options(model="audio_blind", policy="released_q3", overrides=overrides))


def test_largest_values_and_marked_share_follow_from_the_native_maps(
    tmp_path: Path, toy: Path
) -> None:
    numbers, arrays = localized(*pair(toy, "clip2_000010"), tmp_path / "out", threshold=0.05)
    native = torch.from_numpy(arrays["similarity_map"])
    upsampled = torch.nn.functional.interpolate(
        native[:, None], size=(224, 224), mode="bilinear", align_corners=False
    )[:, 0]
    for each, mine, above in zip(numbers["maps"], upsampled, native, strict=True):
        assert each["largest"] == pytest.approx(float(mine.max()), abs=1e-6)
        assert each["smallest"] == pytest.approx(float(mine.min()), abs=1e-6)
        assert each["native_largest"] == pytest.approx(float(above.max()), abs=1e-6)
        assert each["marked"] == pytest.approx(float((mine > 0.05).double().mean()), abs=1e-4)
    assert [m["condition"] for m in numbers["maps"]] == [POSITIVE, "silence", "noise", "noise"]


LIMIT = Threshold(0.55, "universal_q3", "fit on vggss (silence+noise)", "run", "0" * 64)


@pytest.mark.parametrize(
    ("given", "others", "words", "warning"),
    [
        ((0.7, 0.12), [], "localized: marks 12 % of the image (largest value 0.70 exceeds 0.55,"
         " universal_q3 fit on vggss)", ""),
        ((0.51, 0.0), [], "nothing here makes this sound (largest value 0.51 does not exceed 0.55,"
         " universal_q3 fit on vggss)", ""),
        ((0.5496, 0.0), [], "nothing here makes this sound (largest value 0.5496 does not exceed"
         " 0.5500, universal_q3 fit on vggss)", ""),
        ((0.7, 0.1), [("silence", 0.6, 0.2)], "localized",
         "this model also points under silence: do not trust it here"),
        ((0.5, 0.0), [("noise", 0.6, 0.2), ("noise", 0.5, 0.0)], "nothing here",
         "this model also points under noise (1 of 2 draws): do not trust it here"),
        ((math.nan, 0.0), [], "no verdict is possible: the map holds NaN", ""),
    ],
)  # fmt: skip
def test_verdicts_in_words(
    given: tuple[float, float], others: list[tuple[str, float, float]], words: str, warning: str
) -> None:
    maps_of = [(POSITIVE, *given), *others]
    numbers = [MapNumbers(name, 0, high, 0.0, high, 0.0, marked) for name, high, marked in maps_of]
    verdict = judge([numbers], LIMIT, model="ezvsl", transform="none")
    assert verdict.words.startswith(words)
    assert verdict.warnings == ((warning,) if warning else ())
    assert verdict.localized == (None if math.isnan(given[0]) else given[1] > 0)


def test_verdicts_on_videos_in_words() -> None:
    def frame(given: float, silence: float) -> list[MapNumbers]:
        named = ((POSITIVE, given), ("silence", silence))
        return [MapNumbers(n, 0, v, 0.0, v, 0.0, v - 0.55 if v > 0.55 else 0.0) for n, v in named]

    frames = [frame(0.7, 0.6), frame(0.65, 0.1), frame(0.1, 0.6), frame(math.nan, 0.1)]
    verdict = judge(frames, LIMIT, model="ezvsl", transform="none", video=True)
    assert verdict.words == (
        "localized in 2 of 4 frames: marks 12 % of the image there on average (largest value 0.70"
        " exceeds 0.55, universal_q3 fit on vggss)"
    )
    warning = "this model also points under silence in 2 of 4 frames: do not trust it there"
    assert verdict.warnings == (warning,)
    verdict = judge(frames[2:], LIMIT, model="ezvsl", transform="none", video=True)
    assert verdict.words.startswith("nothing here makes this sound in any of 2 frames (largest")


def test_small_differences_and_small_shares_stay_visible() -> None:
    assert distinguishable(0.5, 0.61) == ("0.50", "0.61")
    assert distinguishable(0.61749, 0.61752) == ("0.617", "0.618")
    assert distinguishable(0.9914, 0.9977) == ("0.991", "0.998")  # not 1.00: the threshold is below
    assert distinguishable(0.5, 0.5) == ("0.500000", "0.500000")
    shares = {0.0: "nothing", 1e-5: "less than 0.1 %", 0.0456: "4.6 %", 1.0: "100 %"}
    assert {share: in_percent(share) for share in shares} == shares


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"policy": "half_image"}, r"--policy half_image gives every map a threshold of its own"),
        ({"policy": "nonsense"}, r"`--policy` to be one of best_of_19, .*universal_q3, but"),
        ({"policy": "universal_q4"}, r"Did you mean `universal_q3`"),
        ({"policy": "released_q3"}, r"released_q3 exists for ezvsl.*not for loudness"),
        ({"calibration": Path("nowhere")}, r"--calibration nowhere: holds no finished run"),
        ({"calibration": Path("nowhere"), "threshold": 0.1}, r"nowhere: holds no finished run"),
        ({"model": "oracle", "overrides": ()}, r"--model oracle: it is told where the source is"),
        ({"model": "deaf_best", "overrides": ()}, r"deaf_best: it is told where all objects are"),
        ({"weights": Path("nowhere.pth")}, r"loudness has no weights: leave model\.weights out"),
        ({"model": "lvs", "weights": Path("nowhere.pth"), "overrides": ()},
         r"nowhere\.pth: no such file"),
        ({"false_alarms": 0.05}, r"--false-alarms chooses .*: give --calibration RUN"),
        ({"false_alarms": 0.01, "calibration": Path("run")},
         r"1 % of false alarms needs at least 99 images, and its silence has \d+\. State a rate"),
        ({"policy": "false_alarm_1", "calibration": Path("run")},
         r"--calibration run: 1 % of false alarms needs at least 99 images"),
        *(
            ({"calibration": Path("run"), "overrides": (*HEARD, changed)}, message)
            for changed, message in (
                ("model.name=other", r"is a run of loudness, but other is scored"),
                ("protocol.antialias=false", r"with other switches"),
                ("model.frontend.scale=11", r"another front end, image size, argument or"),
            )
        ),
    ],
)  # fmt: skip
def test_faults_have_one_error(
    monkeypatch: pytest.MonkeyPatch, toy: Path, given: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(toy.parent)
    with pytest.raises(UsageError, match=message):
        set_up(options(**given))


def test_maps_without_bounds_are_drawn_between_their_own_extremes() -> None:
    values = np.array([[1.0, 3.0], [2.0, np.nan]])
    np.testing.assert_allclose(in_range(values, (0.0, math.inf)), [[0, 1], [0.5, 0]], atol=1e-9)
    np.testing.assert_allclose(in_range(values, (0.0, 4.0)), [[0.25, 0.75], [0.5, 0]])


def test_a_model_and_a_policy_of_ones_own_are_found_in_a_folder_of_configuration(
    tmp_path: Path, toy: Path, config_folder: Callable[[Path], None]
) -> None:
    config_folder(tmp_path / "conf")
    for group, name, text in (
        ("model", "mine", "defaults: [ezvsl, _self_]\nname: mine\nweights: null\n"
         "_target_: tests.helpers.running.Loudness\nimage: {size: 32}\n"),
        ("threshold", "low", "low: {_target_: vssl.thresholds.base.FixedThreshold, value: 0.1}\n"),
    ):  # fmt: skip
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(text)
    numbers, arrays = localized(
        *pair(toy, "clip0_000010"), tmp_path / "out", noise_draws=10,
        model="mine", overrides=("trainer=cpu",), policy="low",
    )  # fmt: skip
    assert numbers["threshold"]["value"] == 0.1
    assert numbers["provenance"]["model"] == "mine"
    assert arrays["similarity_map"].shape == (12, 32, 32)
    config_folder(Path("nowhere"))
    with pytest.raises(UsageError, match=r"nowhere: no such folder \(--config-dir\)"):
        set_up(options())


def test_silence_and_noise_are_as_long_as_the_sound_and_may_be_as_loud() -> None:
    loudness = ("negatives.noise.snr=6", "negatives.noise.over=clip")
    setup = set_up(options(overrides=(*HEARD, *loudness, "negatives.noise.colour=pink")))
    made = setup.negatives(AudioClip(np.full((2, 12_345), 0.25, np.float32)))
    assert {name: len(clips) for name, clips in made.items()} == {"silence": 1, "noise": 2}
    assert {clip.samples.shape for clips in made.values() for clip in clips} == {(1, 12_345)}
    for noise in made["noise"]:
        ratio = 0.25 / np.sqrt(np.mean(noise.samples.astype(np.float64) ** 2))
        assert 20 * np.log10(ratio) == pytest.approx(6, abs=1e-4)


def test_only_true_negatives_say_whether_to_trust_a_map(caplog: pytest.LogCaptureFixture) -> None:
    mix = "negatives=[silence,mixed,reversed,gain,offscreen]"
    setup = set_up(options(overrides=(*HEARD, mix)))
    assert [condition.name for condition in setup.conditions] == ["silence"]
    levels = "gain_down20, gain_down10, gain_up10, gain_up20"
    assert f"negatives: left out mixed, reversed, {levels}, offscreen" in caplog.text


@pytest.fixture
def given_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the command line, in a folder with a picture, a sound and a text."""
    write_picture(tmp_path / "a.jpg", (20, 20, 120, 120), seed=0)
    write_tone(tmp_path / "a.wav", hertz=300)
    (tmp_path / "text.jpg").write_text("no image")
    monkeypatch.chdir(tmp_path)
    model = ("--model", "audio_blind", "trainer=cpu")
    return lambda *words: monkeypatch.setattr(sys, "argv", ["vssl-localize", *words, *model])


def test_the_command_prints_a_table_and_writes_its_files(
    tmp_path: Path, given_line: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    given_line("a.jpg", "a.wav", "--threshold", "0.9", "--noise-draws", "3", "--output", "out")
    main()
    printed = capsys.readouterr().out
    assert "nothing here makes this sound" in printed
    assert "noise (highest of 3 draws)" in printed
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["localize.json", "localize.npz", "localize.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.jpg",), "a.jpg: is an image, which has no sound of its own. Give one behind it"),
        (("none.jpg", "a.wav"), "none.jpg: no such file"),
        (("a.jpg", "none.wav"), "none.wav: no such file"),
        (("text.jpg", "a.wav"), "text.jpg: not readable as image, video or sound"),
        (("a.wav", "a.jpg"), "Are picture and sound swapped?"),
        (("a.jpg", "text.jpg"), "text.jpg: not readable as audio"),
        (("a.jpg", "a.wav", "b.wav"), "got 3 files: a.jpg, a.wav, b.wav"),
        (("a.jpg", "a.wav", "--threshold", "0.5", "--policy", "fixed"), "give one of them"),
        (("a.jpg", "a.wav", "--false-alarms", "0.1", "--policy", "fixed"),
         "--policy and --false-alarms: each chooses the threshold"),
        (("a.jpg", "a.wav", "sed=1"), "Did you mean seed?"),
    ],
)  # fmt: skip
def test_the_command_names_what_is_at_fault(
    given_line: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    given_line(*arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert message in " ".join(capsys.readouterr().err.split())


# how often a verdict is wrong


def test_rates_are_those_of_the_upsampled_maps(toy: Path) -> None:
    found = records(toy.parent / "run")
    native = torch.from_numpy(maps(found).reshape(len(found), 1, 32, 32))
    shown = torch.nn.functional.interpolate(native, size=(224, 224), mode="bilinear")[:, 0]
    reached = shown.amax(dim=(1, 2)).unique()
    threshold = float(reached[len(reached) // 2 :][:2].mean())
    rates = error_rates(toy.parent / "run", variant="av", threshold=threshold, in_sample=False)
    marked = (shown > threshold).flatten(1).any(dim=1).numpy()
    for name in TESTED:
        chosen = (found["audio_condition"] == name).to_numpy(copy=True)
        assert rates.false_alarms[name].rate == pytest.approx(marked[chosen].mean())
        assert rates.false_alarms[name].maps == chosen.sum()
        above = float(shown[chosen].max()) + 1
        assert rates.p_values(above)[name] == 1 / (rates.false_alarms[name].images + 1)
    own = (found["audio_condition"] == POSITIVE).to_numpy(copy=True)
    truth = torch.zeros(len(found), 224, 224)
    objects = GroundTruth.of(toy.parent / "run").objects(found["sample_id"].to_list())
    for place, (boxes, *_) in enumerate(objects):
        for x0, y0, x1, y1 in boxes:
            truth[place, y0:y1, x0:x1] = 1
    ciou = consensus_iou(shown > threshold, truth).numpy()
    assert rates.misses is not None
    assert rates.misses.rate == pytest.approx(1 - marked[own].mean())
    assert rates.right_places is not None
    assert rates.right_places.maps == (own & marked).sum()
    assert rates.right_places.rate == pytest.approx((ciou[own & marked] >= 0.5).mean())
    assert rates.wrong_sounds == ("offscreen",)
    assert rates.undefined == 0


def test_a_verdict_stands_beside_how_often_it_is_wrong(tmp_path: Path, toy: Path) -> None:
    run_folder = toy.parent / "run"
    found, _ = localized(*pair(toy, "clip1_000010"), tmp_path / "out", calibration=run_folder)
    threshold = found["threshold"]["value"]
    rates = error_rates(run_folder, variant="av", threshold=threshold, in_sample=True)
    assert found["error_rates"] == json.loads(json.dumps(rates.as_json()))
    for name, value in rates.p_values(found["maps"][0]["largest"]).items():
        assert found["verdict"]["by_chance"][name]["p"] == pytest.approx(value)
    lines = found["verdict"]["errors"]
    assert [line.partition(":")[0] for line in lines[1:5]] == [*TESTED, "own sound"]
    assert "learnt on these very maps" in lines[-1]


def test_without_a_threshold_there_is_no_verdict(tmp_path: Path, toy: Path) -> None:
    found, _ = localized(*pair(toy, "clip1_000010"), tmp_path / "out")
    assert "--calibration RUN" in found["verdict"]["words"]
    assert found["verdict"]["localized"] is found["threshold"] is found["error_rates"] is None
    assert {each["marked"] for each in found["maps"]} == {None}


@pytest.mark.parametrize("given", [{"threshold": 0.1}, {"policy": "fixed"}])
def test_rates_of_a_constant_threshold_are_known_with_a_run_only(
    tmp_path: Path, toy: Path, given: dict[str, Any]
) -> None:
    files = (*pair(toy, "clip1_000010"), tmp_path / "out")
    without, _ = localized(*files, **given)
    assert without["error_rates"] is None
    assert without["verdict"]["errors"] == [UNKNOWN]
    found, _ = localized(*files, **given, calibration=toy.parent / "run")
    assert found["threshold"]["value"] == without["threshold"]["value"]
    assert found["threshold"]["calibration"] is None
    assert found["error_rates"]["in_sample"] is False
    assert set(found["error_rates"]["false_alarms"]) == set(TESTED)
    assert not any("very maps" in line for line in found["verdict"]["errors"])


def test_a_stated_rate_is_kept_in_the_calibration_run(tmp_path: Path, toy: Path) -> None:
    given = {"calibration": toy.parent / "run", "false_alarms": 0.2}
    found, _ = localized(*pair(toy, "clip1_000010"), tmp_path / "out", **given)
    assert found["threshold"]["policy"] == "false_alarm_20"
    assert found["error_rates"]["level"] == 0.2
    assert max(share["rate"] for share in found["error_rates"]["false_alarms"].values()) <= 0.2


# videos


def test_a_video_gives_a_drawn_video_a_timeline_and_numbers(tmp_path: Path, toy: Path) -> None:
    video, out = make_video(tmp_path / "video.mp4"), tmp_path / "out"
    found, arrays = localized(video, None, out, calibration=toy.parent / "run")
    assert sorted(path.name for path in out.iterdir()) == [
        "localize.json", "localize.mp4", "localize.npz", "timeline.csv", "timeline.png",
    ]  # fmt: skip
    times, frames = read_video(video)
    drawn_times, drawn = read_video(out / "localize.mp4")
    np.testing.assert_allclose(drawn_times, times, atol=1e-4)
    assert drawn[0].shape == frames[0].shape
    lengths = [read_sound(each).shape[1] for each in (video, out / "localize.mp4")]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.05)
    with Image.open(out / "timeline.png") as figure:
        assert figure.width == 1100
    assert (found["frames"], found["average_frame_rate"]) == (10, 10)
    rows = pd.read_csv(out / "timeline.csv")
    np.testing.assert_allclose(rows["seconds"], np.repeat(np.arange(10) / 5, 4))
    assert arrays["similarity_map"].shape == (10, 4, 32, 32)
    largest = arrays["similarity_map"].max(axis=(2, 3)).ravel()
    np.testing.assert_allclose(largest, rows["native_largest"], rtol=1e-5)
    own = rows["audio_condition"] == POSITIVE
    assert found["largest"] == pytest.approx(rows[own]["largest"].max())
    assert found["frames_localized"] == (rows[own]["marked"] > 0).sum()
    assert rows[~own]["p_offscreen"].isna().all()
    assert found["verdict"]["by_chance"].keys() == set(TESTED)
    for name, chance in found["verdict"]["by_chance"].items():
        rate = found["error_rates"]["false_alarms"][name]["rate"]
        assert chance["frames_marked"] == pytest.approx(10 * rate)
        assert chance["p_all_frames"] == pytest.approx(min(1, 10 * chance["p"]))
        assert rows[own][f"p_{name}"].min() == pytest.approx(chance["p"], rel=1e-6)
    assert any("for 10 frames" in line for line in found["verdict"]["errors"])


@pytest.mark.parametrize(
    ("seconds", "sounds"),
    [
        # shorter than what EZ-VSL hears: the sound, silence and two noises
        (10, 1 + 1 + 2),
        # half a second at either end hears the same second: frames 0 to 5 and 15 to 19
        (1, 20 - 5 - 4 + 1 + 2),
    ],
)
def test_each_distinct_frame_and_sound_is_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, sounds: int
) -> None:
    heard: list[int] = []
    seen: list[int] = []
    encode, localize = Localizer.encode_sounds, Localizer.localize

    def encode_sounds(self: Localizer, clips: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        heard.append(len(clips))
        return encode(self, clips, *args, **kwargs)

    def counted(self: Localizer, pictures: Any, *args: Any) -> Any:
        seen.append(len(pictures))
        return localize(self, pictures, *args)

    monkeypatch.setattr(Localizer, "encode_sounds", encode_sounds)
    monkeypatch.setattr(Localizer, "localize", counted)
    video = make_video(tmp_path / "video.mkv", sound_codec="pcm_s16le", rate=16_000)
    overrides = (*HEARD, "loader.batch_size=4", f"model.frontend.window.seconds={seconds}")
    out = tmp_path / "out"
    localized(video, None, out, overrides=overrides, fps=math.inf, draw_video=False)
    assert not (out / "localize.mp4").exists()
    assert seen == [4] * 5
    assert sum(heard) == sounds


def test_a_frame_hears_the_sound_around_it(tmp_path: Path) -> None:
    """The maps are those of the frame as an image with that part of the sound as a clip."""
    video = make_video(tmp_path / "video.mkv", codec="ffv1", sound_codec="pcm_s16le", rate=16_000)
    overrides = (*HEARD, "model.frontend.window.seconds=1")
    _, arrays = localized(video, None, tmp_path / "out", overrides=overrides, fps=math.inf)
    localizer = set_up(options(overrides=overrides)).localizer
    sound, (_, frames) = read_sound(video), read_video(video)
    for number, first in ((0, 0), (8, 4_800), (12, 11_200), (19, 16_000)):
        clip = AudioClip(np.ascontiguousarray(sound[:, first : first + 16_000]))
        pictures = [localizer.prepare(frames[number], "frame")]
        vectors = localizer.encode_sounds([clip])[None]
        expected = localizer.localize(pictures, vectors, [(POSITIVE, 0)]).similarity[0, 0]
        np.testing.assert_allclose(arrays["similarity_map"][number, 0], expected, atol=1e-5)


def test_another_sound_is_heard_and_kept(tmp_path: Path) -> None:
    video = make_video(tmp_path / "silent.mp4", sound_codec=None)
    with pytest.raises(UsageError, match=r"silent\.mp4: has no sound. Give one behind it"):
        localized(video, None, tmp_path / "out")
    write_tone(tmp_path / "other.wav", hertz=880, seconds=5.0)
    found, _ = localized(video, tmp_path / "other.wav", tmp_path / "out", threshold=0.1)
    assert found["sound"]["file"] == "other.wav"
    # cut where the video ends
    assert read_sound(tmp_path / "out" / "localize.mp4").shape[1] < 2.2 * 16_000


@pytest.mark.parametrize(
    ("name", "made", "frames", "size"),
    [
        ("odd.mkv", {"codec": "ffv1", "size": (97, 65), "turned": -90}, 10, (66, 98)),
        ("variable.ts", {"sound_codec": "mp2", "start": 30, "ticks": [0, 1, 5, 6, 7, 15]}, 4, None),
        ("one.mp4", {"ticks": [0]}, 1, None),
    ],
)
def test_unusual_videos(
    tmp_path: Path, name: str, made: dict[str, Any], frames: int, size: tuple[int, int] | None
) -> None:
    video = make_video(tmp_path / name, **made)
    found, _ = localized(video, None, tmp_path / "out", threshold=0.1)
    assert found["frames"] == frames
    _, drawn = read_video(tmp_path / "out" / "localize.mp4")
    assert drawn[0].shape[1::-1] == (size or (96, 64))
    assert len(drawn) == len(read_video(video)[1])


def test_a_video_that_takes_too_much_memory_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localize_video, "_MOST_MEMORY", 1e5)
    video = make_video(tmp_path / "video.mp4")
    with pytest.raises(UsageError, match=r"10 frames with 4 maps of 32 x 32.*--fps 1.*ffmpeg -ss"):
        localized(video, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Undefined(Loudness):
    """A model whose maps hold NaN."""

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return super().similarity(image_features, audio_features) * torch.nan


def test_maps_that_hold_nan_give_no_verdict(tmp_path: Path) -> None:
    overrides = (*HEARD, "model._target_=tests.localize.test_localize.Undefined")
    video = make_video(tmp_path / "video.mp4")
    found, _ = localized(video, None, tmp_path / "out", threshold=0.1, overrides=overrides)
    assert found["verdict"]["localized"] is None
    assert found["verdict"]["words"] == "no verdict is possible: the maps hold NaN"
    assert found["largest"] is None
    assert (tmp_path / "out" / "localize.mp4").is_file()


def layer_of(
    localization: torch.Tensor, numbers: list[MapNumbers], size: tuple[int, int]
) -> tuple[Any, Any]:
    limit = Threshold(0.25, "given", "given")
    return frame_layer(
        localization, numbers, size=size, bounds=(0.0, 1.0), threshold=limit, judged=True
    )


def test_values_above_the_threshold_are_outlined() -> None:
    localization = torch.zeros(224, 224)
    localization[60:120, 80:160] = 0.5
    numbers = [MapNumbers(POSITIVE, 0, 0.5, 0.0, 0.5, 0.0, 0.1)]
    factor, summand = layer_of(localization, numbers, (224, 224))
    drawn = (np.full((224, 224, 3), 100, np.uint8) * factor + summand).astype(np.uint8)
    assert (drawn[60, 85:155] == 255).all(), "white just inside"
    assert (drawn[59, 85:155] == 0).all(), "black just outside"
    assert len(np.unique(drawn[70:110, 90:150].reshape(-1, 3), axis=0)) == 1
    kept = drawn[150:200].astype(int)
    assert np.abs(kept - 75).max() <= 1, "where a map is lowest, 3/4 of the picture and black"


@pytest.mark.parametrize("size", [(48, 64), (112, 200), (240, 320), (1080, 1920)])
@pytest.mark.parametrize("marked", [0.0, 0.2])
def test_bars_fit_any_width(size: tuple[int, int], marked: float) -> None:
    numbers = [
        MapNumbers(POSITIVE, 0, 0.1 + marked, 0.0, 0.1, 0.0, marked),
        MapNumbers("silence", 0, 0.3, 0.0, 0.3, 0.0, 0.1),
    ]
    factor, summand = layer_of(torch.zeros(224, 224), numbers, size)
    tall = bar_height(size[0])
    bar = summand[-tall:]
    assert (factor[-tall:] == 0).all()
    if size[1] >= 200:
        text = bar[tall // 3 :]
        assert text.max() > 200, "there are words"
        assert text[:, -2:].max() < 40, "which end before the frame does"
    ticks = np.flatnonzero((bar[0] == 255).all(axis=1))
    assert abs(ticks.mean() - 0.25 * (size[1] - 1)) < 2, "the threshold on the gauge"

"""vssl-localize on images: the maps of vssl-evaluate, a verdict, and one error for each fault."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import draw_vggss, write_picture, write_tone
from tests.running import HEARS, command, maps, records, run
from vssl.commands.localize import main, split_inputs
from vssl.commands.localize_image import localize_image
from vssl.commands.localize_setup import Setup, set_up
from vssl.commands.localize_threshold import POLICIES, Wanted
from vssl.commands.score import policies_named
from vssl.errors import UsageError
from vssl.negatives.manifest import read_manifest
from vssl.records.files import MANIFEST_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization, map_rows
from vssl.reporting.colouring import in_range
from vssl.reporting.verdict import MapNumbers, Threshold, apart, in_percent, judge
from vssl.types import POSITIVE, AudioClip

NEGATIVES = ("negatives=[silence,noise]", "negatives.noise.draws=2")
QUICK = ("threshold=universal_q3", "metrics=pia", "bootstrap.resamples=10", "subsets=[]")
HEARD = tuple(each for each in HEARS if not each.startswith("model="))


def two_samples(shared: Path, root: Path) -> Path:
    """Two samples of the real mini test set, by links."""
    source = shared / "data" / "vggss_mini"
    entries = json.loads((source / "vggss_annotations.json").read_text())[2:4]
    for folder, suffix in (("frames", ".jpg"), ("audio", ".wav")):
        (root / folder).mkdir(parents=True)
        for entry in entries:
            name = f"{entry['file']}{suffix}"
            (root / folder / name).symlink_to(source / folder / name)
    (root / "vggss_annotations.json").write_text(json.dumps(entries))
    return root


def localized(
    root: Path, name: str, output: Path, **wanted: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """localize.json and the arrays of localize.npz for a sample of a test set."""
    picture, sound = root / "frames" / f"{name}.jpg", root / "audio" / f"{name}.wav"
    localize_image(picture, sound, lambda: set_up(Wanted(**wanted)), output)
    with np.load(output / "localize.npz", allow_pickle=False) as arrays:
        return json.loads((output / "localize.json").read_text()), dict(arrays)


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("ezvsl", ()),
        ("rcgrad", ()),
        ("lvs", ("protocol=released",)),
    ],
)
def test_maps_are_those_of_an_evaluation(
    tmp_path: Path,
    shared: Path,
    seeded_checkpoint: Callable[..., Path],
    model: str,
    overrides: tuple[str, ...],
) -> None:
    """The same pair, silence and noise; and the threshold that the run was scored at.

    A run draws noise for its test set, so it is given the seed that the run's manifest has.
    """
    root = two_samples(shared, tmp_path / "data")
    weights = seeded_checkpoint(model)
    data = ("data=vggss", f"data.root={root}", f"model={model}", f"model.weights={weights}")
    summary = run(tmp_path / "run", *data, *NEGATIVES, *QUICK, *overrides)
    found = records(tmp_path / "run")
    name = str(found["sample_id"].iloc[0])
    (tmp_path / "run" / "run.json").write_text("{}")  # which the command writes last
    rows = read_manifest(tmp_path / "run" / MANIFEST_FILE)
    (seed,) = {row.seed for row in rows if row.condition == "noise"}
    numbers, arrays = localized(
        root, name, tmp_path / "out", model=model, weights=weights, noise_draws=2,
        calibration=tmp_path / "run", overrides=(*overrides, f"seed={seed}"),
    )  # fmt: skip
    own = found[found["sample_id"] == name]
    keys = list(zip(own["audio_condition"], own["draw"], strict=True))
    assert list(zip(arrays["audio_condition"], arrays["draw"], strict=True)) == keys
    largest = np.abs(maps(own)).max()
    np.testing.assert_allclose(
        arrays["similarity_map"].reshape(len(own), -1), maps(own), atol=1e-5 * max(1, largest)
    )
    fitted = summary[summary["threshold_policy"] == "universal_q3"]["threshold"].iloc[0]
    assert numbers["threshold"]["value"] == pytest.approx(fitted, rel=1e-6)
    assert numbers["threshold"]["source"] == "fit on vggss (silence+noise)"
    assert numbers["provenance"]["weights"]["file"] == weights.name
    assert (numbers["verdict"]["localized"] is None) == (model == "rcgrad")
    with Image.open(tmp_path / "out" / "localize.png") as picture:
        assert picture.width > 500


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A test set, and a run of the small model that hears, in the folder `run` beside it."""
    root = draw_vggss(tmp_path / "vggss")
    run(tmp_path / "run", *HEARS, "data=vggss", f"data.root={root}", *NEGATIVES, *QUICK)
    (tmp_path / "run" / "run.json").write_text("{}")
    return root


def wanted(**options: Any) -> dict[str, Any]:
    """What the command line asks for, with the small model that hears."""
    return {"model": "ezvsl", "overrides": (*HEARD, "trainer=cpu"), "noise_draws": 2, **options}


def test_object_guided_maps_are_judged_with_their_own_threshold(
    tmp_path: Path, prior_file: Path
) -> None:
    root = draw_vggss(tmp_path / "vggss")
    prior = ("prior=object_guided", f"prior.weights={prior_file}")
    data = ("data=vggss", f"data.root={root}", *HEARS, *NEGATIVES, *QUICK)
    summary = run(tmp_path / "run", *data, *prior)
    (tmp_path / "run" / "run.json").write_text("{}")
    name = "clip1_000010"
    numbers, arrays = localized(
        root, name, tmp_path / "out",
        **wanted(calibration=tmp_path / "run", overrides=(*HEARD, "trainer=cpu", *prior)),
    )  # fmt: skip
    guided = summary[summary["map_variant"] == "ogl"]["threshold"].dropna().unique()
    assert numbers["threshold"]["value"] == pytest.approx(guided[0], rel=1e-6)
    assert numbers["provenance"]["map_variant"] == "ogl"
    assert arrays["object_map"].ndim == 2
    with pytest.raises(UsageError, match=r"in units of the model's own map"):
        localized(root, name, tmp_path / "out", **wanted(
            model="audio_blind", policy="released_q3",
            overrides=("model.name=ezvsl", "trainer=cpu", *prior),
        ))  # fmt: skip


def test_largest_values_and_marked_share_follow_from_the_native_maps(
    tmp_path: Path, toy: Path
) -> None:
    numbers, arrays = localized(toy, "clip2_000010", tmp_path / "out", **wanted(threshold=0.05))
    native = torch.from_numpy(arrays["similarity_map"])
    upsampled = torch.nn.functional.interpolate(
        native[:, None], size=(224, 224), mode="bilinear", align_corners=False
    )[:, 0]
    for each, mine, above in zip(numbers["maps"], upsampled, native, strict=True):
        assert each["largest"] == pytest.approx(float(mine.max()), abs=1e-6)
        assert each["native_largest"] == pytest.approx(float(above.max()), abs=1e-6)
        assert each["marked"] == pytest.approx(float((mine > 0.05).double().mean()), abs=1e-4)
    assert [m["condition"] for m in numbers["maps"]] == [POSITIVE, "silence", "noise", "noise"]


def numbered(condition: str, largest: float, marked: float | None, draw: int = 0) -> MapNumbers:
    return MapNumbers(condition, draw, largest, 0.0, largest, 0.0, marked)


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
    numbers = [numbered(POSITIVE, *given), *(numbered(*other) for other in others)]
    verdict = judge(numbers, LIMIT, model="ezvsl", transform="none")
    assert verdict.words.startswith(words)
    assert verdict.warnings == ((warning,) if warning else ())
    assert verdict.localized == (None if math.isnan(given[0]) else given[1] > 0)


def test_without_a_threshold_there_is_no_verdict_and_how_to_get_one_is_said(
    tmp_path: Path, toy: Path
) -> None:
    numbers, _ = localized(toy, "clip0_000010", tmp_path / "out", **wanted())
    assert numbers["verdict"]["localized"] is None
    assert "--calibration RUN" in numbers["verdict"]["words"]
    assert numbers["threshold"] is None
    assert {each["marked"] for each in numbers["maps"]} == {None}


def test_small_differences_and_small_shares_stay_visible() -> None:
    assert apart(0.5, 0.61) == ("0.50", "0.61")
    assert apart(0.61749, 0.61752) == ("0.617", "0.618")
    assert apart(0.5, 0.5) == ("0.500000", "0.500000")
    assert in_percent(0.0) == "nothing"
    assert in_percent(1e-5) == "less than 0.1 %"
    assert in_percent(0.0456) == "4.6 %"
    assert in_percent(1.0) == "100 %"


def test_known_policies_are_those_there_are() -> None:
    folder = Path(__file__).resolve().parents[1] / "conf" / "threshold"
    lists = {"all", "standard", "released"}
    assert set(POLICIES) == {path.stem for path in folder.glob("*.yaml")} - lists
    assert len(policies_named(POLICIES)) == len(POLICIES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "half_image"}, r"--policy half_image gives every map a threshold of its own"),
        ({"policy": "nonsense"}, r"Expected `--policy` to be one of universal_q3"),
        ({"policy": "universal_q4"}, r"Did you mean `universal_q3`"),
        ({"policy": "released_q3"}, r"released_q3 exists for ezvsl.*not for loudness"),
        ({"calibration": Path("nowhere")}, r"--calibration nowhere: holds no finished run"),
        ({"config_dir": Path("nowhere")}, r"nowhere: no such folder \(--config-dir\)"),
        ({"model": "oracle", "overrides": ()}, r"--model oracle: it is told where the source is"),
        ({"model": "deaf_best", "overrides": ()}, r"deaf_best: it is told where all objects are"),
        ({"weights": Path("nowhere.pth")}, r"nowhere\.pth: no such file"),
    ],
)
def test_faults_have_one_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        set_up(Wanted(**wanted(**options)))


def test_a_calibration_run_of_another_network_is_refused(tmp_path: Path, toy: Path) -> None:
    calibration = toy.parent / "run"
    assert set_up(Wanted(**wanted(calibration=calibration))).threshold is not None
    for changed, message in (
        ("model.name=other", r"is a run of loudness, but other is scored"),
        ("protocol.antialias=false", r"with other switches"),
        ("model.frontend.scale=11", r"another front end, image size, argument or precision"),
    ):
        overrides = (*HEARD, "trainer=cpu", changed)
        with pytest.raises(UsageError, match=message):
            set_up(Wanted(**wanted(calibration=calibration, overrides=overrides)))


def test_a_calibration_run_of_other_weights_is_refused(
    tmp_path: Path, shared: Path, seeded_checkpoint: Callable[..., Path]
) -> None:
    root = two_samples(shared, tmp_path / "data")
    trained, other = seeded_checkpoint("ezvsl"), seeded_checkpoint("ezvsl", seed=1)
    data = ("data=vggss", f"data.root={root}", "model=ezvsl", f"model.weights={trained}")
    run(tmp_path / "run", *data, "negatives=silence", *QUICK)
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"is a run of ezvsl with other weights"):
        set_up(Wanted("ezvsl", weights=other, calibration=tmp_path / "run"))


def test_maps_become_records_that_give_the_same_maps() -> None:
    native = torch.rand(3, 4, 5)
    conditions = [POSITIVE, "silence", "noise"]
    recipe = Localization(dict.fromkeys(conditions, "half_pixel"), "none", (0.0, 1.0), None)
    rows = map_rows(conditions, native, None)
    found = recipe.maps(rows)[AUDIO_VISUAL]
    expected = torch.nn.functional.interpolate(native[:, None], size=(224, 224), mode="bilinear")
    torch.testing.assert_close(found, expected[:, 0])
    np.testing.assert_allclose(recipe.native_maxima(rows), native.amax(dim=(1, 2)))


def test_maps_without_bounds_are_drawn_between_their_own_extremes() -> None:
    values = np.array([[1.0, 3.0], [2.0, np.nan]])
    np.testing.assert_allclose(in_range(values, (0.0, math.inf)), [[0, 1], [0.5, 0]], atol=1e-9)
    np.testing.assert_allclose(in_range(values, (0.0, 4.0)), [[0.25, 0.75], [0.5, 0]])


def test_a_model_of_ones_own_is_found_in_a_folder_of_configuration(
    tmp_path: Path, toy: Path
) -> None:
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "mine.yaml").write_text(
        "defaults: [ezvsl, _self_]\nname: mine\n_target_: tests.running.Loudness\n"
        "weights: null\nimage: {size: 32}\n"
    )
    overrides = ("trainer=cpu",)
    numbers, arrays = localized(
        toy, "clip0_000010", tmp_path / "out",
        model="mine", config_dir=tmp_path / "my_conf", overrides=overrides, threshold=0.1,
    )  # fmt: skip
    assert numbers["provenance"]["model"] == "mine"
    assert arrays["similarity_map"].shape == (12, 32, 32)


def test_what_has_an_equals_sign_and_is_no_file_is_an_override(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = Path("odd=name.jpg")
    odd.touch()
    found = split_inputs([str(odd), "sound.wav", "seed=1"])
    assert found == (odd, Path("sound.wav"), ["seed=1"])
    with pytest.raises(UsageError, match="got 3 files: a, b, c"):
        split_inputs(["a", "b", "c"])


def test_silence_and_noise_are_as_long_as_the_sound(tmp_path: Path, toy: Path) -> None:
    setup: Setup = set_up(Wanted(**wanted()))
    clip = AudioClip(np.full((2, 12_345), 0.25, np.float32))
    made = setup.negatives(clip)
    assert [(name, draw, clip.samples.shape) for name, draw, clip in made] == [
        ("silence", 0, (1, 12_345)),
        ("noise", 0, (1, 12_345)),
        ("noise", 1, (1, 12_345)),
    ]


def test_noise_may_be_as_loud_as_the_sound(tmp_path: Path, toy: Path) -> None:
    loudness = ("negatives.noise.snr=6", "negatives.noise.over=clip")
    overrides = (*HEARD, "trainer=cpu", *loudness, "negatives.noise.colour=pink")
    setup = set_up(Wanted(**wanted(overrides=overrides)))
    clip = AudioClip(np.full((2, 12_345), 0.25, np.float32))
    noises = [each.samples for name, _, each in setup.negatives(clip) if name == "noise"]
    assert len(noises) == 2
    for noise in noises:
        ratio = 0.25 / np.sqrt(np.mean(noise.astype(np.float64) ** 2))
        assert 20 * np.log10(ratio) == pytest.approx(6, abs=1e-4)


def test_only_true_negatives_say_whether_to_trust_a_map(
    tmp_path: Path, toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mix = "negatives=[silence,mixed,reversed,gain,offscreen]"
    setup = set_up(Wanted(**wanted(overrides=(*HEARD, "trainer=cpu", mix))))
    assert [condition.name for condition in setup.conditions] == ["silence"]
    levels = "gain_down20, gain_down10, gain_up10, gain_up20"
    assert f"negatives: left out mixed, reversed, {levels}, offscreen" in caplog.text


def test_the_command_prints_a_table_and_writes_its_files(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", (20, 20, 120, 120), seed=0)
    write_tone(tmp_path / "a.wav", hertz=300)
    done = command(
        "vssl-localize", "a.jpg", "a.wav", "--model", "audio_blind", "--threshold", "0.9",
        "trainer=cpu", "--noise-draws", "3", "--output", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nothing here makes this sound" in done.stdout
    assert "noise (highest of 3 draws)" in done.stdout
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
        (("a.jpg", "a.wav", "--false-alarms", "0.1", "--policy", "fixed"), "give one of them"),
        (("a.jpg", "a.wav", "--false-alarms", "0.1"), "give --calibration RUN"),
        (("a.jpg", "a.wav", "sed=1"), "Did you mean seed?"),
    ],
)
def test_the_command_names_what_is_at_fault(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    write_picture(tmp_path / "a.jpg", (20, 20, 120, 120), seed=0)
    write_tone(tmp_path / "a.wav", hertz=300)
    (tmp_path / "text.jpg").write_text("no image")
    monkeypatch.chdir(tmp_path)
    options = [*arguments, "--model", "audio_blind", "trainer=cpu"]
    monkeypatch.setattr(sys, "argv", ["vssl-localize", *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert message in " ".join(capsys.readouterr().err.split())

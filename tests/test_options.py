"""Every option is checked before any work, by one table that knows all keys of `conf/`."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from tests.running import FAST, command, composed
from vssl.commands.dry_run import dry_run
from vssl.commands.evaluate import evaluate
from vssl.commands.options import OPTIONS, check_options
from vssl.errors import UsageError
from vssl.negatives.colours import COLOURS
from vssl.negatives.silence import Silence
from vssl.thresholds.released import RULES
from vssl.thresholds.universal import STATISTICS

CONF = Path(__file__).resolve().parents[1] / "conf"
WHOLE = {
    "seed": (0, 2**63 - 1),
    "bootstrap.resamples": (1, 100_000),
    "bootstrap.seed": (0, 2**63 - 1),
    "loader.batch_size": (1, 2**31 - 1),
    "loader.audio_batch_size": (1, 2**31 - 1),
    "loader.num_workers": (0, 1024),
    "negatives.noise.draws": (1, 2**15 - 1),
    "negatives.offscreen.draws": (1, 2**15 - 1),
    "data.scenes": (1, 2**32 - 1),
    "data.seed": (0, 2**32 - 1),
}
OF_TRAINING = {
    "training.steps": (1, 2**31 - 1),
    "training.batch_size": (1, 2**31 - 1),
    "training.num_workers": (0, 1024),
    "training.validate_every": (1, 2**31 - 1),
    "training.empties": (0, 2**31 - 1),
}
NUMBERS = {
    "shard_seconds": (0, 1e9),
    "cache.gigabytes": (0, 1e9),
    "threshold.fixed.value": (-1e30, 1e30),
}
FLAGS = ("force", "model.compile", "trainer.enable_progress_bar", "protocol.antialias")
CHOICES = {
    "data.split": "validation",
    "data.difficulty": "overlap",
    "negatives.noise.colour": "pink",
    "negatives.noise.per": "sample",
    "protocol.upsampling": "released",
    "trainer.accelerator": "cpu",
    "model.precision": "bf16-mixed",
}
# what is checked where it is used, or is a class's own business: networks, loggers, plug-ins
ELSEWHERE = (
    *("_target_", "hydra", "experiment", "training.train", "training.validation"),
    *("model.arguments", "model.released", "model.frontend", "logger"),
)
ABOUT = {"paper", "year", "licence", "source", "mean", "std", "_target_"}


def alone(key: str, value: Any) -> DictConfig:
    """A configuration with nothing but one key."""
    config = OmegaConf.create()
    OmegaConf.update(config, key, value)
    return config


def refused(key: str, value: Any) -> str:
    with pytest.raises(UsageError, match=rf"^Expected `{key}` to be [^\n]*, but got [^\n]*$") as e:
        check_options(alone(key, value))
    return str(e.value)


@pytest.mark.parametrize("key", WHOLE)
@pytest.mark.parametrize("value", ["two", 1.5, 1e9, True, -5, [1], "", "3"])
def test_whole_numbers(key: str, value: Any) -> None:
    message = refused(key, value)
    assert str(value).lower() in message.lower()
    assert f"a whole number from {WHOLE[key][0]} to {WHOLE[key][1]}" in message


@pytest.mark.parametrize("key", WHOLE)
def test_bounds_of_whole_numbers(key: str) -> None:
    low, high = WHOLE[key]
    for value in (low, high):
        check_options(alone(key, value))
    for value in (low - 1, high + 1):
        refused(key, value)
    if key.startswith("loader."):
        check_options(alone(key, None))
    else:
        assert "got null" in refused(key, None)


@given(value=st.one_of(st.floats(), st.text(), st.booleans(), st.integers(), st.none()))
def test_a_seed_is_what_the_summary_can_hold(value: Any) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    if fits:
        OPTIONS["seed"].check("seed", value)
    else:
        with pytest.raises(UsageError, match="Expected `seed` to be a whole number from 0 to 92"):
            OPTIONS["seed"].check("seed", value)


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["x", None, True, math.nan, math.inf, -math.inf, 1e31, [1.0]])
def test_numbers(key: str, value: Any) -> None:
    assert "a number from" in refused(key, value)


@pytest.mark.parametrize("key", FLAGS)
@pytest.mark.parametrize("value", ["perhaps", "yes", None, 1, 0, "true"])
def test_flags(key: str, value: Any) -> None:
    assert "true or false" in refused(key, value)


@pytest.mark.parametrize("key", CHOICES)
def test_choices(key: str) -> None:
    check_options(alone(key, CHOICES[key]))
    for value in (None, True, 3, "other", [CHOICES[key]]):
        refused(key, value)
    assert f"Did you mean `{CHOICES[key]}`?" in refused(key, f"{CHOICES[key]}x")


@pytest.mark.parametrize("key", ["output_root", "paths.data", "paths.cache", "data.cache"])
@pytest.mark.parametrize("value", ["", " ", None, 7, "a\0b", ["a"]])
def test_paths(key: str, value: Any) -> None:
    assert "a path, not empty" in refused(key, value)


@pytest.mark.parametrize("key", ["output_dir", "calibration", "negatives.manifest"])
def test_paths_that_may_be_left_out(key: str) -> None:
    check_options(alone(key, None))
    assert "null" in refused(key, "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("subsets", ["size"]),
        ("subsets", "category"), ("subsets", [1]), ("subsets", ["category", "category"]),
        ("overview.positives", "object_aera"), ("overview.marked", None),
        ("overview.universal", ["fixed"]), ("trainer.devices", 0), ("trainer.devices", "two"),
        ("trainer.devices", True), ("trainer.devices", 1.5), ("trainer.devices", [0, 0]),
        ("trainer.devices", None), ("trainer.accelerator", "gpus"), ("model.sha256", "12"),
        ("data.snr", "loud"), ("negatives.noise.level", 0), ("negatives.noise.snr", math.nan),
        ("negatives.noise.draws", 10**5), ("threshold.universal_q3.factor", 0),
        ("threshold.universal_q3.statistic", "median"), ("threshold.false_alarm_5.rate", 1),
        ("model.image.size", 0), ("data.version", None), ("model.name", ""),
    ],
)  # fmt: skip
def test_other_kinds(key: str, value: Any) -> None:
    refused(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.resample", "perhaps"), ("data.resample", None), ("data.missing", "maybe"),
        ("data.root", ""), ("data.image_suffix", None), ("data.annotation", ""),
    ],
)  # fmt: skip
def test_data_sets(key: str, value: Any) -> None:
    refused(key, value)


@pytest.mark.parametrize("value", [[], "loud", [1, 1], [math.inf], ["a"], None, [True]])
def test_gains(value: Any) -> None:
    refused("negatives.gain.decibels", value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("export", "relased"), ("export", True), ("run", ""), ("calibration", ""),
        ("bootstrap.resamples", 0), ("bootstrap.resamples", 1e9), ("bootstrap.seed", -1),
        ("subsets", ["x"]),
    ],
)  # fmt: skip
def test_rescore(key: str, value: Any) -> None:
    refused(key, value)


@pytest.mark.parametrize("key", OF_TRAINING)
@pytest.mark.parametrize("value", [None, "x", 2.5, -1, True])
def test_training(key: str, value: Any) -> None:
    refused(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.learning_rate", 0), ("training.temperature", 0), ("training.pooled_area", 1.1),
        ("training.jitter", -1), ("training.shuffle_sounds", "no"), ("training.weights", ""),
        ("training.negative_weight", "x"), ("training.weight_decay", math.nan), ("seed", -1),
    ],
)  # fmt: skip
def test_what_training_weighs(key: str, value: Any) -> None:
    refused(key, value)


def leaves(node: Any, place: str = "") -> list[str]:
    if not isinstance(node, DictConfig):
        return [place]
    return list(
        itertools.chain.from_iterable(
            leaves(node._get_node(key), f"{place}.{key}" if place else str(key)) for key in node
        )
    )


@pytest.mark.parametrize("name", ["evaluate", "rescore", "train"])
def test_the_table_knows_every_key(name: str) -> None:
    """So that a new option cannot be forgotten."""
    given = ["run=x"] if name == "rescore" else []
    configs = [composed(*given, name=name)]
    check_options(configs[0])
    for group in ("data", "negatives", "prior", "logger", "trainer", "cache", "threshold"):
        if name == "evaluate":
            files = sorted((CONF / group).glob("*.yaml"))
            configs += [composed(f"{group}={file.stem}") for file in files]
    patterns = [pattern.split(".") for pattern in (*OPTIONS, "overview.*")]
    for key in {key for config in configs for key in leaves(config)}:
        parts = key.split(".")
        if parts[-1] in ABOUT or any(key == e or key.startswith(f"{e}.") for e in ELSEWHERE):
            continue
        assert any(
            len(pattern) == len(parts) and all(map(_fits, pattern, parts)) for pattern in patterns
        ), f"{key} is not in the table"


def _fits(pattern: str, part: str) -> bool:
    return pattern in ("*", part)


def test_the_table_says_what_the_classes_take() -> None:
    assert OPTIONS["negatives.*.colour"].choices == COLOURS
    assert OPTIONS["threshold.*.statistic"].choices == STATISTICS
    assert OPTIONS["threshold.*.rule"].choices == RULES


def test_other_packages_have_options_of_their_own() -> None:
    config = composed("+data.colour=blue", "+negatives.mine={_target_: mine.Own, draws: often}")
    OmegaConf.update(config, "data._target_", "mine.Reader")
    OmegaConf.update(config, "data.scenes", "many")
    check_options(config)


class Endless(Silence):
    """A condition of a user's own that says nonsense."""

    draws = 10**6


def test_draws_of_other_packages_fit_into_the_records(tmp_path: Path) -> None:
    mine = "negatives={silence: {_target_: tests.test_options.Endless}}"
    with pytest.raises(UsageError, match=r"negatives.silence.*draws.*32767.*1000000"):
        evaluate(composed(*FAST, mine, "threshold=fixed", "model=center"), tmp_path)


@pytest.mark.parametrize("change", ["seed=1.5", "bootstrap.resamples=1e9", "overview.marked=x"])
def test_nothing_is_begun(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"^Expected `"):
        evaluate(composed(*FAST, "model=center", change), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        dry_run(["model=center", *FAST, "output_root=out", change])
    assert "cannot run: Expected `" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_refused_before_its_first_job(tmp_path: Path) -> None:
    sweep = ("-m", "model=center,oracle", "data.scenes=2", "logger=none", "output_root=out")
    done = command("vssl-evaluate", *sweep, "negatives.noise.draws=2,two", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: Expected `negatives.noise.draws` to be a whole number from 1 to 32767, but got"
        " `two`.\n"
    )
    assert not list(tmp_path.glob("out/*"))

"""Every option is checked before any work, by one table that knows all keys of `conf/`."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

from tests.helpers.running import FAST, command, composed, run_settings
from vssl.config.compose import composed_config, group_names, whole_group
from vssl.config.options import (
    OPTIONS,
    allow_absent,
    check_options,
    drop_absent_members,
    hint_for,
)
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.negatives.colours import COLOURS
from vssl.negatives.silence import Silence
from vssl.records.files import MANIFEST_FILE, RUN_FILE
from vssl.runs.dry_run import dry_run
from vssl.runs.evaluate import evaluate
from vssl.runs.join import JOINED_FOLDER
from vssl.thresholds.released import RULES
from vssl.thresholds.universal import STATISTICS

MANY, LARGE = 2**31 - 1, 2**63 - 1
WHOLE = {
    "seed": (0, LARGE), "bootstrap.resamples": (1, 100_000), "loader.batch_size": (1, MANY),
    "loader.num_workers": (0, 1024), "negatives.noise.draws": (1, 2**15 - 1),
    "data.scenes": (1, 2**32 - 1), "data.seed": (0, 2**32 - 1), "training.empties": (0, MANY),
}  # fmt: skip
"""Options that are whole numbers, and their bounds."""

CHOICES = {
    "data.split": "validation", "negatives.noise.colour": "pink", "model.precision": "bf16-mixed",
    "protocol.upsampling": "released",
}  # fmt: skip

REFUSED: dict[str, tuple[str, tuple[Any, ...]]] = {
    **{key: ("a whole number from", ("two", 1.5, 1e9, True, -5, [1], "", "3")) for key in WHOLE},
    **{
        key: ("a number from", ("x", None, True, math.nan, math.inf, -math.inf, 1e31, [1.0]))
        for key in ("shard_seconds", "cache.gigabytes", "threshold.fixed.value")
    },
    "force": ("true or false", ("perhaps", "yes", None, 1, 0, "true")),
    **{key: ("one of", (None, True, 3, "other", [value])) for key, value in CHOICES.items()},
    **{
        key: ("a path, not empty", ("", " ", None, 7, "a\0b", ["a"]))
        for key in ("output_root", "paths.data")
    },
    "output_dir": ("null", ("",)), "training.weights": ("null", ("",)),
    "negatives.gain.decibels": ("", ([], "loud", [1, 1], [math.inf], ["a"], None, [True])),
    "subsets": ("", (["size"], "category", [1], ["category", "category"])),
    "trainer.devices": ("", (0, "two", True, 1.5, [0, 0], None)),
    "overview.positives": ("", ("object_aera",)), "overview.marked": ("", (None,)),
    "overview.universal": ("", (["fixed"],)), "export": ("", ("relased", True)),
    "model.sha256": ("", ("12",)), "model.image.size": ("", (0,)), "model.name": ("", ("",)),
    "data.snr": ("", ("loud",)), "data.version": ("", (None,)), "data.missing": ("", ("maybe",)),
    "data.image_suffix": ("", (None,)), "negatives.noise.level": ("", (0,)),
    "negatives.noise.snr": ("", (math.nan,)), "threshold.universal_q3.factor": ("", (0,)),
    "threshold.universal_q3.statistic": ("", ("median",)),
    "threshold.false_alarm_5.rate": ("", (1,)), "training.learning_rate": ("", (0,)),
    "training.frozen": ("", ("image", [""])), "training.validation_share": ("", (0, 0.6)),
}  # fmt: skip
"""By option, what its message says is right, and values that are not."""

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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cache.gigabytes", -1),
        ("shard_seconds", -1),
        ("data.snr", 61),
        ("training.jitter", -1),
        ("training.loss.temperature", 0),
        ("training.loss.pooled_area", 1.1),
    ],
)
def test_beyond_their_bounds(key: str, value: float) -> None:
    refused(key, value)


@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be(key: str) -> None:
    words, values = REFUSED[key]
    for value in values:
        message = refused(key, value)
        assert words in message
        if key in WHOLE:
            assert str(value).lower() in message.lower()


@pytest.mark.parametrize("key", WHOLE)
def test_bounds_of_whole_numbers(key: str) -> None:
    low, high = WHOLE[key]
    for value in (low, high):
        check_options(alone(key, value))
    for value in (low - 1, high + 1):
        assert f"a whole number from {low} to {high}" in refused(key, value)
    if key.startswith("loader."):
        check_options(alone(key, None))
    else:
        assert "got null" in refused(key, None)


@pytest.mark.parametrize("key", CHOICES)
def test_near_choices(key: str) -> None:
    check_options(alone(key, CHOICES[key]))
    assert f"Did you mean `{CHOICES[key]}`?" in refused(key, f"{CHOICES[key]}x")


def leaves(node: Any, place: str = "") -> list[str]:
    if not isinstance(node, DictConfig):
        return [place]
    return list(
        itertools.chain.from_iterable(
            leaves(node._get_node(key), f"{place}.{key}" if place else str(key)) for key in node
        )
    )


@pytest.mark.parametrize("name", ["evaluate", "prepare", "rescore", "train"])
def test_the_table_knows_every_key(name: str) -> None:
    """So that a new option cannot be forgotten."""
    given = ["run=x"] if name == "rescore" else []
    configs = [composed(*given, name=name)]
    check_options(configs[0])
    if name == "evaluate":
        configs.append(composed(whole_group("negatives"), whole_group("threshold")))
        groups = ("data", "prior", "logger", "trainer", "cache", "paths")
        for members in itertools.zip_longest(*map(group_names, groups)):  # each in one of them
            both = zip(groups, members, strict=True)
            configs.append(composed(*(f"{group}={name}" for group, name in both if name)))
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
    mine = "negatives={silence: {_target_: tests.config.test_options.Endless}}"
    with pytest.raises(UsageError, match=r"negatives.silence.*draws.*32767.*1000000"):
        evaluate(run_settings(*FAST, mine, "threshold=fixed", "model=center"), tmp_path)


@pytest.mark.parametrize("change", ["seed=1.5", "overview.marked=x"])
def test_nothing_is_begun(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"^Expected `"):
        evaluate(run_settings(*FAST, "model=center", change), tmp_path / "run")
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
    message = "Expected `negatives.noise.draws` to be a whole number from 1 to 32767, but got `two`"
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1
    assert not list(tmp_path.glob("out/*/*"))


NEGATIVES = "negatives=silence,noise"


@pytest.mark.parametrize(
    ("arguments", "forced"),
    [
        (["-m", NEGATIVES, "negatives.noise.draws=3"], [2]),
        (["--multirun", "negatives.noise.draws=2,3", "negatives=glob(*)", "seed=1"], [1]),
        (["-m", "negatives=[silence],[noise,mixed]", "negatives.mixed.snr=3", "model=a"], [2]),
        (["-m", "threshold=fixed,universal_q3", "threshold.fixed.value=.3"], [2]),
        (["-m", "metrics=pia,detection_ap", "metrics.pia.nothing=1"], []),
        # of all jobs, or of a single run: Hydra knows whether the member is there
        (["-m", "model=a,b", "negatives=silence", "negatives.noise.draws=3"], []),
        ([NEGATIVES, "negatives.noise.draws=3"], []),
        # misspelt, no member's, or written otherwise on purpose
        (["-m", NEGATIVES, "negatives.nois.draws=3", "negatives.noise.drws=3"], []),
        (["-m", NEGATIVES, "negatives.manifest=a.csv", "loader.batch_size=3"], []),
        (["-m", NEGATIVES, "+negatives.noise.draws=3", "~negatives.noise.draws", "a b=[("], []),
    ],
)
def test_what_is_forced(arguments: list[str], forced: list[int]) -> None:
    found = allow_absent(arguments)
    assert found == [f"++{a}" if n in forced else a for n, a in enumerate(arguments)]


@pytest.mark.parametrize("flag", [["--config-dir={}"], ["--config-dir", "{}"], ["-cd", "{}"]])
def test_members_of_one_s_own(flag: list[str], tmp_path: Path) -> None:
    (tmp_path / "negatives").mkdir()
    (tmp_path / "negatives" / "rain.yaml").write_text("rain: {_target_: my.Rain, drops: 3}\n")
    arguments = ["-m", *(each.format(tmp_path) for each in flag), "negatives=rain,silence"]
    assert allow_absent([*arguments, "negatives.rain.drops=1"])[-1].startswith("++")
    assert not allow_absent([*arguments, "negatives.rain.wind=1"])[-1].startswith("++")


def test_a_default_that_is_not_there_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [ezvls]\n")
    with pytest.raises(UsageError, match=r"^model/mine.yaml: Expected `model` .* mean `ezvsl`\?$"):
        composed_config("evaluate", [f"hydra.searchpath=[file://{tmp_path}]", "model=mine"])


def test_a_run_without_the_member_is_what_it_is_without_the_option() -> None:
    plain = composed("negatives=silence", "threshold=universal_q3")
    given = composed(
        "negatives=silence", "++negatives.noise.draws=3", "threshold=universal_q3",
        "++threshold.fixed.value=0.3",
    )  # fmt: skip
    # before it is taken away, too: the folder is named while Hydra composes
    assert RunSettings.unchecked(given).identity_hash == RunSettings.of(plain).identity_hash
    assert RunSettings.unchecked(given).negatives.name == "silence"
    assert drop_absent_members(given) == ["negatives.noise.draws", "threshold.fixed.value"]
    assert given == plain
    assert drop_absent_members(given) == []
    there = composed("++negatives.noise.draws=3")
    assert drop_absent_members(there) == []
    assert there.negatives.noise.draws == 3


@pytest.mark.parametrize(
    ("key", "hints"),
    [
        ("negatives.nois.draws", ["Did you mean negatives.noise.draws?", "in negatives: gain, "]),
        ("negatives.noise.drws", ["Did you mean negatives.noise.draws?", "in negatives.noise: "]),
        ("negatives.zzz.qqq", ["What exists in negatives: gain, "]),
        ("negatives.noise.draws", ["negatives.noise is not part of this run. Add noise to"]),
        ("threshold.fixd.value", ["Did you mean threshold.fixed.value?"]),
        ("negatives.manifst", []),
        ("loader.batch.size", []),
    ],
)
def test_hints(key: str, hints: list[str]) -> None:
    found = hint_for(key, [])
    assert all(hint in found for hint in hints)
    assert bool(found) == bool(hints)


def test_a_sweep_over_negatives(tmp_path: Path) -> None:
    options = ("model=center", "data.scenes=2", "trainer=cpu", "logger=none", "metrics=pia",
               "threshold=fixed", "output_root=out", "bootstrap.resamples=5")  # fmt: skip
    sweep = ("-m", "negatives=silence,[noise,mixed]", *options)
    done = command("vssl-evaluate", *sweep, "negatives.noise.draws=3", "negatives.mixed.snr=5",
                   cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    for option in ("negatives.noise.draws", "negatives.mixed.snr"):
        member = option.rpartition(".")[0]
        assert said.count(f"{option} is ignored where {member} is not part of the run") == 1
    draws, sweeps = {}, set()
    for path in (tmp_path / "out").rglob(RUN_FILE):
        rows = pd.read_csv(path.parent / MANIFEST_FILE)
        place = path.relative_to(tmp_path / "out").parts
        name = JOINED_FOLDER if place[0] == JOINED_FOLDER else place[2]
        draws[name] = rows.groupby("condition")["draw"].nunique().to_dict()
        config = json.loads(path.read_text())["config"]
        sweeps.add(config["sweep_id"])
        settings = config["negatives"]
        assert set(settings) == {"manifest", *rows["condition"]}
        assert settings.get("mixed", {}).get("snr", 5) == 5
    assert draws == {
        "silence": {"silence": 1}, "noise+mixed": {"noise": 3, "mixed": 10},
        JOINED_FOLDER: {"silence": 1, "noise": 3, "mixed": 10},
    }  # fmt: skip
    assert len(sweeps) == 1

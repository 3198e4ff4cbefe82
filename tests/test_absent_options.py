"""Options of a group's member where some jobs of a sweep lack the member."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.running import command, composed
from vssl.commands.identity import identity, negatives_name
from vssl.commands.joined import JOINED_FOLDER
from vssl.commands.options import allow_absent_members, drop_absent_members, hint_for
from vssl.records.files import MANIFEST_FILE, RUN_FILE
from vssl.records.fingerprint import config_hash

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
    found = allow_absent_members(arguments)
    assert found == [f"++{a}" if n in forced else a for n, a in enumerate(arguments)]


@pytest.mark.parametrize("flag", [["--config-dir={}"], ["--config-dir", "{}"], ["-cd", "{}"]])
def test_members_of_one_s_own(flag: list[str], tmp_path: Path) -> None:
    (tmp_path / "negatives").mkdir()
    (tmp_path / "negatives" / "rain.yaml").write_text("rain: {_target_: my.Rain, drops: 3}\n")
    arguments = ["-m", *(each.format(tmp_path) for each in flag), "negatives=rain,silence"]
    assert allow_absent_members([*arguments, "negatives.rain.drops=1"])[-1].startswith("++")
    assert not allow_absent_members([*arguments, "negatives.rain.wind=1"])[-1].startswith("++")


def test_a_run_without_the_member_is_what_it_is_without_the_option() -> None:
    plain = composed("negatives=silence", "threshold=universal_q3")
    given = composed(
        "negatives=silence", "++negatives.noise.draws=3", "threshold=universal_q3",
        "++threshold.fixed.value=0.3",
    )  # fmt: skip
    # before it is taken away, too: the folder is named while Hydra composes
    assert config_hash(identity(given)) == config_hash(identity(plain))
    assert negatives_name(given) == "silence"
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
    sweep = ("-m", "negatives=silence,noise,[noise,mixed]", *options)
    done = command("vssl-evaluate", *sweep, "negatives.noise.draws=3", "negatives.mixed.snr=5",
                   cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    for option in ("negatives.noise.draws", "negatives.mixed.snr"):
        member = option.rpartition(".")[0]
        assert said.count(f"{option} is ignored where {member} is not part of the run") == 1
    draws = {}
    for path in (tmp_path / "out").rglob(RUN_FILE):
        rows = pd.read_csv(path.parent / MANIFEST_FILE)
        place = path.relative_to(tmp_path / "out").parts
        name = JOINED_FOLDER if place[0] == JOINED_FOLDER else place[2]
        draws[name] = rows.groupby("condition")["draw"].nunique().to_dict()
        settings = json.loads(path.read_text())["config"]["negatives"]
        assert set(settings) == {"manifest", *rows["condition"]}
        assert settings.get("mixed", {}).get("snr", 5) == 5
    assert draws == {
        "silence": {"silence": 1}, "noise": {"noise": 3}, "noise+mixed": {"noise": 3, "mixed": 10},
        JOINED_FOLDER: {"silence": 1, "noise": 3, "mixed": 10},
    }  # fmt: skip


@pytest.mark.parametrize("key", ["negatives.nois.draws", "negatives.noise.drws"])
def test_a_misspelt_option_stops_a_sweep(tmp_path: Path, key: str) -> None:
    done = command("vssl-evaluate", "-m", "model=center", NEGATIVES, f"{key}=3", cwd=tmp_path)
    assert done.returncode == 1
    assert "Did you mean negatives.noise.draws?" in done.stderr
    assert not list(tmp_path.rglob(RUN_FILE))

"""The report over finished runs: what stands in one table, what is left out, which files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.helpers.drawn import draw_vggss
from tests.helpers.reporting_runs import NETWORK, change_provenance, copy_run, reasons
from tests.helpers.running import FAST, composed, guided_by, run
from vssl.cli.evaluate import DRY_RUN
from vssl.cli.evaluate import main as evaluate_main
from vssl.cli.report import main
from vssl.core.errors import UsageError
from vssl.records.files import RECORDS_FILE, RUN_FILE, SHARDS_FOLDER, SUMMARY_FILE
from vssl.reporting.collection import Group, collect
from vssl.reporting.index import INDEX_FILE, INDEX_TEXT
from vssl.reporting.run_labels import PAPER_MODELS
from vssl.runs.paper import EVALUATED_MODELS, run_paper
from vssl.runs.report import make_report

NAME = "vggss_corrected"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prior_file: Path) -> Path:
    """Two networks that hear, one with object-guided maps, and baselines with few numbers."""
    root = tmp_path_factory.mktemp("report")
    data = ("data=vggss", f"data.root={draw_vggss(root / 'data')}")
    draws = ("negatives.noise.draws=2", "negatives.offscreen.draws=3")
    few = ("threshold=[object_area,universal_q3]", "metrics=[ciou,pia]")
    for name, options in {
        "ezvsl": (*NETWORK, "model.name=ezvsl", *guided_by(prior_file), *draws),
        # the noise's level, so that it is another model's
        "lvs": (*NETWORK, "model.name=lvs", "model.frontend.scale=9", *draws),
        "random": ("model=random", *draws, *few),
        "oracle": ("model=oracle", *draws, *few),
        "center": ("model=center", *draws, *few),
        "silence": ("model=center", "negatives=silence", *few),
    }.items():
        run(root / "runs" / name, *data, *options)
    return root / "runs"


def test_runs_of_one_test_stand_together_in_the_papers_order(runs: Path) -> None:
    collection = collect([runs, runs / "ezvsl"])  # given twice, found once
    (group,) = collection.groups
    assert [run.label for run in group.runs] == ["lvs", "ezvsl", "center", "random", "oracle"]
    assert (group.dataset, group.protocol, group.name) == ("vggss", "corrected", "vggss_corrected")
    assert len(group.manifest_hash) == 64
    ezvsl = group.runs[1]
    assert ezvsl.variants == ("av", "ogl")
    assert ezvsl.draws == {"positive": 1, "silence": 1, "noise": 2, "offscreen": 3}
    assert ezvsl.folder == (runs / "ezvsl").resolve()
    assert [run.is_baseline for run in group.runs] == [False, False, True, True, True]
    assert ezvsl.number("pia", "noise", "nothing") is None
    assert ezvsl.threshold("half_image") is None
    # of runs that differ in their negatives the widest counts
    ((folder, reason),) = collection.left_out.items()
    assert folder.name == "silence"
    alone = "in its negatives alone (silence; the other has all, noise x 2, offscreen x 3)"
    assert alone in reason


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def other_hash(run: Path) -> None:
    path = run / RUN_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config_hash": "f" * 64}))


def only(name: str) -> Callable[[Path], None]:
    """Leaves nothing of a run but a file or folder of that name."""

    def empty(run: Path) -> None:
        shutil.rmtree(run)
        run.mkdir()
        (run / name).mkdir() if name == SHARDS_FOLDER else (run / name).write_text("failed")

    return empty


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove(RUN_FILE), f"has records, but no {RUN_FILE}"),
        (lambda run: change_provenance(run, schema_version="1"), "has schema version 1, this vssl"),
        (other_hash, "is of another run"),
        (only(SHARDS_FOLDER), "was stopped while its records were written"),
        (only("vssl-evaluate.log"), "failed before its first record"),
    ],
)
def test_what_is_not_a_finished_run_is_left_out_with_its_reason(
    runs: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    """Damaged files are tried in tests/records/test_damage.py."""
    copy_run(runs / "random", tmp_path / "whole")
    harm(copy_run(runs / "oracle", tmp_path / "broken"))
    collection = collect([tmp_path])
    assert [run.label for group in collection.groups for run in group.runs] == ["random"]
    assert said in reasons(collection)["broken"]


def test_of_repetitions_the_newest_counts(runs: Path, tmp_path: Path) -> None:
    for name, time in (("old", 1_000), ("new", 3_000), ("middle", 2_000)):
        copy_run(runs / "random", tmp_path / name)
        os.utime(tmp_path / name / RUN_FILE, (time, time))
    collection = collect([tmp_path])
    assert [run.folder.name for run in collection.groups[0].runs] == ["new"]
    why = reasons(collection)
    assert set(why) == {"old", "middle"}
    assert all("was evaluated again in" in reason for reason in why.values())
    assert "scored otherwise" not in why["old"]


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("protocol", "released"),
        ("dataset", "vggss extra/1"),
        ("manifest_hash", "0" * 64),
        ("annotation_sha256", "0" * 64),
    ],
)
def test_other_tests_never_share_a_table(runs: Path, tmp_path: Path, fact: str, value: str) -> None:
    """Other ids not even of one configuration, as where files went under data.missing=skip."""
    copy_run(runs / "random", tmp_path / "one")
    config = {} if fact == "manifest_hash" else {"config_hash": "e" * 64}
    change_provenance(copy_run(runs / "random", tmp_path / "two"), **config, **{fact: value})
    groups, left_out = collect([tmp_path])
    assert not left_out
    assert [len(group.runs) for group in groups] == [1, 1]
    names = {group.name for group in groups}
    assert len(names) == 2
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in names)


def test_runs_are_found_below_others_and_behind_links(runs: Path, tmp_path: Path) -> None:
    outer = copy_run(runs / "random", tmp_path / "outer")
    copy_run(runs / "oracle", outer / "deeper" / "inner")
    (outer / "link").symlink_to(runs / "lvs")
    (outer / "loop").symlink_to(outer)
    (tmp_path / "vssl-evaluate.log").write_text("of a run that failed")
    collection = collect([tmp_path])
    assert [run.label for run in collection.groups[0].runs] == ["lvs", "random", "oracle"]
    assert [*collection.left_out] == [tmp_path.resolve()]


def test_the_report_says_what_it_holds(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, kept = tmp_path / "report", tmp_path / "kept"
    make_report([runs], output, page=False, figures=False, keep=kept)
    said = capsys.readouterr().out
    for text in ("5 finished runs of 1 test", "ezvsl (+ OGL)", "left out: 1",
                 "in its negatives alone", str(output / INDEX_TEXT)):  # fmt: skip
        assert text in said
    names = [f"paper_vggss_corrected{suffix}" for suffix in (".md", ".csv", ".tex")]
    known = json.loads((output / INDEX_FILE).read_text())
    assert known["files"] == names
    assert list(known["left_out"]) == [os.path.relpath(runs / "silence", output)]
    assert all((output / folder / RUN_FILE).is_file() for folder in known["groups"][NAME])
    text = (output / INDEX_TEXT).read_text()
    assert all(f"]({name})" in text for name in names)
    assert (kept / f"{NAME}.csv").read_bytes() == (output / names[1]).read_bytes()
    long = pd.read_csv(output / names[1])
    results = [*(Path(__file__).resolve().parents[2] / "experiments" / "results").glob("*.csv")]
    assert results
    for path in results:
        assert list(pd.read_csv(path)) == list(long), f"{path}: write it again"
    # its numbers are the summaries'
    long = long[(long["table"] != "published") & long["value"].notna()]
    assert set(long["table"]) == {
        *("paper", "field", "equal_rates", "separation", "detection", "listening")
    }
    assert "false_alarm_rate" in set(long["metric"])
    for folder, rows in long.groupby("run"):
        summary = pd.read_parquet(output / str(folder) / SUMMARY_FILE)
        key = ["metric", "condition", "threshold_policy", "map_variant"]
        both = rows.merge(summary, on=key, suffixes=("", "_own"), validate="one_to_one")
        assert len(both) == len(rows)
        names = ["value", "ci_low", "ci_high", "std_over_draws", "threshold", "n", "draws"]
        own = both[[f"{name}_own" for name in names]]
        np.testing.assert_allclose(both[names].astype(float), own.astype(float), rtol=0, atol=1e-15)


def test_files_of_an_earlier_report_are_cleared_away_and_nothing_else(
    runs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "report"
    copy_run(runs / "random", tmp_path / "runs" / "one")
    other = copy_run(runs / "random", tmp_path / "runs" / "two")
    change_provenance(other, config_hash="e" * 64, protocol="released")
    make_report([tmp_path / "runs"], output, page=False, figures=False)
    (output / "paper_mine.md").write_text("keep")
    assert (output / "paper_vggss_released.md").is_file()
    make_report([tmp_path / "runs" / "one"], output, page=False, figures=False)
    assert {path.name for path in output.iterdir()} == {
        INDEX_FILE, INDEX_TEXT, "paper_mine.md",
        *(f"paper_{NAME}{suffix}" for suffix in (".md", ".csv", ".tex")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((".",), "holds no finished run. vssl-evaluate makes runs"),
        (("nowhere",), "nowhere: no such folder"),
        (("runs", "--policy", "object_area"), "gives every map a threshold of its own"),
        (("runs", "--sample", "nix"), "--sample nix: no run has a sample of that id"),
        (("output_dir=report",), "no folder is given"),
        (("broken",), "random: has records, but no run.json"),
    ],
)
def test_what_cannot_be_reported_is_said(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "runs":
        copy_run(runs / "random", tmp_path / "runs" / "random")
    if arguments[0] == "broken":
        remove(RUN_FILE)(copy_run(runs / "random", tmp_path / "broken" / "random"))
    monkeypatch.setattr("sys.argv", ["vssl-report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_samples_of_the_grids_can_be_chosen(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def draw(group: Group, output: Path, figures: object, **options: Any) -> list[Any]:
        asked[group.name] = options["samples"]
        return []

    monkeypatch.setattr("vssl.runs.report.draw_figures", draw)
    ids = pd.read_parquet(runs / "random" / RECORDS_FILE)["sample_id"].unique()
    words = [f"runs={runs}", f"output_dir={tmp_path}", "--no-page"]
    words += [word for name in (ids[2], ids[0], ids[2]) for word in ("--sample", name)]
    monkeypatch.setattr("sys.argv", ["vssl-report", *words])
    main()
    assert asked == {NAME: [ids[2], ids[0]]}
    assert (tmp_path / f"paper_{NAME}.tex").is_file()


def test_without_any_file_the_paper_ends_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_paper([], None)
    said = capsys.readouterr().out
    assert "nothing was evaluated" in said
    assert "found: nothing" in said
    assert "missing: 11" in said
    for name in (*PAPER_MODELS, "prior=object_guided", "data=vggss", "data=is3"):
        assert f"  {name}: " in said
    assert said.count("https://") >= 10, "each says where it comes from"


@pytest.mark.parametrize("done", [True, False])
def test_the_paper_runs_with_what_is_found_and_reports(
    seeded_checkpoint: Callable[..., Path],
    vggss_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    done: bool,
) -> None:
    monkeypatch.setenv("VSSL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("VSSL_DATA", str(vggss_folder.parent))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "ezvsl.pth").symlink_to(seeded_checkpoint("ezvsl"))
    output = tmp_path / "out"

    def sweep(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        """In this process, what the command would do in others."""
        assert {"experiment=paper_vggss", 'hydra.sweeper.params.model="ezvsl"'} <= set(command)
        exec(command[2].partition(";")[0])  # what it imports exists
        assert "prior=none" in command, "the object prior's weights are missing"
        if done:
            words = [word for word in command[4:] if not word.startswith("hydra.")]
            run(output / "one", "model=ezvsl", *words)
        return subprocess.CompletedProcess(command, 0 if done else 1)

    monkeypatch.setattr("vssl.runs.paper.subprocess", SimpleNamespace(run=sweep))
    parts = "vssl.runs.report"  # figures and page have tests of their own
    monkeypatch.setattr(f"{parts}.draw_figures", lambda *_, **__: [])
    monkeypatch.setattr(f"{parts}.write_page", lambda _, output, **__: output / "index.html")
    options = [*FAST, "negatives=silence", "threshold=[universal_q3]", "metrics=[ciou,pia,auc]",
               "bootstrap.resamples=20", "subsets=[]", "data.limit=2"]  # fmt: skip
    if not done:
        with pytest.raises(UsageError, match="not all of vggss was done"):
            run_paper(options, output)
        assert "nothing was evaluated" in capsys.readouterr().out
        return
    run_paper(options, output)
    said = capsys.readouterr().out
    assert "found: ezvsl, data=vggss" in said
    assert "missing: 9" in said
    (path,) = (output / "report").glob("paper_*.csv")
    long = pd.read_csv(path)
    ours = long[(long["table"] == "paper") & long["value"].notna()]
    assert set(ours["run_label"]) == {"ezvsl"}
    assert {"ciou", "auc", "pia"} <= set(ours["metric"])
    text = path.with_suffix(".md").read_text()
    assert "all runs: no noise among its negatives" in text


@pytest.mark.parametrize("name", ["paper_vggss", "paper_is3"])
def test_the_papers_experiments_hold_all_its_models(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "conf" / "experiment" / f"{name}.yaml"
    swept = yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]["model"].split(",")
    assert tuple(swept) == EVALUATED_MODELS
    assert set(swept) == {*PAPER_MODELS, "rcgrad_raw"}
    config = composed(f"experiment={name}")
    assert (config.data.name, config.prior.name) == (name.removeprefix("paper_"), "object_guided")


def test_experiments_may_be_added_as_hydra_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", "+experiment=paper_is3", "hydra.sweeper.params.model=lvs", DRY_RUN]
    monkeypatch.setattr("sys.argv", ["vssl-evaluate", *words])
    with pytest.raises(SystemExit):
        evaluate_main()
    assert "[1/1] lvs is3 all corrected object_guided: cannot run:" in capsys.readouterr().out

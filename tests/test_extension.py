"""docs/extending.md: one part of each kind from a package outside of vssl, found everywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import command
from vssl.config.compose import group_names
from vssl.config.search_path import packages
from vssl.metrics.base import SampleMetric
from vssl.reporting.tables.columns import other_columns

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "extending.md").read_text(encoding="utf-8")
PACKAGE = DOCS / "extending" / "mypkg"
PARTS = {
    "model": "bright",
    "data": "boxes",
    "negatives": "hum",
    "threshold": "median",
    "metrics": "outside",
    "figure": "outside",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the package, its test set, a finished run and a report."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(PACKAGE, folder / "mypkg")
    root = draw_vggss(folder / "boxes")
    (root / "frames").rename(root / "pictures")
    (root / "audio").rename(root / "sounds")
    entries = json.loads((root / "vggss.json").read_text())
    own = [{"name": e["file"], "label": e["class"], "box": e["bbox"][0]} for e in entries]
    (root / "boxes.json").write_text(json.dumps(own))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield folder


def in_package(work: Path, name: str, *arguments: str) -> str:
    done = command(name, "--config-dir", "mypkg/conf", *arguments, cwd=work)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shown(work: Path) -> str:
    """What the terminal shows of a run with all parts."""
    return in_package(
        work, "vssl-evaluate", "model=bright", "data=boxes", "data.root=boxes", "output_dir=run",
        "negatives=[silence,noise,offscreen,hum]", "negatives.noise.draws=1",
        "negatives.noise.level=0.01",
        "negatives.offscreen.draws=1", "threshold=[universal_q3,median]", "metrics=[all,outside]",
        "logger=csv", "trainer=cpu", "bootstrap.resamples=20", "loader.num_workers=0",
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(work: Path, shown: str) -> Path:
    few = ("--policy", "median", "--gallery", "0")
    in_package(work, "vssl-report", "run", "--output", "report", *few)
    return work / "report"


def test_help_lists_every_part(work: Path) -> None:
    text = re.sub(r"\s+", " ", in_package(work, "vssl-evaluate", "--help"))
    for group, name in PARTS.items():
        assert re.search(rf"\b{group}: [\w, ]*\b{name}\b", text), group


def test_an_installed_package_needs_no_option(work: Path) -> None:
    facts = work / "mypkg-1.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mypkg\nVersion: 1\n")
    (entry,) = re.findall(r"\n\[project.*\n(mypkg = )\"(mypkg.conf)\"", PAGE)
    (facts / "entry_points.txt").write_text(f"[vssl.conf]\n{''.join(entry)}\n")
    packages.cache_clear()  # as in another process
    try:
        assert "bright" in command("vssl-evaluate", "--help", cwd=work).stdout
        pair = ("boxes/pictures/clip0_000010.jpg", "boxes/sounds/clip0_000010.wav")
        refused = command("vssl-localize", *pair, "--model", "bright", "--policy", "x", cwd=work)
        assert re.search(r"`--policy` to be one of .*\bmedian\b.*, but got `x`", refused.stderr)
    finally:
        shutil.rmtree(facts)
        packages.cache_clear()
    assert "bright" not in group_names("model"), "it was the package that had it found"


def test_summary_keys_and_terminal(work: Path, shown: str) -> None:
    summary = pd.read_parquet(work / "run" / "summary.parquet")
    rows = summary[summary["metric"] == "outside"]
    assert not rows["higher_is_better"].any()
    assert set(rows["threshold_policy"]) == {"universal_q3", "median"}
    assert set(rows["condition"]) == {"positive"}
    assert rows["value"].between(0, 1).all()
    assert "hum" in set(summary["condition"])
    assert set(summary["model"]) == {"bright"}
    assert set(summary["dataset"]) == {"boxes"}
    subsets = pd.read_parquet(work / "run" / "subsets.parquet")
    assert "outside" in set(subsets["metric"])
    (logged,) = (work / "run" / "csv").rglob("metrics.csv")
    keys = logged.read_text().splitlines()[0].split(",")
    assert {"positive/outside/median", "hum/pia/median"} <= set(keys)
    other = shown.partition("other metrics")[2]
    assert re.search(r"outside\s.*\n.*positive ↓", other)
    assert "median" in other


def test_report_and_page(report: Path) -> None:
    (markdown,) = report.glob("paper_*.md")
    other = markdown.read_text().partition("other metrics (median)")[2]
    assert "| outside positive ↓ |" in other
    assert "| pIA hum ↓ | AUC_N hum ↑ | false alarms hum ↓ |" in markdown.read_text()
    assert "| AUROC hum ↑ |" in markdown.read_text()
    latex = markdown.with_suffix(".tex").read_text()
    assert "tab:boxes_corrected_other" in latex
    assert re.search(r"positive \$\\downarrow\$", latex)
    cells = pd.read_csv(markdown.with_suffix(".csv")).query("metric == 'outside'")
    assert cells["table"].tolist() == ["other"]
    assert not cells["higher_is_better"].any()
    page = (report / "index.html").read_text()
    assert 'aria-label="outside positive, lower is better"' in page
    assert "Marked beside the object at median" in page
    assert "One bar for each run" in page
    listed = (report / "report.md").read_text()
    for end in ("svg", "png"):
        assert f"boxes_corrected_outside.{end}" in listed
        assert (report / f"boxes_corrected_outside.{end}").is_file()


def test_a_unit_is_shown_behind_the_label() -> None:
    class Offset(SampleMetric):
        name = column = "offset"
        unit = "pixels"

    row = {"metric": "offset", "condition": "positive", "threshold_policy": "fixed"}
    (column,) = other_columns(pd.DataFrame([{**row, "higher_is_better": False}]))
    assert column.lines == ("offset (pixels)", "positive ↓")


def test_other_commands_know_the_parts(work: Path, shown: str) -> None:
    copy = work / "copy"
    shutil.copytree(work / "run", copy, dirs_exist_ok=True)
    in_package(work, "vssl-rescore", "run=copy", "threshold=[median]", "metrics=[all,outside]")
    rows = ("--metric", "outside", "--metric", "alignment", "--threshold", "median",
            "--resamples", "10")  # fmt: skip
    compared = in_package(work, "vssl-compare", "run", "copy", *rows, "--anyway")
    assert "outside ↓" in compared
    assert re.search(r"alignment \(units of the map\) ↑ .* \+0 to \+0", compared)
    studied = in_package(work, "vssl-thresholds", "run", "--threshold", "median", "--points", "9",
                         "--resamples", "10")  # fmt: skip
    assert "median" in studied


def test_the_parts_keep_their_contracts(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(work))
    from mypkg.data import Boxes
    from mypkg.metric import Outside
    from mypkg.model import Bright
    from mypkg.negative import Hum
    from mypkg.threshold import MedianThreshold

    from vssl import testing
    from vssl.audio import CenterWindow
    from vssl.frontends import RawWaveform

    testing.check_model(Bright(), RawWaveform(CenterWindow(seconds=3)))
    testing.check_reader(Boxes(work / "boxes"))
    testing.check_negative(Hum())
    testing.check_threshold(MedianThreshold(name="median"))
    testing.check_metric(Outside())

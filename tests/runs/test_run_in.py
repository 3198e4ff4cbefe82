"""A folder above the only finished run below it stands for that run, in every command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import FAST, run, run_settings, scoring_settings
from vssl.cli.audit import main as audit
from vssl.cli.rescore import main as rescore
from vssl.core.errors import UsageError
from vssl.localize.setup import LocalizeOptions, read_settings
from vssl.localize.threshold import find_threshold
from vssl.records.files import RECORDS_FILE, RUN_FILE, run_in
from vssl.records.localization import Localization
from vssl.records.store import read_provenance
from vssl.runs.evaluate import check_request
from vssl.runs.score import score_run


def make(root: Path, *names: str, file: str = RUN_FILE) -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / file).touch()


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        (["a/b/run"], "", "a/b/run"),
        (["a/b/run"], "a", "a/b/run"),
        (["a/b/run"], "a/b/run", "a/b/run"),
        (["a/b/run", "c/run"], "a", "a/b/run"),
        (["a", "a/b"], "a", "a"),  # a finished run itself, whatever lies below
        ([], "a", "a"),  # for the reader to refuse
        ([], "stopped", "stopped"),  # records alone are a run, but are not found from above
        ([], "", ""),
    ],
)
def test_run_in(tmp_path: Path, files: Sequence[str], given: str, expected: str) -> None:
    make(tmp_path, *files)
    make(tmp_path, "stopped", file=RECORDS_FILE)
    assert run_in(tmp_path / given) == tmp_path / expected


def test_several_are_listed(tmp_path: Path) -> None:
    names = [f"run{number:02}" for number in range(23)]
    make(tmp_path, *names)
    with pytest.raises(UsageError) as caught:
        run_in(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: there are 23 finished runs below it; name one:"
    assert lines[1:-1] == [f"  {tmp_path / name}" for name in names[:20]]
    assert lines[-1] == "  and 3 more"


@pytest.fixture(scope="module")
def above(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder above one finished run."""
    root = tmp_path_factory.mktemp("above")
    data = draw_vggss(root / "vggss")
    on = ("data=vggss", f"data.root={data}", "threshold=fixed", "metrics=pia", "subsets=[]")
    draws = ("negatives.noise.draws=1", "negatives.offscreen.draws=1")
    run(root / "out" / "vggss" / "0a1b2c3d", "model=center", *on, *draws)
    return root / "out"


def test_rescoring_and_calibration(above: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = above.glob("*/*")
    asked = ("threshold=universal_q3", "metrics=pia", "subsets=[]", "bootstrap.resamples=10")
    monkeypatch.setattr(sys, "argv", ["vssl-rescore", f"run={above}", *asked])
    rescore()
    summary = score_run(scoring_settings(f"calibration={above}", *asked), folder)
    assert summary["threshold_source"].str.contains(r", run \w{8}\)").any()


def test_localize_learns_from_it(above: Path) -> None:
    options = LocalizeOptions("center", calibration=above, overrides=("trainer=cpu",))
    recipe = Localization.of(read_provenance(run_in(above) / RECORDS_FILE))
    found, rates = find_threshold(read_settings(options), options, recipe)
    assert found is not None
    assert found.calibration == str(next(above.glob("*/*")))
    assert rates is not None
    assert set(rates.false_alarms) == {"silence", "noise", "offscreen"}


def test_a_calibration_run_is_checked_before_an_evaluation(above: Path) -> None:
    given = ("data=vggss", f"data.root={above.parent / 'vggss'}", f"calibration={above}")
    assert check_request(run_settings(*FAST, "model=center", *given))
    with pytest.raises(UsageError, match=f"{next(above.glob('*/*'))} is a run of center"):
        check_request(run_settings(*FAST, "model=random", *given))


def test_an_audit_takes_it(above: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vssl-audit", str(above), "--output", str(tmp_path)])
    with pytest.raises(UsageError, match=r"one run of center on vggss under protocol=released"):
        audit.__wrapped__()

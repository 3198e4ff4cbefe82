"""Damaged results and places that cannot be written: one line with the file and the cause."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import FAST, command, run, scoring_settings
from vssl.analysis.compare import ComparedRun
from vssl.analysis.threshold_study import study_thresholds
from vssl.cli.app import run_app
from vssl.cli.localize import split_inputs
from vssl.core.errors import UsageError
from vssl.core.files import write_text, written_to
from vssl.data.base import text_of
from vssl.records.files import (
    LOCK_FILE,
    RECORDS_FILE,
    RUN_FILE,
    SCORES_FILE,
    SUMMARY_FILE,
    TRUTH_FILE,
)
from vssl.records.fit import check_calibration
from vssl.records.schema import METADATA_KEY
from vssl.records.scores import Samples, Scores
from vssl.records.store import check_pages, check_records, read_columns, read_provenance
from vssl.reporting.collection import collect
from vssl.runs.audit import audit
from vssl.runs.folder import RunLog
from vssl.runs.score import score_run

OPTIONS = ("negatives=silence", "threshold=universal_q3", "bootstrap.resamples=10", "logger=none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_vggss(tmp_path_factory.mktemp("data") / "vggss")


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("center", "oracle"):
        chosen = (f"model={model}", "data=vggss", f"data.root={data}")
        run(folder / model, *chosen, *OPTIONS, "metrics=all")
    return folder


@pytest.fixture
def folder(runs: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(runs / "center", tmp_path / "center"))


Change = Callable[[Path], object]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 4, len(content) // 2, 7):
        content[place] ^= 16
    path.write_bytes(content)


def provenance(text: bytes | None) -> Change:
    """Gives a parquet file this provenance, or none."""
    facts = {} if text is None else {METADATA_KEY: text}
    return lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata(facts), path)


def rows(change: Callable[[pa.Table], pa.Table]) -> Change:
    """Changes the rows of a parquet file."""
    return lambda path: pq.write_table(change(pq.read_table(path)), path)


def missing_sample(table: pa.Table) -> pa.Table:
    first = table.column("sample_id")[0].as_py()
    return table.filter(pa.array([s != first for s in table.column("sample_id").to_pylist()]))


def with_column(name: str, values: Callable[[pa.Table], pa.Array]) -> Change:
    return rows(lambda t: t.set_column(t.schema.get_field_index(name), name, values(t)))


TEXT: dict[str, Change] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:3000]),
    "empty": lambda path: path.write_bytes(b""),
    "other": lambda path: path.write_text("no parquet at all"),
}
FILE: dict[str, Change] = TEXT | {
    "flipped": flipped,
    "broken provenance": provenance(b'{"schema_version": '),
    "no provenance": provenance(None),
    "listed provenance": provenance(b"[]"),
}
DOUBLED: dict[str, Change] = {
    "missing row": rows(lambda t: t.slice(1)),
    "doubled row": rows(lambda t: pa.concat_tables([t, t.slice(0, 1)])),
    "doubled for another": rows(
        lambda t: pa.concat_tables([t.slice(0, 1), t.slice(0, 1), t.slice(2)])
    ),
}
ROWS: dict[str, Change] = DOUBLED | {
    "missing sample": rows(missing_sample),
    "reversed": rows(lambda t: t.take(list(reversed(range(len(t)))))),
    "dropped column": rows(lambda t: t.drop_columns(["similarity_map"])),
    "other type": with_column("draw", lambda t: t.column("draw").cast(pa.int64())),
}
VALUES: dict[str, Change] = {
    "other values": with_column("similarity_max", lambda t: pa.array([0.5] * len(t), pa.float32())),
}


def damage(changes: dict[str, Change]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("change", changes.values(), ids=changes)


@damage(FILE | ROWS | VALUES)
def test_damaged_records_are_noticed_by_all_that_read_them(folder: Path, change: Change) -> None:
    facts = read_provenance(folder / RECORDS_FILE)
    change(folder / RECORDS_FILE)
    chosen: dict[str, Any] = {
        "model": "center", "weights_sha256": None, "prior": None,
        "protocol_switches": facts["protocol_switches"], "network_hash": facts["network_hash"],
    }  # fmt: skip
    readers: list[Callable[[], object]] = [
        lambda: check_records(folder),
        lambda: ComparedRun.of(folder),
        lambda: study_thresholds([folder], []),
        lambda: audit([folder], folder / "audit", policies=[]),
        lambda: check_calibration(folder, **chosen),
    ]
    for read in readers:
        with pytest.raises(UsageError, match=r"(?s)^.*records\.parquet: [^\n]*$"):
            read()


@damage(ROWS)
def test_edited_records_of_earlier_versions_are_noticed(folder: Path, change: Change) -> None:
    facts = json.loads((folder / RUN_FILE).read_text())
    del facts["records_sha256"]
    (folder / RUN_FILE).write_text(json.dumps(facts))
    check_records(folder)
    change(folder / RECORDS_FILE)
    with pytest.raises(UsageError, match=r"records\.parquet: "):
        check_records(folder)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("name", [RECORDS_FILE, TRUTH_FILE, SCORES_FILE])
def test_a_flipped_bit_is_an_error_or_no_change(
    runs: Path, tmp_path: Path, name: str, place: float, bit: int
) -> None:
    for each in (RECORDS_FILE, TRUTH_FILE):
        shutil.copy(runs / "center" / each, tmp_path)
    content = bytearray((runs / "center" / name).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / name
    path.write_bytes(content)
    table = pq.read_table(runs / "center" / name)
    with contextlib.suppress(UsageError):
        read_provenance(path)
        check_pages(path)
        # headers of pages have no checksum: what they hide, rows that are missing or doubled tell
        if name == SCORES_FILE:
            Scores(path, Samples.of(runs / "center").ids)
        else:
            check_records(tmp_path)
        found = read_columns(path)
        assert str(found.to_pydict()) == str(table.to_pydict())


LACKING = {"lacking provenance": provenance(b'{"schema_version": "3", "config_hash": 1}')}


def test_a_broken_file_costs_its_own_run(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "oracle", tmp_path / "oracle")
    broken = {}
    for name in (RECORDS_FILE, TRUTH_FILE, SCORES_FILE, SUMMARY_FILE, RUN_FILE):
        for which, change in (TEXT if name == RUN_FILE else FILE | LACKING).items():
            if which != "listed provenance":
                folder = tmp_path / f"{name} {which}"
                change(Path(shutil.copytree(runs / "center", folder)) / name)
                broken[folder] = name
    found = collect([tmp_path])
    assert [each.model for group in found.groups for each in group.runs] == ["oracle"]
    assert found.left_out.keys() == broken.keys()
    for folder, name in broken.items():
        assert name in found.left_out[folder].removeprefix(str(folder)), folder
        assert "\n" not in found.left_out[folder]


@damage(FILE | DOUBLED)
def test_damaged_scores_are_an_error(folder: Path, change: Change) -> None:
    change(folder / SCORES_FILE)
    doubled = change in DOUBLED.values()
    message = "rows are missing or doubled" if doubled else r"[^\n]*$"
    with pytest.raises(UsageError, match=rf"scores\.parquet: {message}"):
        _read_scores(folder)


def _read_scores(folder: Path) -> None:
    scores = ComparedRun.of(folder).scores
    for part, condition, column in itertools.product(
        scores.parts(), ("positive", "silence"), scores.columns
    ):
        scores.values(part, condition, column)


def test_rescoring_leaves_records_as_they_are_known(folder: Path) -> None:
    score_run(scoring_settings("bootstrap.resamples=10"), folder)
    check_records(folder)


def test_a_run_that_is_being_evaluated_has_not_failed(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "vssl-evaluate.log").write_text("")
    (first,) = collect([tmp_path]).left_out.values()
    assert "failed before its first record" in first
    assert not (tmp_path / "run" / LOCK_FILE).exists()
    with FileLock(tmp_path / "run" / LOCK_FILE):
        (second,) = collect([tmp_path]).left_out.values()
    assert second == "is being evaluated now."
    (third,) = collect([tmp_path]).left_out.values()
    assert "failed before its first record" in third


def test_a_log_that_cannot_be_opened_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "log", tmp_path / "log"):
        log = RunLog(path)
        log.emit(logging.LogRecord("x", logging.INFO, "", 0, "text", None, None))
        log.close()
    assert (tmp_path / "log").read_text() == "text\n"


def test_errors_of_writing_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as full, written_to(tmp_path):
        raise OSError(28, "No space left on device")
    assert full.value.filename == str(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as inside:
        write_text(tmp_path / "file" / "text", "")
    assert inside.value.filename


@pytest.mark.parametrize("name", ["report", "compare", "thresholds", "audit", "localize"])
def test_commands_name_the_folder_that_cannot_be_written(
    name: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    (tmp_path / "dog.jpg").write_text("")
    given = [str(runs / model) for model in ("center", "oracle")]
    given = [str(tmp_path / "dog.jpg")] * 2 if name == "localize" else given
    model = ["--model", "center"] if name == "localize" else []
    output = ["--output", str(tmp_path / "file" / "out")]
    monkeypatch.setattr("sys.argv", [f"vssl-{name}", *given, *model, *output])
    main = importlib.import_module(f"vssl.cli.{name}").main
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == f"error: {tmp_path / 'file'}: Not a directory\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(30, "Read-only file system", "out"), "error: out: Read-only file system\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (OSError("odd"), "error: odd\n"),
        (PermissionError(13, "Permission denied", b"out"), "error: out: Permission denied\n"),
    ],
)
def test_errors_of_the_system_are_one_line(
    error: OSError, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit):
        run_app(main, "evaluate")
    assert capsys.readouterr().err == message


def test_a_finished_run_is_taken_where_nothing_can_be_written(
    runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = ("model=center", "data=vggss", f"data.root={data}", *OPTIONS, "metrics=all")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("vssl.runs.evaluate.alone_in", _refuse)
    with caplog.at_level("INFO"):
        run(runs / "center", *chosen)
    assert "already evaluated" in caplog.text
    with pytest.raises(OSError, match="Read-only"):
        run(runs / "center", *chosen, "bootstrap.seed=1")


def _refuse(folder: Path, **_: object) -> None:
    raise OSError(30, "Read-only file system", str(folder))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["output_dir=a=b"], ["output_dir=a=b: ", "'output_dir=\"a=b\"'"]),
        (["output_dir=a(b)"], ["output_dir=a(b): ", "'output_dir=\"a(b)\"'"]),
        (["data.root='x(1"], ["data.root='x(1: "]),
        (["nothing"], ["nothing: Expected key=value"]),
    ],
)
def test_arguments_that_hydra_cannot_read(
    arguments: list[str], expected: list[str], tmp_path: Path
) -> None:
    failed = command("vssl-evaluate", *arguments, "logger=none", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    for text in expected:
        assert text in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_with_an_equals_sign_are_told_from_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").mkdir()
    for name in ("pic=1.png", "a=b/c.jpg"):
        Path(name).touch()
        assert split_inputs([name, "bark.wav"]) == (Path(name), Path("bark.wav"), [])
    for override in ("seed=1", "negatives.noise.file=noise.wav", "modle=x", "+mine=x.png"):
        assert split_inputs(["dog.jpg", override, "bark.wav"])[2] == [override]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff"])
def test_texts_that_no_file_can_hold(text: str) -> None:
    with pytest.raises(ValueError, match=r"`file` is .*with a character that is none"):
        text_of({"file": text}, "file")


@pytest.mark.parametrize(
    ("field", "name"), [*(("file", n) for n in ("x" * 300, "\0", "\udc80")), ("class", "y" * 253)]
)
def test_odd_ids_and_classes_are_counted(
    name: str, field: str, vggss_folder: Path, tmp_path: Path
) -> None:
    annotation = vggss_folder / "vggss.json"
    entries = json.loads(annotation.read_text())
    entries[0][field] = name
    annotation.write_text(json.dumps(entries))
    chosen = ("model=center", "data=vggss", f"data.root={vggss_folder}", *OPTIONS)
    if field == "class":
        run(tmp_path / "run", *chosen, "metrics=pia", "subsets=[category]")
        return
    with pytest.raises(UsageError, match=r"data\.missing=skip"):
        run(tmp_path / "run", *chosen)


def test_an_annotation_file_with_a_byte_order_mark(vggss_folder: Path, tmp_path: Path) -> None:
    annotation = vggss_folder / "vggss.json"
    annotation.write_bytes(b"\xef\xbb\xbf" + annotation.read_bytes())
    chosen = ("model=center", "data=vggss", f"data.root={vggss_folder}", *OPTIONS)
    assert len(run(tmp_path / "run", *chosen, "metrics=pia"))


def test_numbers_of_jobs_in_the_output_root(tmp_path: Path) -> None:
    sweep = ("-m", "hydra/launcher=submitit_local", "model=center", "output_root=out/%j")
    failed = command("vssl-evaluate", *sweep, *FAST, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: output_root=")
    assert "without %" in failed.stderr
    assert failed.stderr.count("\n") == 1

"""Parts of a test set: lists of ids, and the first samples."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.running import HEARS, maps, records, run, run_settings
from vssl.cli.evaluate import limit_as_override
from vssl.core.errors import UsageError
from vssl.data.base import DataError
from vssl.data.ids import first_pictures, read_ids, shown_name
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.records.files import RECORDS_FILE
from vssl.records.store import read_provenance
from vssl.reporting.published import beside_published, read_published


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("a.txt", "# of SACL\n b \n\na\n\n", ("b", "a")),
        ("a.txt", "\ufeffa b\r\nc#1\r\na b\r\n", ("a b", "c#1")),
        ("a.lst", "a,1", ("a,1",)),
        ("a.csv", "class,video\ndog,a\n,\nbell,b\n", ("a", "b")),
        ("a.CSV", '\ufeffid, file\n1,"b, c"\n2, d\n', ("b, c", "d")),
        ("a.csv", "sample_id\n007\n", ("007",)),
    ],
)
def test_read_ids(tmp_path: Path, name: str, content: str, ids: tuple[str, ...]) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    listed = read_ids(path)
    assert listed.ids == ids
    assert listed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match="no such file"):
        read_ids(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.txt", b"# none\n\n", "lists no ids"),
        ("a.txt", b"\xff\xfe\x00", "not readable"),
        ("a.csv", b"youtube,class\na,dog\n", "the columns youtube, class, and none of sample_id"),
        ("a.csv", b"", r"\(none\)"),
        ("a.csv", b"id\n", "lists no ids"),
    ],
)
def test_read_ids_refuses(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=fault):
        read_ids(tmp_path / name)


def test_ids_of_a_test_set(vggss_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("clip4_000010\nclip1_000010\n")
    (vggss_folder / "audio" / "clip0_000010.wav").unlink()  # of no interest
    data = VGGSS(vggss_folder, ids=path).check()
    assert [sample.sample_id for sample in data.samples] == ["clip1_000010", "clip4_000010"]
    assert (data.listed, data.coverage, data.problems) == (2, 1.0, ())
    path.write_text("clip4_000010\nclip9_000010\nclip8_000010\n")
    reader = VGGSS(vggss_folder, ids=path)
    with pytest.raises(DataError) as caught:
        reader.check()
    text = str(caught.value)
    assert "(vggss, 3 ids listed): 2 ids of list.txt that the annotation lacks" in text
    assert "clip8_000010: vggss.json has ids such as clip0_000010" in text
    assert f"Mend the folder or {path}, or set data.missing=skip to evaluate the 1 samples" in text
    data = VGGSS(vggss_folder, ids=path, missing="skip").check()
    assert data.coverage == pytest.approx(1 / 3)
    assert [p.sample_id for p in data.problems] == ["clip9_000010", "clip8_000010"]


@pytest.mark.parametrize(("limit", "count"), [(1, 2), (2, 2), (3, 2), (4, 4), (100, 6)])
def test_pairs_stay_whole(is3_folder: Path, limit: int, count: int) -> None:
    whole = IS3(is3_folder).check()
    for path in {s.image_path for s in whole.samples[count:]}:
        path.write_bytes(b"")  # which is not looked at
    data = IS3(is3_folder, limit=limit).check()
    assert data.samples == whole.samples[:count]
    assert data.listed == 6
    assert not data.notes


def test_first_pictures_of_mixed_order(is3_folder: Path) -> None:
    samples = IS3(is3_folder).listed()
    mixed = samples[::2] + samples[1::2]
    assert first_pictures(mixed, 3) == [mixed[0], mixed[3]]
    assert first_pictures(mixed, 4) == [mixed[0], mixed[1], mixed[3], mixed[4]]


def test_identity_and_names(tmp_path: Path) -> None:
    whole = run_settings("data=vggss")
    path = tmp_path / "sacl.txt"
    path.write_text("a\nb\n")
    listed = run_settings("data=vggss", f"data.ids={path}")
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert listed.data.shown_name == f"vggss (sacl.txt: 2 ids, {digits})"
    assert listed.data.folder_name == f"vggss-sacl.txt-2-ids-{digits}"
    assert listed.identity["files_sha256"]["data.ids"].startswith(digits)
    path = path.rename(tmp_path / "other.txt")  # counts by its content
    renamed = run_settings("data=vggss", f"data.ids={path}")
    assert renamed.identity_hash == listed.identity_hash
    path.write_text("a\nb\nc\n")
    changed = run_settings("data=vggss", f"data.ids={path}")
    assert changed.identity_hash != renamed.identity_hash
    first = run_settings("data=vggss", "data.limit=20")
    assert len({each.identity_hash for each in (whole, listed, changed, first)}) == 4
    assert first.data.shown_name == "vggss (first 20)"
    assert first.data.folder_name == "vggss-first-20"
    assert first.data.noise_use == whole.data.noise_use == "vggss"
    assert shown_name("is3", ids="none.csv", limit=4) == "is3 (none.csv; first 4)"
    with pytest.raises(UsageError, match=r"`data.limit` to be null \(all samples\) or a whole"):
        run_settings("data.limit=0")


def test_the_first_samples_have_the_records_of_the_whole(is3_folder: Path, tmp_path: Path) -> None:
    options = (*HEARS, "data=is3", f"data.root={is3_folder}", "negatives=[noise,swapped,mixed]",
               "negatives.noise.draws=2", "negatives.mixed.draws=1", "threshold=fixed")  # fmt: skip
    run(tmp_path / "whole", *options)
    summary = run(tmp_path / "first", *options, "data.limit=4")
    whole, first = records(tmp_path / "whole"), records(tmp_path / "first")
    assert first["sample_id"].nunique() == 4
    key = ["sample_id", "audio_condition", "draw", "audio_source_id"]
    whole = first[key].merge(whole, on=key, how="left")
    pd.testing.assert_frame_equal(whole[key], first[key])
    # encoded in smaller batches
    assert abs(maps(whole) - maps(first)).max() < 1e-5
    assert set(summary["dataset"]) == {"is3 (first 4)"}
    assert set(summary["coverage"]) == {4 / 6}
    provenance = read_provenance(tmp_path / "first" / RECORDS_FILE)
    assert (provenance["dataset"], provenance["limit"]) == ("is3 (first 4)", 4)
    published = read_published()
    assert beside_published(summary.assign(model="ezvsl"), published).empty
    assert not beside_published(summary.assign(model="ezvsl", dataset="is3"), published).empty


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("model=a data=is3 --limit 20", "++data.limit=20 model=a data=is3"),
        ("-m --limit=20 model=a,b", "-m ++data.limit=20 model=a,b"),
        ("--limit 5 -m", "-m ++data.limit=5"),
        ("model=a", "model=a"),
    ],
)
def test_limit_on_the_command_line(given: str, wanted: str) -> None:
    assert limit_as_override(given.split()) == wanted.split()


@pytest.mark.parametrize("value", ["many", "-3", ""])
def test_a_limit_that_is_no_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        limit_as_override(["--limit", value])
    assert "expected a number of samples" in capsys.readouterr().err

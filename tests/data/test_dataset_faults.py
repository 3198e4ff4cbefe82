"""Test sets on disk: every fault a folder can have, and what is left of it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.helpers.drawn import write_tone
from tests.helpers.running import run_settings
from vssl.config.build import check_data
from vssl.core.errors import UsageError
from vssl.data.base import DataError, DatasetReader
from vssl.data.vggss import VGGSS
from vssl.types import Sample

Damage = Callable[[Path], object]


def entries(root: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((root / "vggss.json").read_text())
    return loaded


def rewrite(root: Path, content: object) -> None:
    (root / "vggss.json").write_text(json.dumps(content))


def change_first(**fields: object) -> Damage:
    """An annotation whose first entry has other fields; `...` removes one."""

    def change(root: Path) -> None:
        first, *others = entries(root)
        changed = {k: v for k, v in (first | fields).items() if v is not ...}
        rewrite(root, [changed, *others])

    return change


def cut(name: str, share: float) -> Damage:
    def change(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(len(content) * share)])

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "vggss.json").unlink(), "holds no annotation file (vggss_annota"),
        (cut("vggss.json", 0.5), "vggss.json: not readable as JSON ("),
        (lambda root: (root / "vggss.json").write_bytes(b"\xff\xfe"), "not readable as JSON ("),
        (lambda root: rewrite(root, {"a": 1}), "vggss.json: expected a list of objects. Is it vg"),
        (lambda root: rewrite(root, ["a"]), "vggss.json: expected a list of objects."),
        (lambda root: rewrite(root, []), "vggss.json: lists no samples"),
    ],
)
def test_unusable_folders(vggss_folder: Path, damage: Damage, message: str) -> None:
    damage(vggss_folder)
    with pytest.raises(DataError, match=re.escape(message)):
        VGGSS(vggss_folder, missing="skip").check()


def test_other_faults_of_options(vggss_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: no such folder. Set data.root=<vggss folder>"):
        VGGSS(tmp_path / "none").check()
    with pytest.raises(DataError, match=r"holds no annotation file \(mine.json\)"):
        VGGSS(vggss_folder, annotation="mine.json").check()
    choices = {
        "media": "check, absent",
        "missing": "error, skip",
        "silent": "keep, skip",
        "empty": "fault, keep, negative",
    }
    for option, known in choices.items():
        with pytest.raises(UsageError, match=f"`data.{option}` to be one of {known}, but got `x"):
            VGGSS(vggss_folder, **{option: "x"})
    (vggss_folder / "vggss.json").rename(tmp_path / "mine.json")
    data = VGGSS(vggss_folder, annotation=str(tmp_path / "mine.json"), name="mine").check()
    assert len(data.samples) == 6


def test_an_annotation_file_may_be_a_table(vggss_folder: Path) -> None:
    corners = ["x0", "y0", "x1", "y1"]

    class Table(VGGSS):
        annotated_boxes = DatasetReader.annotated_boxes  # those of `parse`

        def parse(self, entry: dict[str, Any]) -> Sample:
            box = [float(entry[name]) for name in corners]
            return super().parse({**entry, "bbox": [box]})

    table = pd.DataFrame(entries(vggss_folder))
    table[corners] = [boxes[0] for boxes in table.pop("bbox")]
    table.to_csv(vggss_folder / "boxes.csv", index=False)
    listed = VGGSS(vggss_folder).listed()
    reader = Table(vggss_folder, annotation="boxes.csv")
    assert [s.sample_id for s in reader.check().samples] == [s.sample_id for s in listed]
    assert [s.boxes[0] for s in reader.listed()] == [s.boxes[0] for s in listed]
    (vggss_folder / "boxes.csv").write_bytes(b"file\n\xff\n")
    with pytest.raises(DataError, match=r"boxes.csv: not readable as CSV"):
        reader.check()
    (vggss_folder / "boxes.csv").write_text("file,class\n")
    with pytest.raises(DataError, match=r"boxes.csv: lists no samples"):
        reader.check()


FAULTS: list[tuple[Damage, str, str, str]] = [
    # damage, kind of problem, what its detail says, what it is listed under
    (lambda r: (r / "frames/clip0_000010.jpg").unlink(), "missing images", "no such file", ""),
    (lambda r: (r / "audio/clip0_000010.wav").unlink(), "missing audio files", "no such file", ""),
    (cut("audio/clip0_000010.wav", 0.5), "unreadable audio files", "is cut off", ""),
    (cut("frames/clip0_000010.jpg", 0.5), "unreadable images", "not decodable as an image", ""),
    (change_first(bbox=...), "annotations that cannot be read", "entry 0: KeyError: 'bbox'", "#0"),
    (change_first(file=...), "annotations that cannot be read", "entry 0: KeyError: 'file'", "#0"),
    (change_first(bbox=[[0.1, 0.2, 0.3]]), "annotations that cannot be read", "ValueError", "#0"),
    (change_first(bbox=[0.1, 0.2, 0.3, 0.4]), "annotations that cannot be read", "TypeErr", "#0"),
    (change_first(bbox=[[0, 0, 1, float("nan")]]), "annotations that cannot be read", "NaN", "#0"),
    # str() would make the class "None" of a missing one, and "None" would sound offscreen
    (change_first(**{"class": None}), "annotations that cannot be read", "TypeError", "#0"),
]


@pytest.mark.parametrize(("damage", "kind", "detail", "listed_as"), FAULTS)
def test_faulty_samples(
    vggss_folder: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
    kind: str,
    detail: str,
    listed_as: str,
) -> None:
    damage(vggss_folder)
    with pytest.raises(DataError) as caught:
        VGGSS(vggss_folder).check()
    text = str(caught.value)
    assert text.startswith(f"{vggss_folder} (vggss, 6 ids listed): ")
    assert f"1 {kind}" in text
    assert detail in text
    assert "data.missing=skip to evaluate the 5 samples that are whole." in text

    with caplog.at_level(logging.INFO):
        data = VGGSS(vggss_folder, missing="skip").check()
    assert [s.sample_id for s in data.samples] == [f"clip{n}_000010" for n in range(1, 6)]
    assert data.coverage == 5 / 6
    (problem,) = (p for p in data.problems if p.kind == kind)
    assert problem.sample_id == (listed_as or "clip0_000010")
    assert detail in problem.detail
    assert detail in caplog.text
    expected = "vggss: 5 of 6 listed samples (the published list has 5158), 83.3 % coverage"
    assert expected in caplog.text


def test_repeated_ids_are_evaluated_once(vggss_folder: Path) -> None:
    rewrite(vggss_folder, [*entries(vggss_folder), entries(vggss_folder)[0]])
    with pytest.raises(DataError, match=r"1 ids listed twice\n.*entry 6 repeats an id"):
        VGGSS(vggss_folder).check()
    data = VGGSS(vggss_folder, missing="skip").check()
    assert len({s.sample_id for s in data.samples}) == len(data.samples) == 6
    assert [p.sample_id for p in data.problems] == ["clip0_000010"]


def test_files_without_annotation(vggss_folder: Path) -> None:
    rewrite(vggss_folder, entries(vggss_folder)[2:])
    with pytest.raises(
        DataError, match="2 images without annotation; 2 audio files without annotation"
    ):
        VGGSS(vggss_folder).check()
    data = VGGSS(vggss_folder, missing="skip").check()
    assert data.coverage == 1
    assert {p.sample_id for p in data.problems} == {"clip0_000010", "clip1_000010"}


def test_one_message_counts_all_and_shortens_long_lists(vggss_folder: Path) -> None:
    for number in range(14):
        write_tone(vggss_folder / "audio" / f"extra{number}.wav", hertz=100, seconds=0.1)
    for number in range(3):
        (vggss_folder / "frames" / f"clip{number}_000010.jpg").unlink()
    cut("audio/clip2_000010.wav", 0.5)(vggss_folder)
    cut("audio/clip4_000010.wav", 0.5)(vggss_folder)
    with pytest.raises(DataError) as caught:
        VGGSS(vggss_folder).check()
    text = str(caught.value)
    assert "14 audio files without annotation; 3 missing images; 2 unreadable audio files" in text
    assert "evaluate the 2 samples that are whole" in text
    assert text.count("_000010.jpg: no such file") == 3
    assert text.count("_000010.wav: is cut off") == 2
    assert text.count("extra") == 10
    assert "audio files without annotation: and 4 more" in text


def test_nothing_left(vggss_folder: Path) -> None:
    for path in (vggss_folder / "audio").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="none of 6 listed samples can be evaluated"):
        VGGSS(vggss_folder, missing="skip").check()


def test_other_sample_rates(vggss_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tone(vggss_folder / "audio/clip0_000010.wav", hertz=300, rate=8_000)
    write_tone(vggss_folder / "audio/clip1_000010.wav", hertz=300, rate=44_100)
    write_tone(vggss_folder / "audio/clip2_000010.wav", hertz=300, rate=44_100)
    data = VGGSS(vggss_folder).check()
    assert data.resampled == 3
    assert {s.audio_length for s in data.samples} == {32_000}
    text = "vggss: 3 audio files are resampled to 16000 Hz (1 at 8000 Hz, 2 at 44100 Hz)"
    assert text in caplog.text

    with pytest.raises(DataError, match=r"3 audio at another rate\n.* is at 8000 Hz, not 16000"):
        VGGSS(vggss_folder, resample=False).check()
    left = VGGSS(vggss_folder, resample=False, missing="skip").check()
    assert [s.sample_id for s in left.samples] == [f"clip{n}_000010" for n in (3, 4, 5)]
    assert left.resampled == 0


@pytest.mark.parametrize(
    ("model", "protocol", "least"),
    # released offscreen clips are doubled, and a segment of FNAC has 512
    [("rcgrad", "corrected", 257), ("fnac", "released", 256)],
)
def test_clips_too_short_for_the_model(
    vggss_folder: Path, model: str, protocol: str, least: int
) -> None:
    for number, (rate, count) in enumerate([(16_000, least), (16_000, least - 1), (48_000, 3)]):
        path = vggss_folder / "audio" / f"clip{number}_000010.wav"
        soundfile.write(path, np.full(count, 0.1), rate)
    options = (f"data.root={vggss_folder}", "data=vggss", "cache=off", f"protocol={protocol}")
    settings = run_settings(f"model={model}", *options)
    text = rf"clip1_000010\.wav: is {least - 1} samples long at 16000 Hz, .*needs {least}"
    with pytest.raises(DataError, match=text) as stopped:
        check_data(settings)
    assert stopped.value.data is not None
    names = {p.sample_id: p.kind for p in stopped.value.data.problems}
    assert names == dict.fromkeys(("clip1_000010", "clip2_000010"), "too short audio files")
    assert "2 too short audio files" in str(stopped.value)
    assert len(stopped.value.data.samples) == 4

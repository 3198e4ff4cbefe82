"""vssl-prepare: frames and sounds from videos, resumed, mixed up, missing and damaged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.helpers.localizing import make_video
from tests.helpers.running import command, composed
from vssl.config.options import check_options
from vssl.core.errors import UsageError
from vssl.data.base import DataError
from vssl.data.check import csv_rows
from vssl.data.vggss import VGGSS
from vssl.data.video_names import VideoFolder, clip_of
from vssl.runs import prepare
from vssl.runs.prepare import (
    FAULTY,
    IDS_FILE,
    MADE,
    MISSING,
    OTHER,
    REPORT_FILE,
    RULE_FILE,
    THERE,
    place_annotation,
    prepare_folder,
    prepare_listed,
    rule_of,
)
from vssl.types import SAMPLE_RATE
from vssl.videos import MIDDLE_SLOT

RULE = rule_of("middle", None, slot=MIDDLE_SLOT, suffix=".jpg")
IDS = [f"video-_{n:04}_{10 * n:06}" for n in range(4)]


def annotated(root: Path, *ids: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    entries = [{"file": each, "class": "dog", "bbox": [[0.1, 0.1, 0.5, 0.9]]} for each in ids]
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


def report(root: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in csv_rows(root / REPORT_FILE)}


def statuses(root: Path) -> dict[str, str]:
    return {name: row["status"] for name, row in report(root).items()}


def files(root: Path) -> dict[str, int]:
    """Files below a folder, and when they were written."""
    paths = (path for path in root.rglob("*") if path.is_file() and "prepared" not in path.parts)
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("3qesirWAGt4_20", ("3qesirWAGt4", 20)),
        ("3qesirWAGt4_000020_000030", ("3qesirWAGt4", 20)),
        ("3qesirWAGt4_20.000_30.000", ("3qesirWAGt4", 20)),
        ("3qesirWAGt4_20000_30000", ("3qesirWAGt4", 20)),
        ("3qesirWAGt4_0_10000", ("3qesirWAGt4", 0)),
        ("-_2_a_3_b_4_0_10", ("-_2_a_3_b_4", 0)),
        ("3qesirWAGt4_20500_30500", None),
        ("short_20_30", None),
    ],
)
def test_names_in_circulation_tell_video_and_begin(name: str, clip: tuple[str, int] | None) -> None:
    assert clip_of(name) == clip


def test_videos_are_found_below_any_folder_and_doubles_are_told_apart(tmp_path: Path) -> None:
    contents = {
        "video/aaaaaaaaaaa_000010.mp4": b"1",
        "dog/bbbbbbbbbbb_20000_30000.MKV": b"2",
        "dog/ccccccccccc_000030.mp4": b"3", "cat/ccccccccccc_000030.mp4": b"3",
        "dog/ddddddddddd_000040.mp4": b"4", "cat/ddddddddddd_40_50.mp4": b"44",
        "eeeeeeeeeee_000050.mp4": b"5", "eeeeeeeeeee_000050.webm": b"55",
        "fffffffffff.mp4": b"6",
        "._ggggggggggg_000060.mp4": b"7", "ggggggggggg_000060.mp4.part": b"7",
    }  # fmt: skip
    for name, content in contents.items():
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "videos" / "dog" / "loop").symlink_to(tmp_path / "videos")
    folder = VideoFolder(tmp_path / "videos")
    assert len(folder.paths) == 9
    found = {c: folder.find(f"{c * 11}_0000{n}0") for n, c in enumerate("abcdefg", start=1)}
    place = {c: each.path and str(each.path.relative_to(folder.root)) for c, each in found.items()}
    assert place == {
        "a": "video/aaaaaaaaaaa_000010.mp4", "b": "dog/bbbbbbbbbbb_20000_30000.MKV",
        "c": "cat/ccccccccccc_000030.mp4", "d": "dog/ddddddddddd_000040.mp4",
        "e": None, "f": None, "g": None,
    }  # fmt: skip
    assert "alike" in found["c"].remark
    assert found["e"].is_there
    assert "keep one: eeeeeeeeeee_000050.mp4, eeeeeeeeeee_000050.webm" in found["e"].remark
    assert "fffffffffff.mp4 is the whole video, to be cut first" in found["f"].remark
    assert not found["g"].is_there


def test_real_videos_become_a_test_set_that_the_reader_takes(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "videos"
    root = tmp_path / "vggss"
    given = place_annotation(str(source / "vggss_annotations.json"), root)
    assert prepare_listed(VGGSS(root, annotation=given), source / "videos", RULE) == {MADE: 2}
    data = VGGSS(root).check()
    assert (len(data.samples), data.problems, data.resampled) == (2, (), 0)
    for sample in data.samples:
        expected = source / "expected" / "frames" / f"{sample.sample_id}_125.png"
        wanted, found = (
            np.asarray(Image.open(path).convert("RGB")).astype(int)
            for path in (expected, sample.image_path)
        )
        assert np.abs(found - wanted).mean() <= 1.5
        with soundfile.SoundFile(sample.audio_path) as sound:
            facts = (sound.format, sound.subtype, sound.channels, sound.samplerate)
        assert facts == ("WAV", "PCM_16", 1, SAMPLE_RATE)
    assert (root / IDS_FILE).read_text().split() == [s.sample_id for s in data.samples]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short videos: stereo at 44.1 kHz and turned, with odd pixels, and as Synchformer."""
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / f"{IDS[0]}.mp4", layout="stereo", turned=90)
    make_video(folder / f"{IDS[1]}.mkv", aspect=Fraction(4, 3), sound_codec="flac", rate=48_000)
    make_video(folder / f"{IDS[2][:11]}_20000_30000.mp4", fps=Fraction(30_000, 1001))
    return folder


def test_oddities_are_listed_and_what_is_left_out_ends_with_an_error(
    made: Path, tmp_path: Path
) -> None:
    root = annotated(tmp_path / "vggss", *IDS)
    with pytest.raises(DataError) as stopped:
        prepare_listed(VGGSS(root), made, RULE)
    assert "3 of 4 ids have a frame and a sound (75.0 %). Of 4 videos: 3 made, 1 no video" in str(
        stopped.value
    )
    assert f"data.missing=skip, or data.ids={root / IDS_FILE}" in str(stopped.value)
    rows = report(root)
    assert [rows[each]["status"] for each in IDS] == [MADE, MADE, MADE, MISSING]
    assert (rows[IDS[0]]["width"], rows[IDS[0]]["height"]) == ("64", "96")
    assert "turned upright by 90 degrees; 50 frames at 25 fps: the middle" in rows[IDS[0]]["note"]
    assert rows[IDS[0]]["frame"] == "9"  # shown from 0.9 s, in slot 24 of 50 at 0.96 s
    assert "pixels are 4:3, and stay as they are stored" in rows[IDS[1]]["note"]
    assert (root / IDS_FILE).read_text().split() == IDS[:3]
    assert prepare_listed(VGGSS(root, missing="skip"), made, RULE)[THERE] == 3
    assert report(root)[IDS[0]] == rows[IDS[0]] | {"status": THERE}
    data = VGGSS(root, missing="skip").check()
    assert [sample.sample_id for sample in data.samples] == IDS[:3]


def test_what_is_damaged_or_mute_is_listed(made: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(made, videos)
    whole = (videos / f"{IDS[0]}.mp4").read_bytes()
    (videos / f"{IDS[0]}.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / f"{IDS[1]}.mkv").unlink()
    make_video(videos / f"{IDS[1]}.mp4", sound_codec=None)
    (videos / f"{IDS[3]}.mp4").write_bytes(b"no video")
    make_video(videos / f"{IDS[2][:11]}_20000_30000.mp4", sound_codec="flac", silent=[(1.2, 2.0)])
    root = annotated(tmp_path / "vggss", *IDS)
    prepare_listed(VGGSS(root, missing="skip"), videos, RULE)
    rows = report(root)
    assert statuses(root) == dict(zip(IDS, [FAULTY, FAULTY, MADE, FAULTY], strict=True))
    notes = ("is cut off", "has no sound", "s of sound in a file of 2.0 s", "not readable")
    for name, note in zip(IDS, notes, strict=True):
        assert note in rows[name]["note"]
    assert set(files(root)) == {"vggss.json", f"frames/{IDS[2]}.jpg", f"audio/{IDS[2]}.wav"}


def test_a_killed_preparation_goes_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = annotated(tmp_path / "vggss", *IDS[:3])
    make: Callable[..., Any] = prepare._make

    def killed(wanted: Any, rule: Any) -> Any:
        if wanted.name == IDS[2]:
            raise KeyboardInterrupt
        return make(wanted, rule)

    monkeypatch.setattr(prepare, "_make", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_listed(VGGSS(root), made, RULE, workers=1)
    monkeypatch.undo()
    half = root / "frames" / f"{IDS[2]}.jpg.123.partial"
    half.write_bytes(b"half")
    (root / "audio" / f"{IDS[1]}.wav").unlink()  # its frame was there first
    before = files(root)
    assert prepare_listed(VGGSS(root), made, RULE) == {MADE: 2, THERE: 1}
    after = files(root)
    assert {name for name in before if after.get(name) == before[name]} == {
        "vggss.json", f"frames/{IDS[0]}.jpg", f"audio/{IDS[0]}.wav",
    }  # fmt: skip
    assert "turned upright" in report(root)[IDS[0]]["note"]
    assert not half.exists()


def test_rules_are_not_mixed(made: Path, tmp_path: Path) -> None:
    root = annotated(tmp_path / "vggss", *IDS[:3])
    prepare_listed(VGGSS(root), made, RULE)
    first = report(root)
    other = rule_of(0.25, None, slot=MIDDLE_SLOT, suffix=".jpg")
    with pytest.raises(UsageError, match=r"another rule: frame was middle .*, is 0.25 \(3 ids\)"):
        prepare_listed(VGGSS(root), made, other)
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(made / f"{IDS[0]}.mp4", few)
    with pytest.raises(DataError, match="1 made, 2 another rule"):
        prepare_listed(VGGSS(root), few, other, force=True)
    assert (root / IDS_FILE).read_text().split() == IDS[:1]
    assert report(root)[IDS[0]]["frame"] == "2" != first[IDS[0]]["frame"]
    # what is left of the first rule is made when its videos are there, without force
    assert prepare_listed(VGGSS(root), made, other) == {MADE: 2, THERE: 1}
    assert OTHER not in statuses(root).values()
    # vssl 0.3.0 told what is of another rule by its ids, and reported the last list alone
    lines = (root / REPORT_FILE).read_text().splitlines(keepends=True)
    (root / REPORT_FILE).write_text("".join(lines[:2]))
    known = json.loads((root / RULE_FILE).read_text())
    (root / RULE_FILE).write_text(json.dumps({**known, "of_another_rule": IDS[2:3]}))
    with pytest.raises(DataError, match="2 already there, 1 another rule"):
        prepare_listed(VGGSS(root), few, other)
    assert prepare_listed(VGGSS(root), made, other) == {MADE: 1, THERE: 2}


def test_files_of_unknown_rule_stop(made: Path, tmp_path: Path) -> None:
    root = annotated(tmp_path / "vggss", *IDS[:3])
    (root / "frames").mkdir()
    (root / "frames" / f"{IDS[0]}.jpg").write_bytes(b"downloaded")
    with pytest.raises(UsageError, match=r"that vssl-prepare did not make \(1 ids\)"):
        prepare_listed(VGGSS(root), made, RULE)
    assert prepare_listed(VGGSS(root), made, RULE, force=True) == {MADE: 3}


def test_a_folder_of_videos_gets_a_table_to_fill_in(made: Path, tmp_path: Path) -> None:
    videos, root = tmp_path / "videos", tmp_path / "mine"
    for name in ("dog/1.mp4", "cat/1.mp4", "2.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / f"{IDS[0]}.mp4", videos / name)
    rule = rule_of("middle", None, slot=None, suffix=".jpg")
    assert prepare_folder(root, videos, rule) == {MADE: 3}
    table = root / "samples.csv"
    rows = csv_rows(table)
    assert list(rows[0]) == ["image", "audio", "x0", "y0", "x1", "y1", "category"]
    assert {(row["image"], row["audio"], row["category"], row["x0"]) for row in rows} == {
        ("frames/dog/1.jpg", "audio/dog/1.wav", "dog", ""),
        ("frames/cat/1.jpg", "audio/cat/1.wav", "cat", ""),
        ("frames/2.jpg", "audio/2.wav", "", ""),
    }
    assert all((root / row[kind]).is_file() for row in rows for kind in ("image", "audio"))
    table.write_text("image,audio,x0,y0,x1,y1,category\nmine\n")
    assert prepare_folder(root, videos, rule) == {THERE: 3}
    assert table.read_text().endswith("mine\n")


def test_a_table_of_videos_and_times(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "videos.csv").write_text(
        "Video ;time;x0;y0;x1;y1;category\n"
        f"{IDS[0]}.mp4;0,5;1;2;3;4;dog, small\n"
        f"{IDS[0]};1.5;1;2;3;4;dog, small\n"
        f"{IDS[2]};;1;2;3;4;cat\n"
    )
    rule = rule_of("middle", 0.5, slot=None, suffix=".png")
    assert prepare_folder(root, made, rule) == {MADE: 3}
    lines = (root / "samples.csv").read_text().splitlines()
    names = [f"{IDS[0]}_0.5", f"{IDS[0]}_1.5", IDS[2]]
    assert lines == ["image;audio;x0;y0;x1;y1;category"] + [
        f"frames/{name}.png;audio/{name}.wav;1;2;3;4;{category}"
        for name, category in zip(names, ("dog, small", "dog, small", "cat"), strict=True)
    ]
    rows = report(root)
    assert [rows[name]["frame"] for name in names[:2]] == ["5", "15"]
    assert {row["sound_seconds"] for row in rows.values()} == {"0.5000"}
    # again: the table that was written is not taken for the user's
    assert prepare_folder(root, made, rule) == {THERE: 3}
    assert not (root / "prepared_samples.csv").exists()


def test_a_png_is_lossless(shared: Path, tmp_path: Path) -> None:
    source, root = shared / "data" / "videos", tmp_path / "vggss"
    given = place_annotation(str(source / "vggss_annotations.json"), root)
    rule = rule_of("middle", None, slot=MIDDLE_SLOT, suffix=".png")
    prepare_listed(VGGSS(root, annotation=given, image_suffix=".png"), source / "videos", rule)
    for sample in VGGSS(root, image_suffix=".png").check().samples:
        wanted = source / "expected" / "frames" / f"{sample.sample_id}_125.png"
        pair = (np.asarray(Image.open(p).convert("RGB")) for p in (wanted, sample.image_path))
        np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.root=R"], "videos is not set"),
        (["data.root=R", "videos=nowhere"], "nowhere: no such folder. Set videos="),
        (["data.root=R", "videos=V", "frame=last"], "Expected `frame` to be middle, or seconds"),
        (["data=synthetic", "videos=V"], "data=synthetic: is not made from videos"),
        (["data=is3", "videos=V", "data.root=R"], "data=is3: is not made from videos"),
    ],
)
def test_mistakes_on_the_command_line_have_one_error(
    words: list[str], message: str, made: Path, tmp_path: Path
) -> None:
    annotated(tmp_path / "R", *IDS)
    given = [word.replace("videos=V", f"videos={made}") for word in words]
    done = command("vssl-prepare", *given, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} == {"R"}
    assert files(tmp_path / "R").keys() == {"vggss.json"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("/a.mp4,", "/a.mp4: expected a place below"),
        ("../a.mp4,", "../a.mp4: expected a place below"),
        ("a.mp4,-1", "a.mp4: the time '-1' is no number of seconds from 0"),
        (",1", "row 1 has no video"),
    ],
)
def test_faulty_rows_of_a_table_are_named(
    made: Path, tmp_path: Path, row: str, message: str
) -> None:
    (tmp_path / "videos.csv").write_text(f"video,time\n{row}\n")
    with pytest.raises(DataError, match=rf"videos\.csv: {message}"):
        prepare_folder(tmp_path, made, RULE)


def test_what_cannot_be_prepared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos"):
        VideoFolder(tmp_path)
    with pytest.raises(UsageError, match=r"written as \.jpg or \.png"):
        rule_of("middle", None, slot=None, suffix=".bmp")
    with pytest.raises(DataError, match=r"x\.json: no such file, neither"):
        place_annotation("x.json", tmp_path)
    for option, message in (
        ("sound=0", r"null \(all of the video's\)"),
        ("workers=0", "`workers`"),
    ):
        with pytest.raises(UsageError, match=message):
            check_options(composed(option, name="prepare"))


def test_pictures_and_sounds_of_different_videos(made: Path, tmp_path: Path) -> None:
    """As in Extended VGG-SS: only what is needed of a video is made."""

    class Crossed(VGGSS):
        def parse(self, entry: dict[str, Any]) -> Any:
            sample = super().parse(entry)
            heard = IDS[(IDS.index(sample.sample_id) + 1) % 2]
            return dataclasses.replace(sample, audio_path=self.audio_folder / f"{heard}.wav")

    videos = tmp_path / "videos"
    shutil.copytree(made, videos)
    make_video(videos / f"{IDS[2][:11]}_20000_30000.mp4", sound_codec=None)  # nobody hears it
    root = annotated(tmp_path / "crossed", *IDS[:3])
    assert prepare_listed(Crossed(root), videos, RULE) == {MADE: 3}
    assert set(files(root)) == {
        "vggss.json", *(f"frames/{name}.jpg" for name in IDS[:3]),
        *(f"audio/{name}.wav" for name in IDS[:2]),
    }  # fmt: skip
    assert (root / IDS_FILE).read_text().split() == IDS[:3]

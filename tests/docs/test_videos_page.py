"""docs/videos.md: its commands run on small videos, one after the other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.pages import ROOT, commands, done, shown
from tests.helpers.localizing import make_video
from tests.helpers.running import FAST
from vssl.data.video_names import clip_of

PAGE = (ROOT / "docs" / "videos.md").read_text(encoding="utf-8")
NAMES = ("3qesirWAGt4_000020", "nLKEdmVu3FY_000040", "aEYwqY-Zt_k_000011")
QUICK = (*FAST, "negatives=silence", "output_dir=run", "threshold=fixed")


def lines(data: str) -> list[str]:
    """The page's command that prepares a test set, and the one that evaluates it."""
    return [each for each in commands("videos.md") if f"data={data} " in each]


def boxes(names: tuple[str, ...]) -> str:
    return json.dumps(
        [{"file": each, "class": each[:3], "bbox": [[0.1, 0.1, 0.6, 0.9]]} for each in names]
    )


def test_videos_become_a_table_of_results(tmp_path: Path) -> None:
    (tmp_path / "clips" / "video").mkdir(parents=True)
    for name in NAMES[:2]:
        make_video(tmp_path / "clips" / "video" / f"{name}.mp4")
    (tmp_path / "vggss.json").write_text(boxes(NAMES))
    prepare, evaluate = lines("vggss")
    done(prepare, cwd=tmp_path)
    (files,) = shown("videos.md", "text")
    for line in files.text.splitlines():
        assert (tmp_path / line.split()[0].replace("<id>", NAMES[0])).is_file(), line
    assert (tmp_path / "vggss/prepared/ids.txt").read_text().split() == [*NAMES[:2]]
    table = done(evaluate, *QUICK, cwd=tmp_path).stdout
    assert set(pd.read_parquet(tmp_path / "run" / "records.parquet")["sample_id"]) == {*NAMES[:2]}
    assert "N = 2 samples (coverage 66.67 %" in " ".join(table.split())


@pytest.mark.parametrize("name", re.findall(r"`(3qesirWAGt4_\w+)\.mp4`", PAGE))
def test_the_names_are_of_one_clip(name: str) -> None:
    assert clip_of(name) == clip_of(NAMES[0])


def test_own_videos_become_a_table_of_results(tmp_path: Path) -> None:
    for name in ("dog/park", "cat"):
        path = tmp_path / "clips" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_video(path)
    prepare, evaluate = lines("folder")
    done(prepare, cwd=tmp_path)
    samples = tmp_path / "mine" / "samples.csv"
    table = pd.read_csv(samples)
    assert (",".join(table) + "`") in PAGE.replace("(`", "")
    assert list(table["category"].fillna("")) == ["", "dog"]
    table[["x0", "y0", "x1", "y1"]] = [10, 10, 60, 50]
    table.fillna("cat").to_csv(samples, index=False)
    table = done(evaluate, *QUICK, cwd=tmp_path).stdout
    assert "N = 2 samples (coverage 100 %" in " ".join(table.split())


def test_the_table_of_videos_is_read(tmp_path: Path) -> None:
    (videos,) = shown("videos.md", "csv")
    (tmp_path / "clips" / "dog").mkdir(parents=True)
    make_video(tmp_path / "clips" / "dog" / "park.mp4", ticks=[0, 20, 40, 100], sound_codec="flac")
    make_video(tmp_path / "clips" / "cat.mp4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "videos.csv").write_text(videos.text)
    done("vssl-prepare data=folder videos=clips data.root=mine", cwd=tmp_path)
    images = pd.read_csv(tmp_path / "mine" / "samples.csv")["image"]
    assert [*images] == ["frames/dog/park_3.5.jpg", "frames/dog/park_9.jpg", "frames/cat.jpg"]

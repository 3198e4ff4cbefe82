"""Extended VGG-SS and Extended Flickr: positives and pairs in which nothing visible sounds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from vssl.data.base import DataError
from vssl.data.check import csv_rows
from vssl.data.extended import ExtendedFlickr, ExtendedVGGSS

PACK = Path("data", "extended")
PAIRS = (
    "video,audio,label\nclip0_000010,clip1_000010,non-sounding\n"
    "clip1_000010,clip4_000010,non-sounding\nother_000010,other_000010,non-sounding\n"
)


Counts = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def expected(shared: Path) -> Counts:
    counts: Counts = json.loads((shared / PACK / "expected_counts.json").read_text())
    return counts


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an annotation file of the ids of the pairs, with invented boxes, no media."""
    rows = csv_rows(shared / PACK / "vggss_extended_classes.csv")
    classes = {row["video"]: row["video_class"] for row in rows}
    classes |= {row["audio"]: row["audio_class"] for row in rows}
    entries = [
        {"file": name, "class": category, "bbox": [[0, 0, 1, 1]]}
        for name, category in classes.items()
        if category  # others are not in VGG-SS
    ]
    root = tmp_path_factory.mktemp("vggss")
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


class TestPublished:
    def test_vggss(self, shared: Path, published: Path, expected: Counts) -> None:
        pairs = str(shared / PACK / "vggss_test_plus_silent.csv")
        samples = ExtendedVGGSS(published, pairs=pairs).listed()
        counts, known = Counter(flag for s in samples for flag in s.flags), expected["vggss"]
        assert counts["extended", "own_sound"] == known["self_rows"]
        assert counts["extended", "mismatched"] == known["mismatched"]
        assert counts["same_class", "yes"] == known["same_class"]
        negatives = [sample for sample in samples if sample.is_natural_negative]
        assert len(negatives) == known["rows"]
        assert len({sample.audio_path for sample in negatives}) == known["distinct_audios"]
        assert len({sample.image_group for sample in negatives}) == known["distinct_videos"]
        table = csv_rows(shared / PACK / "vggss_extended_classes.csv")
        rows = {f"{row['video']}+{row['audio']}": row for row in table}
        yes_no = {"": None, "0": "no", "1": "yes"}
        for sample in negatives:
            row = rows[sample.sample_id]
            assert sample.category == row["audio_class"]
            assert dict(sample.flags).get("same_class") == yes_no[row["same_class"]]
        assert {sample.image_sources for sample in samples} == {1}

        without = ExtendedVGGSS(published, pairs=pairs, same_class="skip")
        left = [sample for sample in negatives if not without.excluded(sample)]
        assert len(left) == known["negatives_without_same_class"]

    def test_flickr(self, shared: Path, expected: Counts, tmp_path: Path) -> None:
        pairs = shared / PACK / "flickr_test_plus_silent.csv"
        ids = [row["video"] for row in csv_rows(pairs)]
        (tmp_path / "flickr_test.csv").write_text("".join(f"{name},1\n" for name in ids))
        (tmp_path / "Annotations").mkdir()
        for name in ids:
            (tmp_path / "Annotations" / f"{name}.xml").write_text("<annotation/>")
        samples = ExtendedFlickr(tmp_path, pairs=str(pairs)).listed()
        counts, known = Counter(flag for s in samples for flag in s.flags), expected["flickr"]
        assert counts == {
            ("extended", "positive"): known["flickr_test_ids"],
            ("extended", "mismatched"): known["rows"] - known["self_rows"],
        }
        negatives = [sample for sample in samples if sample.is_natural_negative]
        sounds = {sample.audio_path for sample in negatives}
        assert len({s.image_path for s in negatives}) == known["distinct_videos"]
        assert len(sounds) == known["distinct_audios"]
        assert sounds <= {sample.audio_path for sample in samples[: known["flickr_test_ids"]]}


class TestDrawn:
    @pytest.fixture
    def folder(self, vggss_folder: Path) -> Path:
        (vggss_folder / "metadata").mkdir()
        (vggss_folder / "metadata" / "vggss_test_plus_silent.csv").write_text(PAIRS)
        return vggss_folder

    def test_outside_clips_are_missing(self, folder: Path) -> None:
        with pytest.raises(DataError, match="1 missing images; 1 missing audio") as error:
            ExtendedVGGSS(folder).check()
        assert "other_000010" in str(error.value)
        assert "data.missing=skip to evaluate the 8 samples" in str(error.value)
        data = ExtendedVGGSS(folder, missing="skip").check()
        assert (len(data.samples), data.listed) == (8, 9)
        pair = data.samples[6]
        assert pair.sample_id == "clip0_000010+clip1_000010"
        assert (pair.image_path, pair.audio_path) == (
            data.samples[0].image_path,
            data.samples[1].audio_path,
        )
        assert pair.is_natural_negative
        assert (pair.category, pair.image_categories) == ("bell", ("dog", "bell"))
        assert pair.image_group == data.samples[0].image_group
        assert pair.audio_length == data.samples[1].audio_length

    def test_pairs_of_one_class_are_left_out_and_listed(self, folder: Path) -> None:
        data = ExtendedVGGSS(folder, missing="skip", same_class="skip").check()
        assert [s.sample_id for s in data.samples[6:]] == ["clip0_000010+clip1_000010"]
        (pair,) = [p for p in data.problems if "class of the picture" in p.kind]
        assert pair.sample_id == "clip1_000010+clip4_000010"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "holds no list of pairs .*stoneMo/SLAVC.*data.pairs"),
            ("video,sound\na,b\n", "expected rows below the columns video, audio, label"),
            ("video,audio,label\n", "expected rows below"),
            ("video,audio,label\na,b,sounding\n", "the label of a with b is 'sounding'"),
            ("video,audio,label\na,b\n", "`label` is None"),
        ],
    )
    def test_lists_that_are_none(self, folder: Path, text: str | None, words: str) -> None:
        path = folder / "metadata" / "vggss_test_plus_silent.csv"
        path.unlink()
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError, match=words):
            ExtendedVGGSS(folder).check()

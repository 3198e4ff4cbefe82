"""VGG-SS with the flags of VGGSounder: subsets, and natural negatives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.running import run_settings
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.data import vggss
from vssl.data.check import csv_rows
from vssl.data.vggsounder import VGGSounder, read_vggsounder
from vssl.data.vggss import VGGSS

FLAGS = Path("data", "vggss_flags")
HEADER = "video_id,label,modality,background_music,static_image,voice_over\n"
ROWS = (
    "clip0_000010,dog,AV,False,False,False",
    "clip1_000010,bell,A,False,False,False",
    "clip1_000010,dog,V,False,False,False",
    "clip2_000010,train,AV,True,False,False",
    "clip3_000010,dog,AV,False,False,False",
    "clip3_000010,bell,A,False,False,False",
    "clip4_000010,dog,AV,False,True,True",
)


@pytest.fixture
def flags_file(tmp_path: Path) -> Path:
    path = tmp_path / "vggsounder+background-music.csv"
    path.write_text(HEADER + "\n".join(ROWS) + "\n")
    return path


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an annotation file of the flags' ids, with invented boxes and no media."""
    entries = [
        {"file": row["file"], "class": row["class"], "bbox": [[0, 0, 1, 1]]}
        for row in csv_rows(shared / FLAGS / "vggss_flags.csv")
    ]
    root = tmp_path_factory.mktemp("vggss")
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


@pytest.fixture(scope="module")
def table(shared: Path) -> VGGSounder:
    return read_vggsounder(shared / FLAGS / "vggsounder_labels.csv")


class TestPublished:
    @pytest.fixture(autouse=True)
    def _read_once(self, table: VGGSounder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vggss, "read_vggsounder", lambda _: table)

    def test_every_flag_of_every_sample(self, shared: Path, published: Path) -> None:
        found = {s.sample_id: dict(s.flags) for s in VGGSS(published, flags="").listed()}
        truth = {"": None, "0": "no", "1": "yes"}
        rows = csv_rows(shared / FLAGS / "vggss_flags.csv")
        assert found.keys() == {row["file"] for row in rows}
        for row in rows:
            flags = found[row["file"]]
            assert flags["own_class"] == row["own_class_modality"]
            for name in ("background_music", "voice_over", "static_image"):
                assert flags.get(name) == truth[row[name]]
            if row["audible_labels"]:
                number = min(2, int(row["audible_labels"]))
                assert flags["audible_labels"] == ("none", "one", "several")[number]
                some = int(row["audible_only_labels"]) > 0
                assert flags["audible_only_labels"] == ("some" if some else "none")

    @pytest.mark.parametrize(
        ("subset", "count", "negatives"),
        [
            ("all", "ids", None),
            ("clean", "clean", None),
            ("clean_one_label", "clean_one_audible", None),
            ("not_visible", "own_A_not_visible", "own_A_not_visible"),
        ],
    )
    def test_subsets(
        self, shared: Path, published: Path, subset: str, count: str, negatives: str | None
    ) -> None:
        expected = json.loads((shared / FLAGS / "expected_counts.json").read_text())["this_part"]
        samples = VGGSS(published, flags="", subset=subset).listed()  # type: ignore[arg-type]
        assert len(samples) == expected[count]
        natural = [sample for sample in samples if sample.is_natural_negative]
        assert len(natural) == (expected[negatives] if negatives else 0)
        assert all(sample.boxes == () for sample in natural)
        if subset == "clean":
            both = VGGSS(published, flags="", subset="clean", not_visible="negative").listed()
            assert len(both) == expected["clean"] + expected["own_A_not_visible"]


class TestDrawn:
    def test_a_subset_is_whole_and_the_rest_is_listed(
        self, vggss_folder: Path, flags_file: Path
    ) -> None:
        data = VGGSS(vggss_folder, flags=flags_file, subset="clean").check()
        assert [s.sample_id for s in data.samples] == ["clip0_000010", "clip3_000010"]
        assert (data.listed, data.coverage) == (2, 1)
        assert Counter(p.kind for p in data.problems) == {"samples outside of the subset clean": 4}

    def test_not_visible_samples_become_natural_negatives(
        self, vggss_folder: Path, flags_file: Path
    ) -> None:
        plain = VGGSS(vggss_folder, flags=flags_file).check().samples
        changed = VGGSS(vggss_folder, flags=flags_file, not_visible="negative").check().samples
        assert [s.sample_id for s in changed if s.is_natural_negative] == ["clip1_000010"]
        assert changed[1].boxes == changed[1].box_weights == ()
        assert not any(sample.is_natural_negative for sample in plain)
        assert plain[:1] + plain[2:] == changed[:1] + changed[2:]
        assert dict(plain[5].flags) == {"own_class": "not_in_vggsounder"}
        assert dict(plain[4].flags)["own_class"] == "absent"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("video_id,label,modality\nclip0_000010,dog,AV\n", "lacks the columns background_mu"),
            (HEADER + "clip0_000010,dog,AV,1,False,False\n", "background_music to be True or Fa"),
            (
                HEADER + "clip0_000010,dog,AV,False,False\n",
                "voice_over to be True or Fa",
            ),
            (HEADER + ROWS[0] + "\nclip0_000010,cat,V,True,False,False\n", "differ between rows"),
            (HEADER + "other_000010,dog,AV,False,False,False\n", "knows none of the 6 samples"),
        ],
    )
    def test_files_that_are_none(
        self, vggss_folder: Path, flags_file: Path, text: str, words: str
    ) -> None:
        flags_file.write_text(text)
        with pytest.raises(UsageError, match=words) as error:
            VGGSS(vggss_folder, flags=flags_file).check()
        assert "data.flags" in str(error.value)
        assert str(flags_file) in str(error.value)

    @pytest.mark.parametrize("option", ["subset=clean", "not_visible=negative"])
    def test_a_subset_needs_flags(self, vggss_folder: Path, option: str) -> None:
        key, value = option.split("=")
        with pytest.raises(UsageError, match=rf"data\.{option} needs data\.flags=FILE"):
            VGGSS(vggss_folder, **{key: value})  # type: ignore[arg-type]

    def test_names_and_identity_say_the_part(self, vggss_folder: Path, flags_file: Path) -> None:
        options = ("data=vggss", f"data.root={vggss_folder}")
        whole = run_settings(*options)
        assert not {"flags", "subset", "not_visible"} & whole.identity["data"].keys()
        assert "data.flags" not in whole.identity["files_sha256"]
        flagged = run_settings(*options, f"data.flags={flags_file}", "data.subset=clean")
        assert flagged.names["data"] == "vggss (clean)"
        assert flagged.data.part["flags"]["sha256"] == file_sha256(flags_file)
        assert flagged.data.noise_use == whole.data.noise_use
        first = flagged.identity_hash
        flags_file.write_text(flags_file.read_text() + "clip5_000010,train,AV,False,False,False\n")
        changed = run_settings(*options, f"data.flags={flags_file}", "data.subset=clean")
        assert changed.identity_hash != first

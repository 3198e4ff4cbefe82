"""Folders of one's own: every format to the expected ground truth, and every fault to its line."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.path import Path as Outline
from PIL import Image

from tests.helpers.drawn import write_tone
from vssl.core.hashing import text_file_hash
from vssl.data import check
from vssl.data.base import CheckedData, DataError
from vssl.data.coco import decode_counts, draw_outline
from vssl.data.folder import Folder
from vssl.maps import consensus_map
from vssl.types import Sample

HEADER = "image,audio,x0,y0,x1,y1,category"


def truth(sample: Sample) -> np.ndarray:
    weights = sample.box_weights, sample.masks, sample.mask_weights
    return consensus_map(sample.boxes, *weights).numpy()


def make(root: Path, *names: str, size: tuple[int, int] = (64, 48)) -> Path:
    """Pictures `<name>.jpg` and sounds `<name>.wav`."""
    for number, name in enumerate(names or ("a", "b", "c")):
        image, audio = root / "images" / f"{name}.jpg", root / "sounds" / f"{name}.wav"
        image.parent.mkdir(parents=True, exist_ok=True)
        audio.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 40, 80)).save(image)
        write_tone(audio, hertz=300 + 50 * len(list(audio.parent.iterdir())), seconds=0.1)
    return root


def table(root: Path, *rows: str, header: str = HEADER) -> Folder:
    (root / "samples.csv").write_text("\n".join([header, *rows]) + "\n")
    return Folder(root)


def by_id(data: CheckedData) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in data.samples}


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("coco_box", {"annotation": "annotations.json", "truth": "boxes"}),
        ("mask_nearest", {"annotation": "annotations.json"}),
        ("mask_nearest", {"annotation": "pairs.csv"}),
        ("mask_nearest", {"annotation": "samples.csv", "truth": "masks"}),
        ("csv_votes", {"annotation": "samples.csv", "annotators": "votes"}),
        ("csv_union", {"annotation": "samples.csv"}),
    ],
)
def test_the_pack_is_met_exactly(shared: Path, rule: str, options: dict[str, Any]) -> None:
    root = shared / "data" / "coco"
    samples = by_id(Folder(root, **options).check())
    facts = pd.read_csv(root / "expected" / "per_sample.csv").set_index("id")
    assert list(samples) == list(facts.index)
    with np.load(root / "expected" / f"{rule}.npz") as expected:
        for name in expected.files:
            sample = samples[name.replace("__", "/")]
            np.testing.assert_array_equal(truth(sample), expected[name].astype(np.float32))
            assert sample.is_natural_negative == (not expected[name].any())
    columns = {"coco_box": "pixels_box", "mask_nearest": "pixels_nearest"}
    column = columns.get(rule, {"csv_union": "pixels_csv_union"}.get(rule, "sum_csv_votes"))
    found = {name: float(truth(sample).sum()) for name, sample in samples.items()}
    assert found == facts[column].astype(float).to_dict()
    lengths = {name: sample.audio_length for name, sample in samples.items()}
    assert lengths == (facts["seconds"] * 16_000).astype(int).to_dict()


def counts_as_text(counts: list[int]) -> str:
    """As `rleToString` of pycocotools, with its shifts."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr((group | 32 * more) + 48)
    return text


@pytest.mark.parametrize("size", [(64, 48), (300, 500), (224, 224)])
def test_run_lengths_are_the_mask(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    low = rng.integers(0, 2, (9, 7)).astype(np.uint8)
    mask = np.asarray(Image.fromarray(low).resize(size, Image.Resampling.NEAREST)).astype(bool)
    flat = mask.T.ravel()
    places = np.flatnonzero(np.diff(flat.astype(int), prepend=0)).tolist()
    counts = np.diff([0, *places, len(flat)]).tolist()
    assert decode_counts(counts_as_text(counts)) == counts
    expected = np.asarray(Image.fromarray(mask).resize((224, 224), Image.Resampling.NEAREST))
    for form in (counts, counts_as_text(counts)):
        outline = {"size": [size[1], size[0]], "counts": form}
        np.testing.assert_array_equal(draw_outline(outline, size), expected)


@pytest.mark.parametrize("size", [(64, 48), (500, 333)])
def test_a_pixel_lies_in_a_polygon_when_its_centre_does(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    angles = np.sort(rng.uniform(0, 2 * np.pi, (2, 9)))
    radii = rng.uniform(0.1, 0.6, (2, 9))
    stars = np.stack([0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)], axis=2) * size
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
    inside = [Outline([*star, star[0]]).contains_points(centres) for star in stars]
    mask = Image.fromarray(np.any(inside, axis=0).reshape(size[::-1]))
    expected = np.asarray(mask.resize((224, 224), Image.Resampling.NEAREST))
    drawn = draw_outline([star.ravel().tolist() for star in stars], size)
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,audio,x0,y0,x1,y1,category", "a.jpg,a.wav,8,12.5,32,36,dog"),
        ("image;audio;x0;y0;x1;y1;category", "a.jpg;a.wav;8;12,5;32;36;dog"),
        ("Image\tAudio\txmin\tymin\txmax\tymax\tClass", "a.jpg\ta.wav\t8\t12.5\t32\t36\tdog"),
        ("category,x,y,w,h,img", "dog,8,12.5,24,23.5,a.jpg"),
        ("filename,label,note,x1,y1,x2,y2", 'a,dog,"seen, heard",8,12.5,32,36'),
        ("file_name,sound,left,top,right,bottom,class", r".\images\a.jpg,a.wav,8,12.5,32,36,dog"),
    ],
    ids=["plain", "semicolons", "tabs", "sizes", "no suffix", "backslashes"],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_of_any_hand(tmp_path: Path, header: str, row: str, encoding: str) -> None:
    make(tmp_path, "a")
    (tmp_path / "list.csv").write_text(f"{header}\r\n{row}\r\n\r\n", encoding=encoding)
    (sample,) = Folder(tmp_path).check().samples
    assert sample.boxes == ((28, 58, 112, 168),)
    assert (sample.sample_id, sample.category, sample.audio_path.name) == ("a", "dog", "a.wav")
    text = f"\ufeff{header}\n{row}\n\n".encode()
    content = (tmp_path / "list.csv").read_bytes() if encoding == "utf-16" else text
    assert text_file_hash(tmp_path / "list.csv") == hashlib.sha256(content).hexdigest()


def test_fractions(tmp_path: Path) -> None:
    table(make(tmp_path), "a.jpg,a.wav,0.125,0.25,1.002,0.75,dog")
    (sample,) = Folder(tmp_path, boxes="fractions").check().samples
    assert sample.boxes == ((28, 56, 224, 168),)
    with pytest.raises(DataError, match=r"all 1 boxes lie between 0 and 1.*data.boxes=fractions"):
        Folder(tmp_path).check()
    table(tmp_path, "a.jpg,a.wav,8,12,32,36,dog")
    with pytest.raises(DataError, match=r"in pixels rather than fractions\? Then set data.boxes=p"):
        Folder(tmp_path, boxes="fractions").check()


def test_boxes_beyond_their_picture_are_noted(tmp_path: Path) -> None:
    rows = ["a.jpg,40,8,30,30,dog", "b.jpg,2,2,40,40,cat", "c.jpg,3,8,40,50,dog"]
    table(make(tmp_path), *rows, header="image,x,y,w,h,category")
    notes = [note.detail for note in Folder(tmp_path).check().notes if "beyond" in note.kind]
    assert notes == [
        "a: [40, 8, 70, 38] (samples.csv, line 2), and the picture is 64 x 48",
        "c: [3, 8, 43, 58] (samples.csv, line 4), and the picture is 64 x 48; is it turned by its"
        " orientation tag?",
    ]
    table(tmp_path, "a.jpg,20,8,60,40,dog", *rows[1:2], header="image,x,y,w,h,category")
    with pytest.raises(DataError, match=r"1 of 2 boxes reach.*Then name the columns x0, y0, x1"):
        Folder(tmp_path).check()


def test_votes(tmp_path: Path) -> None:
    rows = ("a.jpg,a.wav,0,0,32,24,dog,1", "a.jpg,a.wav,16,0,48,24,dog,2")
    rows += ("b.jpg,b.wav,0,0,32,24,dog,1", "b.jpg,b.wav,16,0,48,24,cat,1")
    rows += ("c.jpg,c.wav,0,0,32,24,dog,1", "c.jpg,c.wav,,,,,,2")
    reader = table(make(tmp_path), *rows, header=f"{HEADER},annotator")
    graded = [np.unique(truth(sample)).tolist() for sample in reader.check().samples]
    assert graded == [[0, 0.5, 1], [0, 1], [0, 0.5]], "two, one with two objects, one of two"
    union = Folder(tmp_path, annotators="union").check().samples
    assert [np.unique(truth(sample)).tolist() for sample in union] == [[0, 1]] * 3


def test_names_groups_and_categories(tmp_path: Path) -> None:
    make(tmp_path, "a", "sub/a", "b", "c")
    Image.new("RGB", (64, 48), (9, 9, 99)).save(tmp_path / "images" / "b.png")
    box = "8,8,40,40"
    reader = table(
        tmp_path,
        f'a.jpg,a.wav,{box},"baby, infant",',
        f"a.jpg,a.wav,{box},dog,",
        f"sub/a.jpg,a.wav,{box},dog,",
        f"b.jpg,b.wav,{box},cat,pair",
        f"b.png,c.wav,{box},bell,pair",
        f"c.jpg,b.wav,{box},dog,",
        f"c.jpg,c.wav,{box},cat,",
        "c.jpg,sub/a.wav,,,,,,",
        header=f"{HEADER},group",
    )
    samples = by_id(reader.check())
    assert list(samples) == ["a", "sub/a", "b.jpg", "b.png", "c+b", "c+c", "c+a"]
    assert samples["a"].category == "baby, infant + dog"
    both = {"baby, infant", "dog", "baby, infant + dog", ""}
    assert set(samples["a"].image_categories) == both
    assert set(samples["sub/a"].image_categories) == {"dog", "baby, infant + dog", ""}
    assert set(samples["b.jpg"].image_categories) == {"cat", "bell", ""}
    assert [samples[name].image_sources for name in ("a", "b.jpg", "c+b", "c+a")] == [1, 2, 2, 2]
    assert [name for name, s in samples.items() if s.is_natural_negative] == ["c+a"]


def test_files_whatever_their_names(tmp_path: Path) -> None:
    names = ("Caf\u00e9 1", "upper", "no audio")
    make(tmp_path, unicodedata.normalize("NFD", names[0]), *names[1:])
    (tmp_path / "images" / "upper.jpg").rename(tmp_path / "images" / "upper.JPG")
    (tmp_path / "sounds" / "no audio.wav").rename(tmp_path / "sounds" / "no audio.WAV")
    rows = [f"{names[0]}.jpg,{names[0]}.wav", "upper.Jpg,sounds\\upper.wav", "no audio,"]
    reader = table(tmp_path, *(f"{row},8,8,40,40,dog" for row in rows))
    data = reader.check()
    assert [unicodedata.normalize("NFC", s.sample_id) for s in data.samples] == list(names)
    make(tmp_path / "more", "x")
    write_tone(tmp_path / "more" / "sounds" / "x.flac", hertz=99)
    with pytest.raises(DataError, match=r"has no `audio`, and may mean any of x.flac, x.wav"):
        table(tmp_path / "more", "x.jpg,,1,1,40,40,dog").check()


FAULTS: list[tuple[tuple[str, ...], str]] = [
    (("a.jpg,a.wav,8,abc,40,40,dog",), "samples.csv, line 2: y0 is `abc`, not a number"),
    (("a.jpg,a.wav,8,,40,40,dog",), "samples.csv, line 2: y0 is empty"),
    (("a.jpg,a.wav,8,nan,40,40,dog",), "y0 is `nan`, not a number"),
    (("a.jpg,a.wav,8,8,40,40,a dog, a cat",), "line 2: has 8 cells, and the header 7"),
    (("a.jpg,a.wav",), "samples.csv, line 2: has 2 cells, and the header 7"),
    ((",a.wav,8,8,40,40,dog",), "line 2: names no image"),
    (("a.jpg,a.wav,40,8,8,40,dog",), "[40, 8, 8, 40] (samples.csv, line 2) has its second corner"),
    (("a.jpg,a.wav,640,8,700,40,dog",), "a: the box [640, 8, 700, 40] (samples.csv, line 2) reach"),
    (("a.jpg,A.wav,8,8,40,40,dog",), "sounds/A.wav: no such file; there is a.wav"),
    (("img/a.jpg,a.wav,8,8,40,40,dog",), "no such file; there is no folder"),
    (("images/x.jpg,a.wav,8,8,40,40,dog",), "0/images/x.jpg: no such file"),
    (("a.jpg,x/a.wav,8,8,40,40,dog",), "x/a.wav: no such file"),
    (("a.jpg,a.wav,8,8,x,40,dog", "a.jpg,a.wav,8,8,y,40,dog"), "line 2: x1 is `x`, not a number; "),
    (("a.jpg,a.wav,8,8,8.2,8.2,dog",), "covers 0 pixels of 224 x 224, less than 16"),
]


@pytest.mark.parametrize(("rows", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_fault_has_its_place(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    reader = table(make(tmp_path), *rows, "b.jpg,b.wav,8,8,40,40,cat", "c.jpg,c.wav,,,,,")
    with pytest.raises(DataError, match=re.escape(message)):
        reader.check()
    left = Folder(tmp_path, missing="skip").check()
    assert [sample.sample_id for sample in left.samples] == ["b", "c"]
    assert len(left.problems) == 1


def coco(**changes: Any) -> Callable[[Path], None]:
    """A COCO file of one object; `annotation` and `image` change fields."""

    def write(root: Path) -> None:
        image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
        annotation = {"id": 5, "image_id": 1, "category_id": 3, "bbox": [8, 8, 30, 30]}
        content = {
            "images": [image | changes.get("image", {})],
            "annotations": [annotation | changes.get("annotation", {})],
            "categories": [{"id": 3, "name": "dog"}],
        }
        (root / "coco.json").write_text(json.dumps(content))

    return write


def csv(text: str) -> Callable[[Path], None]:
    return lambda root: (root / "list.csv").write_text(text) and None


def outline(value: object) -> Callable[[Path], None]:
    return coco(annotation={"segmentation": value})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: None, "holds no annotation file, neither a .csv nor a COCO .json"),
        (csv(""), "has no column `image`. Its columns are none; wanted are image, audio"),
        (csv("photo,x0\n1,2\n"), "has no column `image`. Its columns are photo, x0; wanted"),
        (csv("image,img\n1,2\n"), "image and img may both be the column `image`"),
        (csv("image,x0,y0\na.jpg,1,2\n"), "has a part of a box alone, x0, y0"),
        (csv("image\n"), "lists no samples"),
        (csv("image\na.jpg\n"), "has no columns of boxes (x0, y0, x1, y1) or of masks (mask)"),
        (lambda root: (root / "x.json").write_text("[{}]"), "expected a COCO file, an object with"),
        (lambda root: (root / "x.json").write_text("{"), "x.json: not readable as JSON"),
        (coco(annotation={"image_id": 9}), "annotation 5: its image_id is 9, which no image has"),
        (coco(annotation={"category_id": 9}), "annotation 5: its category_id is 9, which no cat"),
        (coco(annotation={"bbox": [1, 2, 3]}), "annotation 5: its bbox is [1, 2, 3], not [x, y"),
        (coco(annotation={"bbox": [9, 9, -3, 3]}), "has a negative width or height"),
        (coco(annotation={"bbox": [30, 20, 60, 40]}), "1 of 1 boxes reach beyond their picture as"),
        (coco(annotation={"bbox": [0.1, 0.1, 0.5, 0.5]}), "Multiply them by width and height"),
        (coco(image={"file_name": 7}), "image 1: `file_name` is 7, not a file's name"),
        (coco(image={"audio": ["a.wav"]}), "image 1: `audio` is ['a.wav'], not a file's name"),
        (coco(image={"width": -1}), "image 1: is -1 x 48 pixels large"),
        (outline([[1, 2, 3]]), "annotation 5: its polygon is not [x, y, x, y"),
        (outline({"size": [9, 9], "counts": [81]}), "its run lengths are of size [9, 9]"),
        (outline({"size": [48, 64], "counts": [81]}), "do not add up to the picture"),
        (outline({"size": [48, 64], "counts": "\u00ff"}), "its run lengths (`counts`) hold"),
        (outline([[8.1, 8.1, 8.2, 8.1, 8.2, 8.2]]), "covers 0 pixels of 224 x 224"),
    ],
)
def test_unusable_annotations(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    write(make(tmp_path))
    with pytest.raises(DataError, match=re.escape(message)):
        Folder(tmp_path).check()


def test_which_file_is_the_annotation(tmp_path: Path) -> None:
    table(make(tmp_path), "a.jpg,a.wav,8,8,40,40,dog")
    coco()(tmp_path)
    with pytest.raises(DataError, match=r"more than one file.*: coco.json, samples.csv. Name one"):
        Folder(tmp_path).check()
    for changes in (
        {},
        {"image": {"id": "1", "sound": "b.wav"}, "annotation": {"category_id": "3"}},
    ):
        coco(**changes)(tmp_path)
        (sample,) = Folder(tmp_path, annotation="coco.json").check().samples
        assert (sample.boxes, sample.category) == (((28, 37, 133, 177),), "dog")
        assert sample.audio_path.name == ("b.wav" if changes else "a.wav")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "coco.json").rename(tmp_path / "annotations" / "coco.json")
    (tmp_path / "samples.csv").unlink()
    data = Folder(tmp_path).check()
    assert data.annotation == tmp_path / "annotations" / "coco.json"
    kinds = {note.kind for note in data.notes}
    assert kinds == {"images without annotation", "audio files without annotation"}
    with pytest.raises(DataError, match=r"none.csv: no such file \(data.annotation\)"):
        Folder(tmp_path, annotation="none.csv").check()
    (tmp_path / "boxes.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"boxes.xlsx: expected a .csv, .tsv or .json file"):
        Folder(tmp_path, annotation="boxes.xlsx").check()


def test_masks_by_column_and_by_name(tmp_path: Path) -> None:
    (make(tmp_path) / "masks").mkdir()
    for name, box in {"a": (0, 0, 32, 24), "b": (32, 0, 64, 24), "c": (0, 0, 0, 0)}.items():
        mask = Image.new("L", (64, 48))
        mask.paste(1, box)
        mask.save(tmp_path / "masks" / f"{name}.png")
    Image.open(tmp_path / "masks" / "b.png").rotate(90, expand=True).save(tmp_path / "turned.png")
    table(tmp_path, "b.jpg,../turned.png", header="image,mask")
    (note,) = (n for n in Folder(tmp_path).check().notes if "shape" in n.kind)
    assert note.detail.endswith(
        "is 48 x 64, and b.jpg is 64 x 48; is it turned by its orientation tag?"
    )
    table(tmp_path, "a.jpg,dog", "b.jpg,cat", "c.jpg,", header="image,category")
    reader = Folder(tmp_path)
    shares = [truth(sample).mean() for sample in reader.check().samples]
    assert shares == [0.25, 0.25, 0]
    assert len(reader.truth_files) == 3
    table(tmp_path, "a.jpg,a.png", "a.jpg,b.png", "b.jpg,", header="image,mask")
    first, second = Folder(tmp_path).check().samples
    assert (truth(first).mean(), second.is_natural_negative) == (0.5, True)
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"samples.csv, line 3: .*masks/b.png: no such file"):
        Folder(tmp_path).check()


def test_a_file_of_many_samples_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"a.jpg,{name}.wav,{x},8,40,40,dog" for x, name in enumerate("abc")]
    reader = table(make(tmp_path), *rows, "b.jpg,a.wav,8,8,40,40,cat")
    read: list[Path] = []
    for name in ("check_image", "inspect_audio"):
        own = getattr(check, name)
        monkeypatch.setattr(check, name, lambda path, own=own: read.append(path) or own(path))
    assert len(reader.check().samples) == 4
    assert sorted(path.name for path in read) == ["a.jpg", "a.wav", "b.jpg", "b.wav", "c.wav"]

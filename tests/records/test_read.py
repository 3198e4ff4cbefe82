"""Names as codes, and what a chunk of records is made of, against plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.records import BOXES, make_sample, write_made
from vssl.negatives.gain import Gain
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import negative_maxima
from vssl.records.read import Chunk, other_objects
from vssl.records.sounds import shared_sounds
from vssl.records.store import Labels, read_provenance
from vssl.records.truth import GroundTruth

names = st.lists(st.none() | st.sampled_from(["", "a", "B", "b", "é", "draw 10", "draw 9"]))


@given(chunks=st.lists(names), coded=st.booleans())
def test_labels_are_the_codes_of_unique(chunks: list[list[str | None]], coded: bool) -> None:
    """Sorted distinct names, whatever the pieces of the column and their dictionaries."""
    pieces = [pa.array(chunk, pa.string()) for chunk in chunks]
    pieces = [piece.dictionary_encode() for piece in pieces] if coded else pieces
    kind = pa.dictionary(pa.int32(), pa.string()) if coded else pa.string()
    labels = Labels.of(pa.chunked_array(pieces, kind))
    plain = np.array([name or "" for chunk in chunks for name in chunk], dtype=str)
    different, codes = np.unique(plain, return_inverse=True)
    assert labels.names.tolist() == different.tolist()
    assert labels.codes.tolist() == codes.tolist()
    assert labels[:].tolist() == plain.tolist()
    rows = {name: [n for n, own in enumerate(plain) if own == name] for name in plain.tolist()}
    assert {name: found.tolist() for name, found in labels.rows().items()} == rows
    assert list(labels.rows()) == list(rows)


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 11), st.integers(0, 3)), min_size=1)
)
def test_sounds_are_shared_where_one_is_heard_with_several_images(
    rows: list[tuple[str, int, int]],
) -> None:
    """Clips of a condition by name, and the noise of a draw, which is one for all images."""
    condition = ["noise" if kind == "x" else "offscreen" for kind, _, _ in rows]
    numbers = np.array([number for _, number, _ in rows], np.int16)
    columns = (condition, [f"clip{n}" for n in numbers], [f"image{n}" for _, _, n in rows])
    labels = [Labels.of(pa.chunked_array([pa.array(column)])) for column in columns]
    found = shared_sounds({}, labels[0], numbers, *labels[1:])
    for name, stem in (("noise", "draw "), ("offscreen", "clip")):
        heard = [(f"{stem}{n}", i) for own, (_, n, i) in zip(condition, rows, strict=True)
                 if own == name]  # fmt: skip
        sounds = [sound for sound, _ in heard]
        assert (name in found) == (len(set(heard)) > len(set(sounds)) > 1)
        if name in found:
            assert found[name][:].tolist() == sounds


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one to three samples, two of which have one object."""
    boxes = [BOXES[n] for n in (0, 1, 2, 2, 3, 0, 0)]
    samples = [
        make_sample(f"s{n}", f"picture{n // 3}", (box,), category=f"class{n % 2}")
        for n, box in enumerate(boxes)
    ]
    negatives = [Gain(), Silence(), Noise(draws=2), Offscreen(draws=2)]
    sounding = {"positive": "own", "gain": "own"}
    return write_made(
        tmp_path_factory.mktemp("run"), samples, negatives=negatives, sounding_objects=sounding,
        holes=[("noise", 2, 1)],
    ).folder  # fmt: skip


def test_maxima_are_those_of_the_rows_of_negatives(run: Path) -> None:
    """In the order of the records, without positives and the louder own sound."""
    rows = pq.read_table(run / RECORDS_FILE).to_pylist()
    rows = [row for row in rows if row["audio_condition"] not in ("positive", "gain")]
    found = negative_maxima(run, read_provenance(run / RECORDS_FILE), "av")
    expected = [np.max(row["similarity_map"]) for row in rows]
    np.testing.assert_array_equal(found.value, np.array(expected, np.float64))
    assert np.isnan(found.value).sum() == 1
    assert found.condition[:].tolist() == [row["audio_condition"] for row in rows]
    assert found.image[:].tolist() == [row["image_group"] for row in rows]
    clips = [r["audio_source_id"] for r in rows if r["audio_condition"] == "offscreen"]
    assert found.sounds["offscreen"][:].tolist() == clips


def test_rows_are_swapped_with_the_other_objects_of_their_picture(run: Path) -> None:
    """Own sounds alone; the same object by another name is no other one."""
    truth, path = GroundTruth.of(run), run / RECORDS_FILE
    others = other_objects(path, truth)
    assert others == {
        f"s{n}": [f"s{m}" for m in range(6) if m // 3 == n // 3 and m != n] for n in range(6)
    }
    (rows,) = pq.read_table(path).combine_chunks().to_batches()
    sounding = sounding_objects(read_provenance(path))
    chunk = Chunk.of(rows, truth, sounding)
    swapped = chunk.swaps(others, sounding)
    assert swapped is not None
    boxes = {name: truth.objects([name])[0][0] for name in truth.ids}
    expected = [
        (row, boxes[other][0])
        for row, (name, condition) in enumerate(
            zip(rows["sample_id"].to_pylist(), rows["audio_condition"].to_pylist(), strict=True)
        )
        if condition in ("positive", "gain")
        for other in others.get(name, ())
        if boxes[other] != boxes[name]
    ]
    assert swapped[0].tolist() == [row for row, _ in expected]
    for drawn, (_, (x0, y0, x1, y1)) in zip(swapped[1].unpack().numpy(), expected, strict=True):
        own = np.zeros_like(drawn)
        own[y0:y1, x0:x1] = 1
        np.testing.assert_array_equal(drawn, own)
    assert chunk.swaps({}, sounding) is None

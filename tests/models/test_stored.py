"""Stored maps: every layout, faults, and the public IoUs of another group's maps."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from PIL import Image

from vssl.maps import binarize, consensus_map, transform_maps, upsample
from vssl.models.stored import MapsError, StoredMaps
from vssl.thresholds.base import InclusiveThreshold
from vssl.types import ImageBatch

IDS = ("-a", "b c", "d.e", "f/g")
PAIRINGS = (("positive", 0), ("silence", 0), ("noise", 0), ("noise", 1))
MAPS = np.random.default_rng(0).random((4, 4, 3, 5)).astype(np.float32)  # [sample, pairing, h, w]


def localized(
    model: StoredMaps,
    ids: tuple[str, ...] = IDS,
    pairings: tuple[tuple[str, int], ...] = PAIRINGS,
) -> np.ndarray:
    index = torch.zeros(len(ids), len(pairings), dtype=torch.int64)
    batch = ImageBatch(torch.arange(len(ids)), torch.empty(0), index, ids, pairings)
    return model.localize(batch, torch.empty(len(ids), len(pairings), 0)).numpy()


def rows() -> dict[str, np.ndarray]:
    keys = [(sample, *pairing) for sample in IDS for pairing in PAIRINGS]
    samples, conditions, draws = zip(*keys, strict=True)
    return {
        "sample_id": np.array(samples),
        "condition": np.array(conditions),
        "draw": np.array(draws),
        "maps": MAPS.reshape(-1, 3, 5),
    }


def write_folder(root: Path, *, single: str = "{condition}/{draw}/{sample}", suffix: str = "npy"):
    for sample, of_sample in zip(IDS, MAPS, strict=True):
        for (condition, draw), values in zip(PAIRINGS, of_sample, strict=True):
            form = single if condition != "noise" else "{condition}/{draw}/{sample}"
            if condition == "silence" and single == "{sample}":
                form = "{condition}/{sample}"
            name = form.format(condition=condition, draw=draw, sample=sample)
            path = root / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == "npy":
                np.save(path, values)
            else:
                Image.fromarray(np.round(values * 65535).astype(np.uint16)).save(path)
    return root


def write_npz(root: Path) -> Path:
    np.savez_compressed(root / "maps.npz", **rows())
    return root / "maps.npz"


def write_h5(root: Path) -> Path:
    with h5py.File(root / "maps.h5", "w") as file:
        for name, values in rows().items():
            file[name] = values.astype(object) if values.dtype.kind == "U" else values
    return root / "maps.h5"


def write_matlab(root: Path, *, first: bool = False) -> Path:
    """As `save -v7.3` writes: axes in reverse, texts as references to numbers."""
    with h5py.File(root / "maps.mat", "w") as file:
        for name, values in rows().items():
            if values.dtype.kind == "U":
                cells = []
                for number, text in enumerate(values):
                    char = file.create_dataset(
                        f"#refs#/{name}{number}", data=np.array([[ord(c)] for c in text], np.uint16)
                    )
                    cells.append(char.ref)
                file.create_dataset(name, data=np.array([cells], dtype=h5py.ref_dtype))
            elif name == "draw":
                file[name] = values[None].astype(float)
            else:  # MATLAB's [h, w, n], or [n, h, w]
                axes = (2, 1, 0) if first else (0, 2, 1)
                file.create_dataset(name, data=values.transpose(axes), chunks=(3, 3, 3))
            file[name].attrs["MATLAB_class"] = np.bytes_("cell")
    return root / "maps.mat"


def write_zarr(root: Path) -> Path:
    group = zarr.open_group(str(root / "maps.zarr"), mode="w")
    for name, values in rows().items():
        group.create_array(name, data=values)
    return root / "maps.zarr"


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "by draw": write_folder,
    "single draws": lambda root: write_folder(root, single="{condition}/{sample}"),
    "png": lambda root: write_folder(root, suffix="png"),
    "tif": lambda root: write_folder(root, suffix="tif"),
    "npz": write_npz,
    "h5": write_h5,
    "MATLAB, [h, w, n]": write_matlab,
    "MATLAB, [n, h, w]": lambda root: write_matlab(root, first=True),
    "zarr": write_zarr,
}


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_maps(tmp_path: Path, layout: str) -> None:
    model = StoredMaps(maps=LAYOUTS[layout](tmp_path), value_range=(0, 1))
    report = model.check(IDS, PAIRINGS)
    assert (report.missing, report.surplus, report.undefined) == ({}, {}, 0)
    assert model.map_size == (3, 5)
    step = 1 / 65535 if layout in ("png", "tif") else 0
    np.testing.assert_allclose(localized(model), MAPS, rtol=0, atol=0.51 * step)


def test_positives_alone_may_lie_directly_in_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, single="{sample}")
    model = StoredMaps(maps=tmp_path)
    report = model.check(IDS, PAIRINGS[:1])
    assert report.surplus.keys() >= {"noise/1/-a", "noise/0/f/g"}
    np.testing.assert_array_equal(localized(model, pairings=PAIRINGS[:1]), MAPS[:, :1])


def spoil(root: Path, name: str, values: object) -> None:
    np.save(root / name, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 3)), "1 with other sizes.*5 x 3, the first is 3 x 5"),
        (np.zeros((3, 5, 1)), r"1 with other shapes than \[h, w\].*3 x 5 x 1"),
        (np.zeros((3, 5), complex), "other values than numbers.*complex128"),
        (np.full((3, 5), 2.0), r"outside of model.value_range=\[0,1\].*values from 2 to 2"),
        (np.array("text"), "other values than numbers|other shapes"),
    ],
)
def test_unfit_maps_are_one_error(tmp_path: Path, values: np.ndarray, message: str) -> None:
    write_folder(tmp_path)
    spoil(tmp_path, "noise/1/b c.npy", values)
    with pytest.raises(MapsError, match=f"(?s)of 16 maps, .*{message}"):
        StoredMaps(maps=tmp_path, value_range=(0, 1)).check(IDS, PAIRINGS)


def test_the_size_is_that_of_maps_that_the_run_asks_for(tmp_path: Path) -> None:
    write_folder(tmp_path)
    spoil(tmp_path, "a preview.npy", np.zeros((9, 9)))
    model = StoredMaps(maps=tmp_path)
    assert [*model.check(IDS, PAIRINGS).surplus] == ["a preview"]
    assert model.map_size == (3, 5)


def test_unreadable_and_pickled_files_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "silence/0/-a.npy").write_bytes(b"nothing")
    np.save(tmp_path / "noise/0/-a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(MapsError, match="2 with unreadable files"):
        StoredMaps(maps=tmp_path).check(IDS, PAIRINGS)


def test_nan_and_infinity_are_undefined_maps(tmp_path: Path) -> None:
    write_folder(tmp_path)
    spoil(tmp_path, "noise/0/-a.npy", np.full((3, 5), np.nan))
    spoil(tmp_path, "noise/1/-a.npy", np.full((3, 5), np.inf))
    model = StoredMaps(maps=tmp_path)
    assert model.check(IDS, PAIRINGS).undefined == 2
    assert np.isnan(localized(model)).sum() == 2 * 15


def test_missing_maps(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "noise/1/b c.npy").rename(tmp_path / "noise/1/b_c.npy")
    model = StoredMaps(maps=tmp_path)
    with pytest.raises(MapsError, match=r"1 maps are missing \(1 of 8 of noise\).*b_c.*=skip"):
        model.check(IDS, PAIRINGS)
    report = model.check(IDS, PAIRINGS, skip=True)
    assert report.missing == {"b c": "noise, draw 1"}
    assert [*report.surplus] == ["noise/1/b_c"]
    with pytest.raises(MapsError, match="negatives=none"):
        model.check(IDS, (("positive", 0), ("offscreen", 0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": MAPS.reshape(16, 3, 5).transpose(1, 2, 0)}, "last axis the first"),
        ({"maps": MAPS}, "which array has the maps|expected"),
        ({"sample_id": np.arange(16)}, "must be texts"),
        ({"sample_id": np.array(["-a"] * 16, object)}, "`sample_id`.*dtype=str"),
        ({"sample_id": np.array(["-a"] * 16)}, "repeat"),
        ({"draw": np.zeros(3, int)}, "`draw` has 3 values for 16 ids"),
        ({"sample_id": None}, "no array `sample_id`"),
    ],
)
def test_unfit_arrays(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    arrays = {k: v for k, v in {**rows(), **change}.items() if v is not None}
    np.savez(tmp_path / "maps.npz", **arrays)
    with pytest.raises(MapsError, match=message):
        StoredMaps(maps=tmp_path / "maps.npz")


def test_a_package_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_h5(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MapsError, match=re.escape("pip install 'vssl[maps]'")):
        StoredMaps(maps=path)


@pytest.mark.parametrize("name", ["AUD_FINE", "IMG_L4"])
@pytest.mark.parametrize("form", ["folder", "npz"])
def test_public_ious_are_met(shared: Path, name: str, form: str) -> None:
    """wangwxr/jsa_reaserch: per-sample IoUs, share of 0.5 and AUC, in that group's way."""
    pack = shared / "data" / "stored_maps" / "vggss"
    expected = pd.read_csv(pack / "expected_iou.csv")
    summary = json.loads((pack / "expected_summary.json").read_text())
    boxes = {
        e["file"]: e["bbox"] for e in json.loads((pack / "vggss_annotations.json").read_text())
    }
    ids = tuple(expected["id"])
    model = (
        StoredMaps(maps=pack / name)
        if form == "folder"
        else StoredMaps(maps=pack / "maps.npz", key=name)
    )
    model.check(ids, PAIRINGS[:1])
    native = torch.from_numpy(localized(model, ids, PAIRINGS[:1])[:, 0])
    maps = transform_maps(upsample(native, rule="bicubic"), "stretch")
    masks = binarize(maps, InclusiveThreshold(value=0.6).constant())
    found = []
    for sample, mask in zip(ids, masks, strict=True):
        corners = [tuple((np.clip(box, 0, 1) * 224).astype(int).tolist()) for box in boxes[sample]]
        truth = consensus_map(corners, [1.0] * len(corners)) > 0
        found.append(float((mask & truth).sum() / (mask | truth).sum()))
    np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-4)
    assert np.mean(np.array(found) >= 0.5) == pytest.approx(summary[name]["success_05"])

"""Torch's operations in place of compiled loops: equal to the last bit, for any values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.records import make_samples, write_made
from tests.helpers.running import scoring_settings
from tests.test_kernels import rows_with_everything, spread_values, thresholds_for
from vssl import kernels, tensor_kernels
from vssl.config.build import build_metrics, policies_named
from vssl.core.choices import UPSAMPLING_RULES
from vssl.maps import bilinear_places, upsample
from vssl.metrics.base import MapMetric, PairMetric, SampleMetric, SwapMetric
from vssl.metrics.detection import map_confidence
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.fit import fit_policies
from vssl.records.score import score_records
from vssl.tensor_kernels import LOOPS_ON
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.types import SoundingObject

_WEIGHTS = st.floats(0, 1, width=32)
_VALUES = st.floats(-4, 4, width=32)


@pytest.fixture
def by_torch() -> Iterator[None]:
    """No compiled loop computes on a tensor."""
    kept = set(LOOPS_ON)
    LOOPS_ON.clear()
    yield
    LOOPS_ON.update(kept)


def equal(one: Any, other: Any) -> bool:
    """Equal bits, but for the payload of NaN."""
    one, other = np.asarray(one), np.asarray(other)
    signs = np.array_equal(np.signbit(one[one == 0]), np.signbit(other[other == 0]))
    return np.array_equal(one, other, equal_nan=True) and signs


def is_nearest(found: np.float32, exact: Fraction) -> bool:
    """Whether a float32 is an exact number, rounded once, to the even one of two."""
    ends = [np.nextafter(found, np.float32(end)) for end in (-np.inf, np.inf)]
    error = abs(Fraction(float(found)) - exact)
    others = [abs(Fraction(float(end)) - exact) for end in ends]
    even = int(found.view(np.int32)) % 2 == 0
    return all(error < other or (error == other and even) for other in others)


@given(st.lists(st.tuples(_VALUES, _WEIGHTS, _VALUES), min_size=1, max_size=50))
def test_a_product_is_added_and_rounded_once(terms: list[tuple[float, float, float]]) -> None:
    # the last: half a place of float32, and a bit that float64 loses
    terms = [*terms, (1 + 2.0**-23, 2.0**-24, 1.0), (1 - 2.0**-24, 2.0**-24, 1.0)]
    a, b, c = torch.tensor(terms, dtype=torch.float32).T
    found = tensor_kernels._multiply_add(a, b, c).numpy()
    for value, (x, y, z) in zip(found, terms, strict=True):
        assert is_nearest(value, Fraction(x) * Fraction(y) + Fraction(z))


@pytest.mark.parametrize("rule", [rule for rule in UPSAMPLING_RULES if rule != "bicubic"])
@pytest.mark.parametrize("shape", [(7, 7), (14, 9), (1, 1)])
def test_upsampling(rule: str, shape: tuple[int, int], by_torch: None) -> None:
    maps = rows_with_everything(shape[0] * shape[1]).reshape(-1, *shape)
    places = [bilinear_places(side, 224, rule) for side in shape]
    expected = kernels.bilinear(maps, *places, rule == "opencv")
    found = tensor_kernels.bilinear(torch.from_numpy(maps), *places, rule == "opencv")
    assert equal(found, expected)


def test_bicubic_maps_do_not_depend_on_their_number() -> None:
    maps = torch.from_numpy(rows_with_everything(49)).view(-1, 7, 7)
    alone = torch.cat([upsample(one[None], rule="bicubic") for one in maps])
    assert equal(upsample(maps, rule="bicubic"), alone)


@pytest.mark.parametrize("pixels", [1, 63, 64, 65, 1000])
def test_masks_and_counts(pixels: int, by_torch: None) -> None:
    rows = rows_with_everything(pixels)
    levels = thresholds_for(rows)
    expected = kernels.pack_above(rows, levels)
    found = tensor_kernels.pack_above(torch.from_numpy(rows), torch.from_numpy(levels))
    assert np.array_equal(found.numpy().view(np.uint64), expected)
    first, second = np.random.default_rng(0).integers(0, 72, (2, 200))
    flat, bits = expected.reshape(72, -1), found.view(72, -1)
    counts = kernels.count_pairs(flat, flat, first, second)
    assert tensor_kernels.count_pairs(bits, bits, first, second).tolist() == counts.tolist()


@pytest.mark.parametrize("pixels", [1, 65, 3000])
def test_largest_pixels(pixels: int, by_torch: None) -> None:
    some = {str(n): row for n, row in enumerate(rows_with_everything(pixels))}
    rows = np.stack([*spread_values(pixels, seed=1).values(), *some.values()])
    for k in {1, max(1, pixels // 4), pixels}:
        expected = kernels.kth_largest(rows, np.full(len(rows), k))
        found = tensor_kernels.kth_largest(torch.from_numpy(rows), torch.full((len(rows),), k))
        assert equal(found, expected + 0)  # the loops may find -0 where 0 is as large
    count = max(1, pixels // 4)
    levels = kernels.kth_largest(rows, np.full(len(rows), count))
    expected = kernels.mean_of_largest(rows, levels, count)
    assert equal(map_confidence(torch.from_numpy(rows)[:, None]), expected)


def test_sums_that_are_rounded_are_known() -> None:
    rows = torch.tensor([[1.0, 0.75, 0.5], [1.0, 2.0**-30, 0.0], [0.5, -0.25, -(2.0**-40)]])
    assert tensor_kernels._excess(rows, rows.amin(dim=1))[1].tolist() == [True, False, False]


class _OwnPolicy(ThresholdPolicy):
    name = "own"

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        return localization_maps.amax(dim=(1, 2)) - 0.1 * ground_truth.mean(dim=(1, 2))


def _marked(masks: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    met = [(masks & (other > 0)).flatten(1).sum(dim=1).double() for other in others]
    return met[0] - sum(met[1:])


class _OwnSample(SampleMetric):
    name = column = "tensors_sample"
    conditions = tuple(SoundingObject)
    higher_is_better = True
    measure = staticmethod(_marked)


class _OwnMap(MapMetric):
    name = column = "tensors_map"
    conditions = (SoundingObject.OWN,)
    higher_is_better = True

    @staticmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        return (localization_maps * ground_truth).amax(dim=(1, 2)).double()


class _OwnPair(PairMetric):
    name = column = "tensors_pair"
    higher_is_better = True
    measure = staticmethod(_marked)


class _OwnSwap(SwapMetric):
    name = column = "tensors_swap"
    higher_is_better = True
    measure = staticmethod(_marked)


OWN = [_OwnSample(), _OwnMap(), _OwnPair(), _OwnSwap()]
"""Metrics without formulas for masks as bits."""


def columns_of(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Columns of a scores file; null is -9, lists are flat."""
    found = {}
    for name, column in zip((table := pq.read_table(path)).column_names, table, strict=True):
        if pa.types.is_list(column.type):
            column = pc.list_flatten(column)
        if pa.types.is_floating(column.type):
            column = column.fill_null(-9)
        found[name] = column.to_numpy()
    return found


MIXED = {"positive": "align_corners", "noise": "opencv", "offscreen": "bicubic"}
RUNS: dict[str, dict[str, Any]] = {
    "stretched and clipped": {"map_transform": "stretch_and_clip", "scale": "corrected"},
    "released prior, natural negatives": {"scale": "released", "natural": (0,)},
}


@pytest.mark.parametrize("name", RUNS)
def test_scores_of_a_run(
    name: str, tmp_path: Path, by_torch: None, caplog: pytest.LogCaptureFixture
) -> None:
    facts = dict(RUNS[name])
    natural, scale = facts.pop("natural", ()), facts.pop("scale")
    samples = [
        replace(s, is_natural_negative=True, boxes=(), box_weights=()) if n in natural else s
        for n, s in enumerate(make_samples()[:4])
    ]
    samples[1] = replace(samples[1], boxes=((0, 0, 90, 90), (9, 9, 99, 99)), box_weights=(0.5, 0.5))
    samples[2] = replace(samples[2], image_group="picture0", boxes=((100, 0, 200, 200),))
    generator = np.random.default_rng(0)
    maps = (generator.random((4, 6, 7, 7)) * 2 - 1).astype(np.float32)
    maps[:, :, 0] = np.round(maps[:, :, 0] * 4) / 4
    maps[1, :3] = generator.choice([-0.0, 0.0, 0.25], (3, 7, 7))
    maps[3, 1, 2, 2], maps[3, 2, 2, 2], maps[2, 0], maps[2, 1] = np.nan, np.inf, 0.5, 1e-42
    write_made(
        tmp_path, samples, negatives=[Silence(), Noise(draws=2), Offscreen(draws=2)], maps=maps,
        objects=generator.random((4, 5, 5)).astype(np.float32),
        upsampling={"silence": "half_pixel", **MIXED}, **facts,
        prior={"alpha": 0.4, "scale": scale, "sha256": "s"},
    )  # fmt: skip
    names = ["half_image", "object_area", "half_range", "best_of_20", "universal_q3"]
    fitted = fit_policies([*policies_named(names), FixedThreshold(), _OwnPolicy()], tmp_path)
    metrics = [*build_metrics(scoring_settings("metrics=all")), *OWN]
    score_records(tmp_path, fitted, metrics, output=tmp_path / "torch.parquet")
    LOOPS_ON.add("cpu")
    score_records(tmp_path, fitted, metrics, output=tmp_path / "loops.parquet")
    found, expected = (columns_of(tmp_path / f"{name}.parquet") for name in ("torch", "loops"))
    assert list(found) == list(expected)
    for column, values in expected.items():
        assert np.array_equal(found[column], values, equal_nan=values.dtype.kind == "f"), column
    assert "scores instead" not in caplog.text

"""Maps: upsampling, published post-processing, mixing, binarization, ground truth from boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import formulas
from vssl.core.choices import MAP_TRANSFORMS, UPSAMPLING_RULES
from vssl.core.errors import UsageError
from vssl.data.base import DatasetReader
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.maps import (
    binarize,
    consensus_map,
    object_guided,
    stretch,
    transform_maps,
    transformed_maximum,
    upsample,
)


def random_maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.uniform(-1, 1, shape)).to(dtype)


@pytest.mark.parametrize("rule", [each for each in UPSAMPLING_RULES if each != "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(7, 7, 224), (14, 14, 224), (28, 28, 224), (5, 9, 32), (1, 1, 16), (14, 14, 10), (7, 7, 100)],
)
def test_upsample_is_bilinear(rule: str, height: int, width: int, size: int) -> None:
    maps = random_maps(2, height, width, dtype=torch.float64)
    expected = [formulas.upsample(m, size=size, rule=rule) for m in maps.numpy()]
    found = upsample(maps, size=size, rule=rule)
    assert found.shape == (2, size, size)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [7, 14, 28])
def test_opencv_rounds_as_cv2_does(side: int) -> None:
    # a pixel next to the threshold falls on the released code's side only with its very roundings
    maps = random_maps(8, side, side, seed=side)
    expected = formulas.released_half_pixel(maps.numpy())
    assert np.array_equal(upsample(maps, rule="opencv").numpy(), expected)


@pytest.mark.parametrize("rule", UPSAMPLING_RULES)
def test_upsample_of_a_map_of_full_size_is_the_map(rule: str) -> None:
    maps = random_maps(2, 224, 224)
    assert torch.equal(upsample(maps, rule=rule), maps)


@pytest.mark.parametrize("rule", UPSAMPLING_RULES)
def test_each_map_is_upsampled_for_itself(rule: str) -> None:
    maps = random_maps(5, 7, 7)
    together = upsample(maps, rule=rule)
    assert all(torch.equal(upsample(maps[[i]], rule=rule)[0], together[i]) for i in range(5))
    assert upsample(maps[:0], rule=rule).shape == (0, 224, 224)


@pytest.mark.parametrize("rule", UPSAMPLING_RULES)
def test_nan_stays_around_its_cell(rule: str) -> None:
    maps = random_maps(2, 7, 7)
    maps[1, 3, 3] = torch.nan
    found = upsample(maps, rule=rule)
    assert not found[0].isnan().any()
    assert found[1].isnan().any()
    assert not found[1, :32].isnan().any()


@pytest.mark.parametrize("rule", ["half_pixel", "opencv"])
@pytest.mark.parametrize("condition", ["positive", "silence", "noise", "offscreen"])
@pytest.mark.parametrize("dataset", ["vggss_mini", "is3_mini"])
def test_stretch_and_clip_gives_rcgrads_published_maps(
    shared: Path, dataset: str, condition: str, rule: str
) -> None:
    golden = shared / "golden" / "dev" / dataset / "rcgrad"
    with np.load(golden / "similarity_maps.npz") as native:
        ids, maps = native["ids"].tolist(), torch.from_numpy(native[condition])
    with np.load(golden / "published_maps.npz") as published:
        places = [ids.index(sample_id) for sample_id in published["ids"]]
        expected = published[condition]

    found = transform_maps(upsample(maps[places], rule=rule), "stretch_and_clip").numpy()

    # the authors' middle stages divide by the maximum plus 1e-7; the rest is rounding
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)
    assert np.array_equal(found == 0, expected == 0), "the same pixels are cut"
    assert found.max(axis=(1, 2)).tolist() == [1.0] * len(places)


def test_stretch_and_clip_keeps_the_median_and_what_lies_above() -> None:
    # ranks, shuffled: of 16 pixels, the 8 lowest (0 to 7) are cut, that at index 8 stays
    ranks = np.random.default_rng(0).permutation(16).reshape(4, 4)
    found = transform_maps(torch.from_numpy(ranks * 2.0 + 5)[None], "stretch_and_clip")[0]
    np.testing.assert_allclose(found, np.where(ranks < 8, 0, ranks / 15), rtol=0, atol=1e-15)
    # of 9 it is the middle one
    ranks = np.random.default_rng(0).permutation(9).reshape(3, 3)
    found = transform_maps(torch.from_numpy(ranks * 1.0)[None], "stretch_and_clip")[0]
    np.testing.assert_allclose(found, np.where(ranks < 4, 0, ranks / 8), rtol=0, atol=1e-15)


@pytest.mark.parametrize("transform", MAP_TRANSFORMS)
def test_transforms_take_each_map_for_itself_and_leave_it_alone(transform: str) -> None:
    maps = random_maps(4, 20, 20) * torch.tensor([1.0, 0.01, 100.0, 0.0]).view(-1, 1, 1)
    before = maps.clone()
    together = transform_maps(maps, transform)
    assert torch.equal(maps, before)
    assert together.dtype == maps.dtype
    for n in range(4):
        assert torch.equal(transform_maps(maps[[n]], transform)[0], together[n])
    if transform == "none":
        assert torch.equal(together, maps)


@given(
    rule=st.sampled_from(["half_pixel", "opencv"]),
    side=st.sampled_from([7, 14]),
    # random, the same everywhere, all but one cell the same, a NaN
    kinds=st.lists(st.sampled_from(["any", "flat", "one", "nan"]), min_size=1, max_size=4),
    exponent=st.integers(-6, 3),
    seed=st.integers(0, 999),
)
def test_transformed_maximum_is_the_transformed_maps(
    rule: str, side: int, kinds: list[str], exponent: int, seed: int
) -> None:
    native = random_maps(len(kinds), side, side, seed=seed) * 10.0**exponent
    for each, kind in zip(native, kinds, strict=True):
        if kind in ("flat", "one"):
            each[:] = each[0, 0].clone()
        if kind == "one":
            each[-1, 2] += 10.0**exponent
        if kind == "nan":
            each[1, 1] = torch.nan
    extremes = native.amax((1, 2)), native.amin((1, 2))
    localization = transform_maps(upsample(native, rule=rule), "stretch_and_clip")
    assert localization[native.isnan().any(dim=2).any(dim=1)].isnan().all()
    found = transformed_maximum(*extremes, "stretch_and_clip")
    np.testing.assert_array_equal(found, localization.amax((1, 2)))
    expected = {"any": 1.0, "one": 1.0, "flat": 0.0, "nan": np.nan}
    np.testing.assert_array_equal(found, [expected[kind] for kind in kinds])
    # without a transform it is the native one, whatever upsampling makes of it
    np.testing.assert_array_equal(transformed_maximum(*extremes, "none"), extremes[0])


@given(
    scale=st.sampled_from([1e-5, 1.0, 1e4]),
    offset=st.sampled_from([-3.0, 0.0, 2.0]),
    seed=st.integers(0, 999),
)
def test_stretch_is_min_max(scale: float, offset: float, seed: int) -> None:
    maps = random_maps(3, 9, 5, seed=seed, dtype=torch.float64) * scale + offset
    expected = [(m - m.min()) / (m.max() - m.min()) for m in maps.numpy()]
    before = maps.clone()
    found = stretch(maps)
    assert torch.equal(maps, before)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert found.amin((1, 2)).tolist() == [0.0] * 3
    assert found.amax((1, 2)).tolist() == [1.0] * 3


def test_stretch_of_flat_and_of_undefined_maps() -> None:
    maps = torch.stack([torch.full((4, 4), 0.7), torch.zeros(4, 4), random_maps(1, 4, 4)[0]])
    maps[2, 0, 0] = torch.nan
    found = stretch(maps)
    assert (found[:2] == 0).all()
    assert found[2].isnan().all()


@pytest.mark.parametrize("level", [0.1, 0.5, 0.6041])
@pytest.mark.parametrize("kind", ["number", "vector", "double vector"])
def test_a_pixel_at_the_threshold_is_not_marked(level: float, kind: str) -> None:
    value = np.float32(level)
    row = [np.nextafter(value, np.float32(-1)), value, np.nextafter(value, np.float32(1))]
    maps = torch.from_numpy(np.array([[row]], dtype=np.float32))
    threshold = {
        "number": level,
        "vector": torch.tensor([level]),
        "double vector": torch.tensor([level], dtype=torch.float64),
    }[kind]
    masks = binarize(maps, threshold)
    assert masks.dtype == torch.bool
    assert masks.flatten().tolist() == [False, False, True]


def test_every_map_has_its_own_threshold() -> None:
    maps = random_maps(4, 6, 5)
    thresholds = torch.tensor([-0.5, 0.0, 0.5, 2.0])
    expected = [m > t for m, t in zip(maps.numpy(), thresholds.numpy(), strict=True)]
    assert np.array_equal(binarize(maps, thresholds).numpy(), expected)
    assert not binarize(maps, float("nan")).any()


side_of_box = st.integers(0, 20)
some_boxes = st.lists(
    st.tuples(
        st.tuples(side_of_box, side_of_box, side_of_box, side_of_box),
        st.sampled_from([0.25, 0.5, 1.0]),
    ),
    max_size=5,
)


@given(boxes=some_boxes)
def test_consensus_map_sums_the_boxes_over_each_pixel(
    boxes: list[tuple[tuple[int, int, int, int], float]],
) -> None:
    corners, weights = [b for b, _ in boxes], [w for _, w in boxes]
    found = consensus_map(corners, weights, size=20)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), formulas.consensus_map(corners, weights, size=20))


@pytest.mark.parametrize(("reader", "name"), [(VGGSS, "vggss_mini"), (IS3, "is3_mini")])
def test_ground_truth_equals_the_golden_maps(
    shared: Path, reader: type[DatasetReader], name: str
) -> None:
    with np.load(shared / "golden" / "dev" / name / "gt_maps.npz") as file:
        ids, expected = file["ids"].tolist(), file["gt"].astype(np.float32)
    samples = reader(shared / "data" / name).check().samples  # type: ignore[call-arg]
    assert [s.sample_id for s in samples] == ids
    found = torch.stack([consensus_map(s.boxes, s.box_weights) for s in samples])
    assert np.array_equal(found.numpy(), expected)


MAPS = torch.zeros(2, 4, 4)
SHAPE = r"to have shape \[N, H, W\], but got \[4, 4\].*batch or channel dimension"
WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: upsample(MAPS[0]), ValueError, f"`similarity_maps` {SHAPE}"),
    (lambda: upsample(MAPS.long()), TypeError, r"floating-point tensor, but got torch\.int64"),
    (lambda: upsample(MAPS, rule="half_pixels"), UsageError, "Did you mean `half_pixel`"),
    (lambda: transform_maps(MAPS[0], "none"), ValueError, f"`localization_maps` {SHAPE}"),
    (lambda: transform_maps(MAPS.long(), "stretch_and_clip"), TypeError, r"got torch\.int64"),
    (lambda: transform_maps(MAPS, "stretched"), UsageError, "none, stretch, stretch_and_clip"),
    (lambda: transformed_maximum(MAPS, MAPS, "stretched"), UsageError, "one of none, stretch"),
    (
        lambda: object_guided(MAPS, torch.zeros(2, 7, 7), alpha=0.4),
        ValueError, r"\[2, 4, 4\] and \[2, 7, 7\]\. Was one of them upsampled",
    ),
    (
        lambda: object_guided(MAPS, MAPS[:1], alpha=0.4),
        ValueError, r"\[2, 4, 4\] and \[1, 4, 4\]",
    ),
    (
        lambda: object_guided(MAPS[0], MAPS[0], alpha=0.4),
        ValueError, f"`localization_maps` {SHAPE}",
    ),
    (lambda: binarize(MAPS[0], 0.5), ValueError, f"`localization_maps` {SHAPE}"),
    (lambda: binarize(MAPS > 0, 0.5), TypeError, r"got torch\.bool"),
    (lambda: binarize(MAPS, torch.zeros(3)), ValueError, "one per map, but got 3 for 2 maps"),
    (
        lambda: consensus_map([(0, 0, 1, 1)], [1.0, 1.0]),
        ValueError, "one weight per box, but got 1 boxes and 2 weights",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "match"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_map_is_refused(
    call: Callable[[], object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        call()

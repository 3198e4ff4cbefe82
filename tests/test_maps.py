"""Maps: both upsampling rules, binarization at the edge, ground truth from boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import formulas
from vssl.data.base import DatasetReader
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.errors import UsageError
from vssl.maps import UPSAMPLING_RULES, binarize, consensus_map, upsample


def random_maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.uniform(-1, 1, shape)).to(dtype)


@pytest.mark.parametrize("rule", UPSAMPLING_RULES)
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


@pytest.mark.parametrize("rule", UPSAMPLING_RULES)
@pytest.mark.parametrize("side", [7, 14])
def test_upsample_in_single_precision_stays_within_rounding(rule: str, side: int) -> None:
    maps = random_maps(3, side, side)
    expected = [formulas.upsample(m, size=224, rule=rule) for m in maps.double().numpy()]
    found = upsample(maps, rule=rule)
    assert found.dtype == torch.float32
    # places between cells are rounded too: 223ths are no binary fractions
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)


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


def test_the_default_rule_is_half_pixel() -> None:
    maps = random_maps(1, 7, 7)
    assert torch.equal(upsample(maps), upsample(maps, rule="half_pixel"))
    assert not torch.allclose(upsample(maps), upsample(maps, rule="align_corners"))


def test_aligned_corners_keep_the_corner_cells_and_half_pixel_repeats_them() -> None:
    maps = random_maps(1, 7, 7)
    aligned = upsample(maps, rule="align_corners")[0]
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    assert torch.equal(aligned[corners], maps[0][corners])
    # the outer half of a border cell has no neighbour to mix with: 16 of its 32 pixels
    half = upsample(maps, rule="half_pixel")[0]
    assert torch.equal(half[:16, :16], maps[0, 0, 0].expand(16, 16))
    assert torch.equal(half[-16:, -16:], maps[0, -1, -1].expand(16, 16))


@pytest.mark.parametrize("side", [7, 14])
@given(value=st.floats(-1, 1, width=32))
@settings(deadline=None, max_examples=25)
def test_half_pixel_keeps_a_constant_map_constant(side: int, value: float) -> None:
    assert torch.all(upsample(torch.full((1, side, side), value)) == value)


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


def test_upsample_refuses_other_shapes_types_and_rules() -> None:
    with pytest.raises(ValueError, match=r"`similarity_maps` to have shape \[N, H, W\].*\[7, 7\]"):
        upsample(torch.zeros(7, 7))
    with pytest.raises(ValueError, match="batch or channel dimension"):
        upsample(torch.zeros(1, 1, 7, 7))
    with pytest.raises(TypeError, match=r"floating-point tensor, but got torch\.int64"):
        upsample(torch.zeros(1, 7, 7, dtype=torch.long))
    with pytest.raises(UsageError, match="Did you mean `half_pixel`"):
        upsample(torch.zeros(1, 7, 7), rule="half_pixels")


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
    assert not binarize(maps, thresholds)[3].any()


def test_nan_marks_nothing() -> None:
    maps = torch.ones(2, 2, 2)
    maps[0, 0, 0] = torch.nan
    assert binarize(maps, 0.5)[0].flatten().tolist() == [False, True, True, True]
    assert not binarize(maps, torch.tensor([torch.nan, torch.nan])).any()
    assert not binarize(maps, float("nan")).any()


def test_binarize_refuses_what_is_no_map() -> None:
    with pytest.raises(ValueError, match=r"`localization_maps` to have shape \[N, H, W\]"):
        binarize(torch.zeros(4, 4), 0.5)
    with pytest.raises(TypeError, match=r"got torch\.bool"):
        binarize(torch.zeros(1, 4, 4, dtype=torch.bool), 0.5)


side_of_box = st.integers(0, 20)
some_boxes = st.lists(
    st.tuples(
        st.tuples(side_of_box, side_of_box, side_of_box, side_of_box),
        st.sampled_from([0.25, 0.5, 1.0]),
    ),
    max_size=5,
)


@given(boxes=some_boxes)
@settings(deadline=None, max_examples=40)
def test_consensus_map_sums_the_boxes_over_each_pixel(
    boxes: list[tuple[tuple[int, int, int, int], float]],
) -> None:
    corners, weights = [b for b, _ in boxes], [w for _, w in boxes]
    found = consensus_map(corners, weights, size=20)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), formulas.consensus_map(corners, weights, size=20))


def test_votes_add_up_to_at_most_one() -> None:
    found = consensus_map([(0, 0, 2, 2), (1, 0, 3, 2), (1, 0, 2, 2)], [0.5, 0.5, 0.5], size=4)
    assert found[0].tolist() == [0.5, 1.0, 0.5, 0.0]
    assert not found[2:].any()


def test_the_whole_image_and_no_box() -> None:
    assert torch.all(consensus_map([(0, 0, 224, 224)], [1.0]) == 1)
    assert consensus_map([], []).shape == (224, 224)
    assert not consensus_map([], []).any()
    assert not consensus_map([(5, 5, 5, 9), (9, 5, 5, 9)], [1.0, 1.0]).any()


def test_consensus_map_wants_a_weight_for_each_box() -> None:
    with pytest.raises(ValueError, match="one weight per box, but got 1 boxes and 2 weights"):
        consensus_map([(0, 0, 1, 1)], [1.0, 1.0])


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

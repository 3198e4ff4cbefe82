"""The authors' metrics file, from fixed maps: every name and value, edge cases included."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.goldens import UNIT_RUNS, unit_maps
from tests.helpers.records import Array, make_sample, write_made
from vssl.analysis.released import released_metrics
from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.maps import encode_mask
from vssl.negatives.base import AudioCondition
from vssl.negatives.gain import Gain
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence


def write_records(
    folder: Path,
    maps: dict[str, Array],
    ground_truth: Array,
    names: list[str],
    *,
    model: str,
    aligned: bool = False,
    negatives: list[AudioCondition] | None = None,
) -> Path:
    """A run whose similarity maps and ground truths are given."""
    samples = [
        replace(make_sample(name, name, (), ()), masks=(encode_mask(truth > 0),), mask_weights=(1,))
        for name, truth in zip(names, ground_truth, strict=True)
    ]
    objects = maps.get("object")
    upsampling = dict.fromkeys((*NEGATIVE_TYPES, "gain"), "opencv")
    return write_made(
        folder,
        samples,
        maps=maps,
        negatives=negatives or [Silence(), Noise(draws=1), Offscreen(draws=1)],
        objects=False if objects is None else objects,
        model=model,
        value_range=[0.0, 1.0],
        prior=None if objects is None else {"alpha": 0.4, "scale": "released"},
        upsampling={**upsampling, "positive": "align_corners" if aligned else "opencv"},
    ).folder


@pytest.mark.parametrize("kind", ["regular", "edge"])
@pytest.mark.parametrize("path", UNIT_RUNS)
def test_every_value_of_the_metrics_file(
    shared: Path, tmp_path: Path, kind: str, path: str
) -> None:
    model, aligned = UNIT_RUNS[path]
    golden = json.loads((shared / "golden" / "dev" / "metrics_unit.json").read_text())
    expected = golden["runs"][f"{kind}/{path}"]["metrics"]
    maps, truth, names = unit_maps(shared, kind, path)
    run = write_records(tmp_path / "run", maps, truth, names, model=model, aligned=aligned)
    found = released_metrics(run)
    assert set(found) == set(expected)
    for name, value in expected.items():
        value = math.nan if value is None else value
        # the released code averages the extremes of maps in single precision
        tolerance = 1e-7 if "Heatmap" in name else 1e-9
        assert found[name] == pytest.approx(value, abs=tolerance, nan_ok=True), name


def test_without_object_maps_the_names_that_need_them_are_absent(
    shared: Path, tmp_path: Path
) -> None:
    maps, truth, names = unit_maps(shared, "regular", "eval_lvs_vggss_lvs")
    with_objects = released_metrics(write_records(tmp_path / "a", maps, truth, names, model="lvs"))
    del maps["object"]
    without = released_metrics(write_records(tmp_path / "b", maps, truth, names, model="lvs"))
    assert without == {
        k: v for k, v in with_objects.items() if not k.endswith("OGL") or "WOGL" in k
    }


class TestRefusals:
    @pytest.fixture
    def maps(self) -> dict[str, Array]:
        drawn = np.random.default_rng(0).random((4, 3, 7, 7)).astype(np.float32)
        return dict(zip(("positive", *NEGATIVE_TYPES), drawn, strict=True))

    @pytest.fixture
    def truth(self) -> Array:
        return np.pad(np.ones((3, 90, 90)), ((0, 0), (20, 114), (50, 84)))

    @pytest.mark.parametrize(
        ("model", "negatives", "match"),
        [
            ("rcgrad", [Silence(), Noise(draws=1), Offscreen(draws=1)], "not for rcgrad"),
            ("lvs", [Silence()], "the run has no noise, offscreen"),
            ("lvs", [Silence(), Noise(draws=2), Offscreen(draws=3)], "noise 2, offscreen 3"),
        ],
    )
    def test_runs_that_the_released_code_cannot_have_made(
        self, maps: dict[str, Array], truth: Array, tmp_path: Path, model: str,
        negatives: list[AudioCondition], match: str,
    ) -> None:  # fmt: skip
        run = write_records(
            tmp_path / "run", maps, truth, ["a", "b", "c"], model=model, negatives=negatives
        )
        with pytest.raises(UsageError, match=match):
            released_metrics(run)

    def test_sounds_that_the_released_code_does_not_know_play_no_part(
        self, maps: dict[str, Array], truth: Array, tmp_path: Path
    ) -> None:
        names = [f"a_{n}" for n in range(len(truth))]
        paper = [Silence(), Noise(draws=1), Offscreen(draws=1)]
        maps = {**maps, "gain": maps["noise"][::-1]}
        more = [*paper, Gain(decibels=[1, 2, 3])]
        found = [
            released_metrics(
                write_records(tmp_path / name, maps, truth, names, model="lvs", negatives=each)
            )
            for name, each in (("paper", paper), ("more", more))
        ]
        assert found[0].keys() == found[1].keys()
        np.testing.assert_array_equal(list(found[0].values()), list(found[1].values()))


def test_an_undefined_positive_is_a_failure_and_not_left_out(tmp_path: Path) -> None:
    """Nothing to find and nothing marked: 0 in cIoU lists, a failure in shares, NaN in IIoU."""
    maps = dict.fromkeys(("positive", *NEGATIVE_TYPES), np.full((2, 7, 7), 0.1, np.float32))
    truth = np.zeros((2, 224, 224))
    truth[1, :100, :100] = 1
    found = released_metrics(
        write_records(tmp_path / "run", maps, truth, ["a_1", "b_1"], model="lvs")
    )
    assert found["CIoU_05"] == 0
    assert found["AUC_05"] == pytest.approx(2.5)
    assert found["AUC_adap"] == pytest.approx(1.25)
    assert math.isnan(found["iiou_adap"])
    assert math.isnan(found["IAUC_adap"])

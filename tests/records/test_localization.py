"""Object-guided localization: maps, thresholds, scores and tables of both map variants.

Expected maps are recomputed by NumPy from the native maps in the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import KEY, PRIOR_ALPHA, Tilted, guided_by, records, run, small
from tests.reference import formulas
from vssl.config.build import policies_named
from vssl.core.errors import UsageError
from vssl.models.base import LocalizationModel
from vssl.records.aggregate import summary_key
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import check_calibration, fit_policies
from vssl.records.localization import Localization
from vssl.records.store import read_provenance
from vssl.reporting.tables.run import announce
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.released import ReleasedThreshold

Float64 = npt.NDArray[np.float64]

# 78 rows: more than are scored at once
DRAWS = ("negatives.noise.draws=5", "negatives.offscreen.draws=6")
UNIVERSAL = {
    "universal_max": ("mean", 1.0),
    "universal_max10": ("mean", 1.1),
    "universal_q3": ("third_quartile", 1.0),
}
FALSE_ALARMS = {"false_alarm_1": 0.01, "false_alarm_5": 0.05, "false_alarm_10": 0.1}
OWN_THRESHOLDS = {"fixed", "half_image", "object_area", *UNIVERSAL, *FALSE_ALARMS}
CONSTANTS = {"released_max", "released_max10", "released_q3"}


class Unbounded(Tilted):
    """Maps without an upper bound."""

    value_range = (0.0, math.inf)

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return 30 * (super().similarity(image_features, audio_features) + 1)


class Stretched(Unbounded):
    """Maps that are stretched to [0, 1] and cut when they are upsampled."""

    map_transform = "stretch_and_clip"


@dataclass
class Run:
    """A finished run with object maps, and its localization maps by NumPy."""

    protocol: str
    model: type[LocalizationModel]
    folder: Path
    summary: pd.DataFrame
    records: pd.DataFrame
    expected: dict[str, Float64]
    unsure: npt.NDArray[np.bool_]

    @property
    def scores(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / SCORES_FILE)

    def thresholds(self, variant: str) -> dict[str, Float64]:
        """Threshold policy -> its different thresholds in the scores."""
        chosen = self.scores[self.scores["map_variant"] == variant]
        chosen = chosen[chosen["threshold_policy"] != "none"]
        by_policy = chosen.groupby("threshold_policy", observed=True)["threshold"]
        return {str(name): np.unique(values) for name, values in by_policy}


@pytest.fixture(
    scope="module",
    params=[("corrected", Tilted), ("corrected", Stretched), ("released", Tilted)],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def guided(
    request: pytest.FixtureRequest, prior_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    protocol, model = request.param
    root = tmp_path_factory.mktemp("guided")
    data = ("data=vggss", f"data.root={draw_vggss(root / 'vggss')}", *DRAWS)
    folder = root / "run"
    summary = run(folder, *small(model), f"protocol={protocol}", *data, *guided_by(prior_file))
    found = records(folder)
    return Run(protocol, model, folder, summary, found, *by_numpy(found, protocol, model))


def by_numpy(
    found: pd.DataFrame, protocol: str, model: type[LocalizationModel]
) -> tuple[dict[str, Float64], npt.NDArray[np.bool_]]:
    """Both variants of the localization maps by the definitions, and pixels at the very cut.

    All `[R, 224, 224]`. On which side of its map's median such a pixel is, rounding decides.
    """
    released = protocol == "released"
    positive = (found["audio_condition"] == "positive").to_numpy()
    aligned = positive if released else np.zeros(len(found), dtype=bool)
    maps = np.where(
        aligned[:, None, None],
        stretched_out(square(found["similarity_map"]), aligned=True),
        stretched_out(square(found["similarity_map"]), aligned=False),
    )
    unsure = np.zeros(maps.shape, dtype=bool)
    low, high = model.value_range
    if model is Stretched:
        maps = np.stack([to_unit(m) for m in maps])
        middle = np.sort(maps.reshape(len(maps), -1), axis=1)[:, 224 * 224 // 2]
        unsure = np.abs(maps - middle[:, None, None]) < 2e-6
        maps = np.where(maps < middle[:, None, None], 0.0, maps)
        low, high = 0.0, 1.0
    seen = square(found["object_map"])
    if released:
        # the object maps take the positive's rule for every condition (docs/protocols.md, R7)
        mixed = PRIOR_ALPHA * maps + (1 - PRIOR_ALPHA) * stretched_out(seen, aligned=True)
    else:
        own = (maps - low) / (high - low)
        units = np.stack([to_unit(m) for m in seen])
        mixed = PRIOR_ALPHA * own + (1 - PRIOR_ALPHA) * stretched_out(units, aligned=False)
    return {"av": maps, "ogl": mixed}, unsure


def square(rows: Iterable[Any]) -> Float64:
    flat = np.stack(list(rows)).astype(np.float64)
    side = math.isqrt(flat.shape[1])
    return flat.reshape(-1, side, side)


def to_unit(values: Float64) -> Float64:
    return np.asarray((values - values.min()) / np.ptp(values))


def stretched_out(maps: Float64, *, aligned: bool) -> Float64:
    """Bilinear upsampling to 224 x 224 as two products with a matrix of weights."""
    cells, pixels = maps.shape[1], np.arange(224)
    places = pixels * (cells - 1) / 223 if aligned else (pixels + 0.5) * cells / 224 - 0.5
    weights = np.stack([np.interp(places, np.arange(cells), row) for row in np.eye(cells)], axis=1)
    return np.asarray(weights @ maps @ weights.T)


class TestMaps:
    def test_equal_numpy(self, guided: Run) -> None:
        localization = Localization.of(read_provenance(guided.folder / RECORDS_FILE))
        assert localization.variants == ("av", "ogl")
        (rows,) = pq.read_table(guided.folder / RECORDS_FILE).combine_chunks().to_batches()
        found = localization.maps(rows)
        assert sorted(found) == ["av", "ogl"]
        for variant, expected in guided.expected.items():
            largest = max(1.0, np.abs(expected).max())
            sure = ~guided.unsure
            assert sure.mean() > 0.999
            difference = np.abs(found[variant].numpy() - expected)[sure]
            assert difference.max() < 2e-6 * largest, variant


class TestThresholds:
    def test_universal_ones_are_fitted_for_each_variant(self, guided: Run) -> None:
        negative = (guided.records["audio_condition"] != "positive").to_numpy()
        heard = guided.records["audio_condition"][negative].tolist()
        native = guided.records["similarity_max"].to_numpy()[negative].astype(np.float64)
        if guided.model is Stretched:
            native = np.ones_like(native)
        maxima = {"av": native, "ogl": guided.expected["ogl"][negative].max(axis=(1, 2))}
        for variant, values in maxima.items():
            found = guided.thresholds(variant)
            for policy, (statistic, factor) in UNIVERSAL.items():
                expected = formulas.universal_threshold(
                    values, heard, statistic=statistic, factor=factor
                )
                assert found[policy] == pytest.approx([expected], rel=2e-6), (variant, policy)
            for policy, rate in FALSE_ALARMS.items():
                expected = formulas.false_alarm_threshold(values, heard, rate=rate)
                assert found[policy] == pytest.approx([expected], rel=2e-6), (variant, policy)

    def test_none_can_work_where_every_map_is_stretched(self, guided: Run) -> None:
        """As RCGrad's, to [0, 1] each: what negatives reach, nothing is above."""
        if guided.model is not Stretched:
            return
        own = guided.summary[guided.summary["map_variant"] == "av"].set_index("threshold_policy")
        for policy, (_, factor) in UNIVERSAL.items():
            rows = own.loc[policy]
            np.testing.assert_allclose(rows["threshold"], factor, rtol=0, atol=1e-7)
            of_masks = rows["metric"].isin(["ciou", "pia", "success_rate", "f_loc"])
            assert (rows["value"][of_masks] == 0).all()
        # mixed with the object map, some of it shows again
        assert (guided.thresholds("ogl")["universal_max"] < 1).all()

    def test_released_constants_have_no_meaning_on_rescaled_maps(self, guided: Run) -> None:
        released = guided.protocol == "released"
        assert set(guided.thresholds("av")) == OWN_THRESHOLDS | CONSTANTS
        kept = CONSTANTS if released else set()
        assert set(guided.thresholds("ogl")) == OWN_THRESHOLDS | kept
        for variant in ("av", "ogl"):
            found = guided.thresholds(variant)
            assert found["fixed"] == [0.5]
            for policy in CONSTANTS & set(found):
                rule = policy.removeprefix("released_")
                value = {"max": 0.5527, "max10": 0.6080, "q3": 0.6077}[rule]
                assert found[policy] == [np.float32(value)]

    def test_what_is_left_out_is_said(self, guided: Run, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO"):
            fitted = fit_policies([FixedThreshold(), ReleasedThreshold(rule="q3")], guided.folder)
        names = [(each.variant, each.policy.name) for each in fitted]
        assert names[:3] == [("av", "fixed"), ("av", "released_q3"), ("ogl", "fixed")]
        said = "released_q3: left out for object-guided maps" in caplog.text
        assert said == (guided.protocol == "corrected") == (len(names) == 3)


class TestScores:
    def test_every_row_has_both_variants_once(self, guided: Run) -> None:
        scores = guided.scores
        assert not scores.duplicated([*KEY, "map_variant", "threshold_policy"]).any()
        constants = 3 if guided.protocol == "released" else 0
        assert len(scores) == len(guided.records) * (12 + 9 + constants + 2)
        assert len(guided.records) == 6 * 13

    def test_summary_has_both_variants_under_names_of_their_own(self, guided: Run) -> None:
        rows = guided.summary.to_dict("records")
        keys = [summary_key(row) for row in rows]
        assert len(set(keys)) == len(keys)
        by_key = dict(zip(keys, rows, strict=True))
        for key in ("positive/ciou/fixed", "noise/pia/universal_max", "all/f_loc/universal_q3"):
            assert by_key[key]["map_variant"] == "av"
            assert by_key[f"{key}.ogl"]["map_variant"] == "ogl"
        mean = guided.scores.query(
            "map_variant == 'ogl' and threshold_policy == 'fixed' and audio_condition == 'noise'"
        )["pia"].mean()
        assert by_key["noise/pia/fixed.ogl"]["value"] == pytest.approx(mean, abs=1e-12)
        stored = pd.read_parquet(guided.folder / SUMMARY_FILE)
        assert sorted(map(summary_key, stored.to_dict("records"))) == sorted(keys)

    def test_the_table_has_a_row_for_each(
        self, guided: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        announce(guided.folder)
        shown = capsys.readouterr().out
        ogl = guided.summary[guided.summary["map_variant"] == "ogl"]
        value = ogl.query("metric == 'ciou' and condition == 'positive'").set_index(
            "threshold_policy"
        )["value"]["fixed"]
        line = next(line for line in shown.splitlines() if line.startswith(" fixed + OGL 0.5000"))
        assert f" {100 * value:.1f} " in line
        assert " fixed 0.5000 " in shown
        assert " half_image + OGL " in shown
        for policy in UNIVERSAL:
            (threshold,) = guided.thresholds("ogl")[policy]
            assert f" {policy} + OGL {threshold:.4f} " in shown


def test_the_prior_changes_no_map_of_the_model(
    vggss_folder: Path, prior_file: Path, tmp_path: Path
) -> None:
    data = ("data=vggss", f"data.root={vggss_folder}", "threshold=[half_image,universal_q3]")
    plain = run(tmp_path / "plain", *small(Tilted), *data)
    both = run(tmp_path / "both", *small(Tilted), *data, *guided_by(prior_file))
    one, two = (records(tmp_path / name) for name in ("plain", "both"))
    pd.testing.assert_frame_equal(one.drop(columns="object_map"), two.drop(columns="object_map"))
    own = both[both["map_variant"] == "av"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        plain.drop(columns="config_hash"), own.drop(columns="config_hash"), check_dtype=False
    )


def test_a_map_without_bounds_cannot_be_mixed(
    vggss_folder: Path, prior_file: Path, tmp_path: Path
) -> None:
    data = ("data=vggss", f"data.root={vggss_folder}", "negatives=none", "threshold=fixed")
    mixed = (*small(Unbounded), *data, *guided_by(prior_file))
    with pytest.raises(UsageError, match="value_range"):
        run(tmp_path / "corrected", *mixed)
    summary = run(tmp_path / "released", *mixed, "prior.scale=released")
    assert set(summary["map_variant"]) == {"av", "ogl"}


class TestCalibration:
    def test_thresholds_of_both_variants_come_from_it(
        self, vggss_folder: Path, is3_folder: Path, prior_file: Path, tmp_path: Path
    ) -> None:
        data = ("data=vggss", f"data.root={vggss_folder}")
        few = (*DRAWS, "threshold=universal_q3", "metrics=pia")
        both = (*small(Tilted), *few, *guided_by(prior_file))
        fitted = run(tmp_path / "fitted", *both, "data=is3", f"data.root={is3_folder}")
        scored = run(tmp_path / "scored", *both, *data, f"calibration={tmp_path / 'fitted'}")
        thresholds = [
            s.dropna(subset="threshold").groupby("map_variant")["threshold"].unique()
            for s in (fitted, scored)
        ]
        for own in fit_policies(policies_named(["universal_q3"]), tmp_path / "scored"):
            assert thresholds[0][own.variant] == thresholds[1][own.variant]
            assert thresholds[0][own.variant] != own.policy.constant()

    def test_another_prior_is_refused(self, guided: Run) -> None:
        facts = read_provenance(guided.folder / RECORDS_FILE)
        keys = ("model", "protocol_switches", "network_hash", "prior")
        own = {**{key: facts[key] for key in keys}, "weights_sha256": None}
        check_calibration(guided.folder, **own)
        for change in ({"alpha": 0.9}, {"scale": "other"}, {"sha256": "other"}):
            scored = {**own, "prior": {**facts["prior"], **change}}
            with pytest.raises(UsageError, match=r"of another object prior.*the same prior"):
                check_calibration(guided.folder, **scored)
        # maps of the model alone do not depend on it
        check_calibration(guided.folder, **{**own, "prior": None})

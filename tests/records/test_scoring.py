"""Records to scores to summary: every column sample by sample, every number from the columns.

What is expected is recomputed from the records' native maps, one map at a time, by the formulas,
scikit-learn and scipy. Upsampling has tests of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.records import FACTS, MAPS, make_samples, summary_of, write_made
from tests.helpers.running import scoring_settings
from tests.reference import formulas
from vssl.config.build import build_metrics
from vssl.maps import upsample
from vssl.metrics.base import MapMetric, SampleMetric
from vssl.metrics.set_metric import SetMetric
from vssl.negatives.base import AudioCondition
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.schema import NO_THRESHOLD, SUMMARY
from vssl.records.score import AnyMetric, score_records
from vssl.records.store import RecordsError, read_provenance
from vssl.thresholds.base import EACH_MAP, FixedThreshold, ThresholdPolicy
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.thresholds.universal import UniversalThreshold
from vssl.types import POSITIVE, Sample

Array = npt.NDArray[Any]
Cells = npt.NDArray[np.float64]
Pairings = tuple[tuple[str, int], ...]
EVERY = build_metrics(scoring_settings("metrics=all"))
SETTINGS = {"resamples": 40, "seed": 4}
NEGATIVES = ("silence", "noise", "offscreen")


def policies() -> list[ThresholdPolicy]:
    nothing = FixedThreshold(value=9.0, name="nothing")  # what no map exceeds
    return [FixedThreshold(), HalfImage(), nothing, ObjectArea()]


LEVELS: dict[str, Callable[[Array, Array], Any]] = {
    "fixed": lambda localization_map, truth: 0.5,
    "nothing": lambda localization_map, truth: 9.0,
    "half_image": lambda localization_map, truth: np.sort(localization_map, None)[112 * 224],
    "object_area": formulas.object_area_threshold,
}
"""Threshold of each policy, by its definition."""


def mixed_samples() -> list[Sample]:
    """Eight samples, of which three, two, two and one share a picture, not always side by side.

    The second picture has annotators' votes, the last has one object of no extent.
    """
    changes: dict[str, dict[str, Any]] = {
        "picture0_b": {"boxes": ((120, 0, 224, 224),)},
        "picture1_b": {"boxes": ((0, 0, 90, 90), (40, 40, 200, 150)), "box_weights": (0.5, 0.5)},
        "picture2_a": {"image_group": "picture0"},
        "picture3_b": {"boxes": ((10, 120, 200, 220),)},
    }
    return [dataclasses.replace(s, **changes.get(s.sample_id, {})) for s in make_samples()]


def truth_of(sample: Sample) -> Cells:
    return formulas.consensus_map(sample.boxes, sample.box_weights, size=224)


@dataclass(frozen=True)
class Setting:
    """How a run was made."""

    negatives: Sequence[AudioCondition]
    upsampling: Mapping[str, str] = dataclasses.field(default_factory=dict)  # or else half_pixel
    value_range: tuple[float, float] = (0.0, 1.0)
    prior: Mapping[str, Any] | None = None


SETTING = {
    "plain": Setting([Silence(), Noise(draws=2), Offscreen(draws=3)]),
    "corrected": Setting(
        [Silence(), Noise(draws=3), Offscreen(draws=3)],
        value_range=(-1.0, 1.0),
        prior={"alpha": 0.4, "scale": "corrected", "sha256": "s"},
    ),
    # conditions in another order, each upsampled in its own way
    "released": Setting(
        [Offscreen(draws=3), Silence(), Noise(draws=2)],
        upsampling={POSITIVE: "align_corners", "noise": "opencv"},
        prior={"alpha": 0.9, "scale": "released", "sha256": "s"},
    ),
}


@dataclass(frozen=True)
class Made:
    """Records on disk, and what they were made of: maps `[N, K, 7, 7]`, object maps `[N, 5, 5]`."""

    folder: Path
    setting: Setting
    samples: list[Sample]
    pairings: Pairings
    maps: torch.Tensor
    objects: torch.Tensor

    @classmethod
    def write(
        cls, folder: Path, setting: Setting, samples: list[Sample], *, holes: Sequence[Any] = ()
    ) -> Made:
        """Write records: positives see the object half of the time, negatives see anything."""
        count = 1 + sum(condition.draws for condition in setting.negatives)
        generator = np.random.default_rng(2)
        drawn = generator.random((len(samples), count, 7, 7))
        for sample, row in zip(samples, drawn, strict=True):
            seen = truth_of(sample).reshape(7, 32, 7, 32).mean(axis=(1, 3))
            row[0] = 0.4 * row[0] + 0.55 * seen
        low, high = setting.value_range
        maps = (low + (high - low) * drawn).astype(np.float32)
        for hole in holes:
            maps[hole] = np.nan
        objects = (4 * generator.random((len(samples), 5, 5))).astype(np.float32)
        names = [POSITIVE, *(condition.name for condition in setting.negatives)]
        facts = {
            **FACTS, **MAPS, "value_range": list(setting.value_range), "prior": setting.prior,
            "upsampling": {name: setting.upsampling.get(name, "half_pixel") for name in names},
        }  # fmt: skip
        made = write_made(
            folder, samples, negatives=setting.negatives, maps=maps,
            objects=False if setting.prior is None else objects, **facts,
        )  # fmt: skip
        tensors = torch.from_numpy(maps), torch.from_numpy(objects)
        return cls(folder, setting, samples, tuple(made.pairings), *tensors)

    @property
    def variants(self) -> list[str]:
        return ["av"] if self.setting.prior is None else ["av", "ogl"]

    @property
    def names(self) -> list[str]:
        """Conditions, in the order of the run."""
        return list(dict.fromkeys(name for name, _ in self.pairings))

    @property
    def groups(self) -> list[str]:
        return [sample.image_group for sample in self.samples]

    def draws(self, name: str) -> list[int]:
        """Places of a condition's draws among the pairings."""
        return [k for k, (other, _) in enumerate(self.pairings) if other == name]

    @cached_property
    def truths(self) -> list[Cells]:
        return [truth_of(sample) for sample in self.samples]

    @cached_property
    def localization_maps(self) -> dict[str, Array]:
        """By map variant: `[N, K, 224, 224]`."""
        rules = [self.setting.upsampling.get(name, "half_pixel") for name, _ in self.pairings]
        each = [upsample(self.maps[:, k], rule=rule) for k, rule in enumerate(rules)]
        heard = torch.stack(each, dim=1)
        found = {"av": heard.numpy()}
        if self.setting.prior is not None:
            alpha, seen, own = self.setting.prior["alpha"], self.objects, heard
            if self.setting.prior["scale"] == "corrected":
                low, high = seen.amin((1, 2), keepdim=True), seen.amax((1, 2), keepdim=True)
                seen = (seen - low) / (high - low)
                own = (heard + 1) / 2
            seen = upsample(seen, rule=rules[0])[:, None]
            found["ogl"] = (alpha * own + (1 - alpha) * seen).numpy()
        return found

    @cached_property
    def undefined(self) -> npt.NDArray[np.bool_]:
        """Which maps `[N, K]` hold NaN."""
        return self.maps.isnan().any(dim=3).any(dim=2).numpy()

    @cached_property
    def levels(self) -> dict[tuple[str, str], Cells]:
        """Thresholds by map variant and policy, `[N, K]`."""
        return {
            (variant, policy): np.array(
                [
                    [level(one, truth) for one in row]
                    for row, truth in zip(maps, self.truths, strict=True)
                ]
            )
            for variant, maps in self.localization_maps.items()
            for policy, level in LEVELS.items()
        }

    @cached_property
    def masks(self) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
        """By map variant and policy: `[N, K, 224, 224]`."""
        return {
            (variant, policy): self.localization_maps[variant]
            > levels[:, :, None, None].astype(np.float32)
            for (variant, policy), levels in self.levels.items()
        }

    def per_map(self, formula: Callable[..., float], maps: Array) -> Cells:
        """A formula of each map (or mask) and its ground truth `[N, K]`; NaN for maps with NaN."""
        found = [
            [formula(one, truth) for one in row]
            for row, truth in zip(maps, self.truths, strict=True)
        ]
        return np.where(self.undefined, np.nan, found)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Condition whose rows hold a comparison: of two, that of more draws or the later one."""
        for first, second in itertools.combinations(self.names, 2):
            more = len(self.draws(first)) > len(self.draws(second))
            yield (first, second) if more else (second, first)

    def met(self, name: str, partner: str) -> list[tuple[int, int]]:
        """Pairings that are compared: draws of one number, or each with the partner's only one."""
        own, others = self.draws(name), self.draws(partner)
        return list(zip(own, others, strict=False) if len(others) > 1
                    else itertools.product(own, others))  # fmt: skip

    def agreement(self, variant: str, policy: str, partner: str) -> Cells:
        """Agreement with the masks under a partner's sound `[N, K]`; NaN where none is compared."""
        masks, lost = self.masks[variant, policy], self.undefined
        column = np.full(self.undefined.shape, np.nan)
        for name in (own for own, other in self.pairs() if other == partner):
            for k, j in self.met(name, partner):
                for n in np.flatnonzero(~lost[:, k] & ~lost[:, j]):
                    column[n, k] = formulas.mask_agreement(masks[n, k], masks[n, j])
        return column

    def others(self, n: int) -> list[Cells]:
        """Ground truths of the other objects that a sample's picture shows."""
        own = self.samples[n]
        return [
            truth
            for sample, truth in zip(self.samples, self.truths, strict=True)
            if sample.image_group == own.image_group and sample.boxes != own.boxes
        ]

    def swaps(self, variant: str, policy: str) -> list[float | None]:
        """Swap test of each sample's positive; None where the picture shows no other object."""
        masks = self.masks[variant, policy][:, 0]
        return [
            None if not self.others(n) else math.nan if self.undefined[n, 0]
            else formulas.swap_delta(masks[n], self.truths[n], self.others(n))
            for n in range(len(self.samples))
        ]  # fmt: skip

    def column(self, variant: str, policy: str, name: str) -> Cells:
        """What a column of the scores should hold, `[N, K]`."""
        maps = self.localization_maps[variant]
        if name == "map_maximum":
            largest = self.maps if variant == "av" else torch.from_numpy(maps)
            return largest.amax((2, 3)).double().numpy()
        if name == "confidence":
            return self.per_map(lambda one, truth: formulas.confidence(one), maps)
        if name == "pointing_game":
            expected = np.full(self.undefined.shape, np.nan)
            expected[:, :1] = self.per_map(formulas.points_at_object, maps[:, :1])[:, :1]
            return expected
        formula = {"ciou": formulas.consensus_iou, "pia": lambda mask, _: formulas.image_area(mask)}
        return self.per_map(formula[name], self.masks[variant, policy])


class Scored:
    """A scores file and its summary."""

    def __init__(
        self,
        made: Made,
        folder: Path,
        metrics: Sequence[AnyMetric] = EVERY,
        thresholds: Sequence[ThresholdPolicy] = (),
    ) -> None:
        self.made = made
        self.path, output = folder / SCORES_FILE, folder / SUMMARY_FILE
        fitted = fit_policies(thresholds or policies(), made.folder)
        score_records(made.folder, fitted, metrics, output=self.path)
        given: dict[str, Any] = {"output": output, "fitted": fitted, **SETTINGS}
        self.summary = summary_of(made.folder, self.path, metrics, **given)
        self.table = pq.read_table(self.path)
        self._rows = self.table.to_pylist()

    def cells(self, variant: str, policy: str, column: str) -> list[list[float | None]]:
        """A column `[N, K]` of one map variant and policy; None where it is null."""
        key = ("sample_id", "audio_condition", "draw")
        found = {
            tuple(row[name] for name in key): row[column]
            for row in self._rows
            if (row["map_variant"], row["threshold_policy"]) == (variant, policy)
        }
        assert len(found) == self.made.undefined.size
        return [
            [found[sample.sample_id, *pairing] for pairing in self.made.pairings]
            for sample in self.made.samples
        ]

    def values(self, variant: str, policy: str, column: str) -> Cells:
        """The same with NaN for null."""
        return np.array(self.cells(variant, policy, column), dtype=np.float64)

    def row(self, metric: str, condition: str, policy: str, variant: str = "av") -> Any:
        """The one row of the summary for a number."""
        wanted = {"metric": metric, "condition": condition, "threshold_policy": policy,
                  "map_variant": variant}  # fmt: skip
        chosen = (self.summary[list(wanted)] == pd.Series(wanted)).all(axis=1)
        assert chosen.sum() == 1, wanted
        return self.summary[chosen].iloc[0]

    def conditions(self, metric: str, policy: str, variant: str = "av") -> list[str]:
        """Conditions that a metric is reported for."""
        wanted = {"metric": metric, "threshold_policy": policy, "map_variant": variant}
        chosen = (self.summary[list(wanted)] == pd.Series(wanted)).all(axis=1)
        return self.summary[chosen]["condition"].tolist()


# a positive (of a pair), one noise, the last draw of the last negative of two samples
HOLES = [np.s_[1, 0, 2, 2], np.s_[6, 2, 0, 0], np.s_[3:5, -1, 6, 6]]


@pytest.fixture(scope="module", params=SETTING)
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder = tmp_path_factory.mktemp(request.param)
    made = Made.write(folder, SETTING[request.param], mixed_samples(), holes=HOLES)
    return Scored(made, folder)


@pytest.mark.parametrize("column", ["map_maximum", "confidence", "pointing_game", "ciou", "pia"])
def test_columns_equal_brute_force(scored: Scored, column: str) -> None:
    of_masks = column in ("ciou", "pia")
    for variant, policy in itertools.product(scored.made.variants, ["none", *LEVELS]):
        found = scored.values(variant, policy, column)
        if of_masks == (policy != "none"):
            expected = scored.made.column(variant, policy, column)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        else:
            assert np.isnan(found).all()


@pytest.mark.parametrize("policy", LEVELS)
def test_agreement_columns_equal_brute_force(scored: Scored, policy: str) -> None:
    made = scored.made
    partners = {partner for _, partner in made.pairs()}
    columns = {name for name in scored.table.column_names if name.startswith("agreement_")}
    assert columns == {f"agreement_{partner}" for partner in partners}
    for variant, partner in itertools.product(made.variants, partners):
        expected = made.agreement(variant, policy, partner)
        found = scored.values(variant, policy, f"agreement_{partner}")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        if policy == "nothing":
            assert set(found[~np.isnan(found)]) == {1.0}, "both masks are empty"


@pytest.mark.parametrize("policy", LEVELS)
def test_the_swap_test_is_over_samples_whose_picture_shows_another_object(
    scored: Scored, policy: str
) -> None:
    for variant in scored.made.variants:
        positives = [row[0] for row in scored.cells(variant, policy, "swap_delta")]
        expected = scored.made.swaps(variant, policy)
        assert [v is None for v in positives] == [v is None for v in expected]
        assert positives.count(None) == 1
        np.testing.assert_allclose(
            np.array(positives, float), np.array(expected, float), rtol=0, atol=1e-12
        )
        negatives = [row[1:] for row in scored.cells(variant, policy, "swap_delta")]
        assert {value for row in negatives for value in row} == {None}
        assert {v for row in scored.cells(variant, "none", "swap_delta") for v in row} == {None}
        asked = [value for value in expected if value is not None]
        row = scored.row("swap_delta", POSITIVE, policy, variant)
        assert row["value"] == pytest.approx(formulas.mean(np.array(asked)), abs=1e-12)
        assert row["n_undefined"] == np.isnan(asked).sum()
        assert row["n"] + row["n_undefined"] == len(asked) == 7


def test_thresholds_stand_beside_what_was_marked_with_them(scored: Scored) -> None:
    for (variant, policy), levels in scored.made.levels.items():
        # a constant is known without the map
        lost = scored.made.undefined & (policy in ("half_image", "object_area"))
        expected = np.where(lost, np.nan, levels)
        np.testing.assert_array_equal(scored.values(variant, policy, "threshold"), expected)
        assert np.isnan(scored.values(variant, "none", "threshold")).all()


SET_METRICS = [metric for metric in EVERY if isinstance(metric, SetMetric)]


def sets_of(scored: Scored, column_name: str, variant: str, policy: str, condition: str) -> Any:
    """Of each draw: values of positives and which are found, and of negatives; each with images."""
    made = scored.made
    column = scored.values(variant, "none", column_name)
    found = scored.values(variant, policy, "ciou")[:, 0] >= 0.5
    negatives = {POSITIVE: (), "all": NEGATIVES}.get(condition, (condition,))
    several = [len(made.draws(name)) for name in negatives if len(made.draws(name)) > 1]
    images = np.unique(made.groups, return_inverse=True)[1]
    for draw in range(min(several, default=1)):
        places = [made.draws(name)[min(draw, len(made.draws(name)) - 1)] for name in negatives]
        pooled, shown = column[:, places].T.ravel(), np.tile(images, len(places))
        kept, own = ~np.isnan(pooled), ~np.isnan(column[:, 0])
        yield (
            column[own, 0], found[own], pooled[kept], images[own], shown[kept],
        )  # fmt: skip


@functools.cache
def numbers_by_draw(
    scored: Scored, column: str, variant: str, policy: str, condition: str
) -> list[dict[str, float]]:
    """Every number of the sets of each draw."""
    sets = sets_of(scored, column, variant, policy, condition)
    return [formulas.of_a_set(*each[:3]) for each in sets]


def set_conditions(made: Made, metric: SetMetric) -> list[str]:
    return [POSITIVE] if metric.on_positives else [*made.names[1:], "all"]


@pytest.mark.parametrize("metric", SET_METRICS, ids=lambda metric: metric.name)
def test_set_metrics_are_means_over_draws(scored: Scored, metric: SetMetric) -> None:
    made = scored.made
    where = list(LEVELS) if metric.by_threshold else ["none"]
    for variant, policy in itertools.product(made.variants, ["none", *LEVELS]):
        conditions = scored.conditions(metric.name, policy, variant)
        assert sorted(conditions) == sorted(set_conditions(made, metric) if policy in where else [])
        for condition in conditions:
            row = scored.row(metric.name, condition, policy, variant)
            found = numbers_by_draw(scored, metric.column, variant, policy, condition)
            per_draw = [each[metric.name] for each in found]
            assert row["value"] == pytest.approx(np.mean(per_draw), abs=1e-12)
            assert row["draws"] == len(per_draw)
            spread = np.std(per_draw, ddof=1) if len(per_draw) > 1 else math.nan
            assert row["std_over_draws"] == pytest.approx(spread, abs=1e-12, nan_ok=True)
            names = {POSITIVE: (), "all": NEGATIVES}.get(condition, (condition,))
            # of the draws that the number rests on; silence and the positive have but one
            places = [k for name in (POSITIVE, *names) for k in made.draws(name)[: row["draws"]]]
            assert row["n"] == 7
            assert row["n_undefined"] == made.undefined[:, places].sum(), condition
            assert row["higher_is_better"] == metric.higher_is_better


@pytest.mark.parametrize("by_threshold", [False, True])
def test_intervals_of_set_metrics_resample_images(scored: Scored, by_threshold: bool) -> None:
    made, policy = scored.made, "fixed" if by_threshold else "none"
    metrics = [m for m in SET_METRICS if m.by_threshold == by_threshold and not m.on_positives]
    weights = ImageBootstrap(made.groups, **SETTINGS).weights
    sets = list(sets_of(scored, metrics[0].column, "av", policy, "all"))
    resampled: list[list[dict[str, float]]] = []  # by resample and draw
    for times in weights.astype(int):
        resampled.append([])
        for own, found, other, shown, seen in sets:
            drawn = np.repeat(own, times[shown]), np.repeat(found, times[shown])
            resampled[-1].append(formulas.of_a_set(*drawn, np.repeat(other, times[seen])))
    for metric in metrics:
        row = scored.row(metric.name, "all", policy)
        per_draw = [[each[metric.name] for each in draws] for draws in resampled]
        values = np.array([formulas.mean(np.array(draws)) for draws in per_draw])
        dof = formulas.dof_by_influence(values, weights)
        images = len(set(made.groups))
        expected = formulas.logit_interval(row["value"], values, images, metric.bounds, dof)
        ends = [row["ci_low_at_threshold"], row["ci_high_at_threshold"]]
        np.testing.assert_allclose(ends, expected, rtol=0, atol=1e-9, err_msg=metric.name)


@pytest.mark.parametrize("policy", LEVELS)
def test_interactive_metrics_are_over_images(scored: Scored, policy: str) -> None:
    groups = scored.made.groups
    for variant in scored.made.variants:
        ciou = scored.values(variant, policy, "ciou")[:, 0]
        lost = {group for group, value in zip(groups, ciou, strict=True) if math.isnan(value)}
        for name, formula in (
            ("iiou", formulas.interactive_success), ("iauc", formulas.interactive_auc)
        ):  # fmt: skip
            row = scored.row(name, POSITIVE, policy, variant)
            assert row["value"] == pytest.approx(formula(ciou, groups), abs=1e-12)
            assert (row["n"], row["n_undefined"]) == (len(set(groups) - lost), len(lost))


PAIRS = [*itertools.combinations((POSITIVE, *NEGATIVES), 2)]


@pytest.mark.parametrize("policy", ["fixed", "half_image"])
@pytest.mark.parametrize("both", PAIRS, ids="-".join)
def test_agreement_is_reported_for_every_pair(
    scored: Scored, both: tuple[str, str], policy: str
) -> None:
    made = scored.made
    ((name, partner),) = (pair for pair in made.pairs() if set(pair) == set(both))
    shown = "-".join(sorted(both, key=made.names.index))
    places = [k for k, _ in made.met(name, partner)]
    for variant in made.variants:
        values = made.agreement(variant, policy, partner)[:, places]
        row = scored.row("agreement", shown, policy, variant)
        per_draw = [formulas.mean(values[:, d]) for d in range(values.shape[1])]
        assert row["value"] == pytest.approx(np.mean(per_draw), abs=1e-12)
        assert row["n"] == (~np.isnan(values)).any(axis=1).sum()
        assert row["draws"] == len(per_draw)
        assert row["n_undefined"] == np.isnan(values).sum()
        spread = np.std(per_draw, ddof=1) if len(per_draw) > 1 else math.nan
        assert row["std_over_draws"] == pytest.approx(spread, abs=1e-12, nan_ok=True)


def test_the_pointing_game_is_reported_once_and_confidence_never(scored: Scored) -> None:
    for variant in scored.made.variants:
        hits = scored.values(variant, "none", "pointing_game")[:, 0]
        row = scored.row("pointing_game", POSITIVE, "none", variant)
        assert row["value"] == pytest.approx(formulas.mean(hits), abs=1e-12)
        assert (row["n"], row["n_undefined"]) == (6, 2)
    assert "confidence" not in set(scored.summary["metric"])
    assert (scored.summary["metric"] == "pointing_game").sum() == len(scored.made.variants)


def frame(scored: Scored) -> pd.DataFrame:
    """The scores in an order that does not depend on how they were read."""
    table = scored.table.to_pandas()
    labels = table.select_dtypes("category").columns
    key = ["map_variant", "threshold_policy", "sample_id", "audio_condition", "draw"]
    return table.astype(dict.fromkeys(labels, str)).sort_values(key, ignore_index=True)


@pytest.mark.parametrize(("rows", "threads"), [(5, 1), (64, 2)])
def test_threads_and_chunks_do_not_matter(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, threads: int
) -> None:
    # 5 rows hold no sample, 64 end within one; 256, as usual, are more than there are
    monkeypatch.setattr("vssl.records.read._ROWS_READ", rows)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        again = Scored(scored.made, tmp_path)
    finally:
        torch.set_num_threads(before)
    pd.testing.assert_frame_equal(frame(again), frame(scored), check_exact=True)
    pd.testing.assert_frame_equal(again.summary, scored.summary, check_exact=True)


class OwnOracle(ThresholdPolicy):
    """As `ObjectArea`."""

    name = "own_object_area"
    source = EACH_MAP

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        pairs = zip(localization_maps.numpy(), ground_truth.numpy(), strict=True)
        return torch.tensor(
            [
                math.nan if np.isnan(one).any() else formulas.object_area_threshold(one, truth)
                for one, truth in pairs
            ]
        )


class OwnArea(SampleMetric):
    """As `ImageArea`."""

    name = column = "own_pia"
    conditions: ClassVar[tuple[str, ...]] = (POSITIVE, "negatives")
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    higher_is_better = False

    @staticmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        return masks.double().mean(dim=(1, 2))


class OwnConfidence(MapMetric):
    """As `Confidence`, but reported."""

    name = column = "own_confidence"
    conditions: ClassVar[tuple[str, ...]] = (POSITIVE, "negatives")
    higher_is_better = True

    @staticmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        found = [formulas.confidence(each) for each in localization_maps.numpy()]
        return torch.tensor(found, dtype=torch.float64)


def test_a_policy_and_metrics_of_ones_own_give_the_same(scored: Scored, tmp_path: Path) -> None:
    own = Scored(scored.made, tmp_path, [*EVERY, OwnArea(), OwnConfidence()], [OwnOracle()])
    names = [name for name in scored.table.column_names if scored.table.schema.field(name).type
             in ("double", "float")]  # fmt: skip
    assert "threshold" in names
    for variant in scored.made.variants:
        for name in names:
            found = own.cells(variant, "own_object_area", name)
            expected = scored.cells(variant, "object_area", name)
            assert np.array_equal(np.array(found, float), np.array(expected, float), equal_nan=True)
            assert [[v is None for v in row] for row in found] == [
                [v is None for v in row] for row in expected
            ]
        for name, policy in (("pia", "own_object_area"), ("confidence", "none")):
            found = own.values(variant, policy, f"own_{name}")
            expected = own.values(variant, policy, name)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        for condition in own.conditions("pia", "own_object_area", variant):
            mine, theirs = (
                own.row(name, condition, "own_object_area", variant) for name in ("own_pia", "pia")
            )
            for key in ("value", "std_over_draws", "ci_low", "ci_high", "n", "n_undefined"):
                assert mine[key] == pytest.approx(theirs[key], abs=1e-12, nan_ok=True), key
        reported = own.conditions("own_confidence", "none", variant)
        assert sorted(reported) == sorted(own.made.names)


def test_a_set_without_other_objects_has_no_swap_test(tmp_path: Path) -> None:
    # pictures with two samples, but of one object each
    scored = Scored(Made.write(tmp_path, Setting([Silence()]), make_samples()), tmp_path)
    assert scored.table.column("swap_delta").null_count == len(scored.table)
    assert "swap_delta" not in set(scored.summary["metric"])
    assert "iiou" in set(scored.summary["metric"])


def test_a_single_image_has_numbers_but_no_intervals(tmp_path: Path) -> None:
    setting = Setting([Silence(), Noise(draws=2)], prior=SETTING["released"].prior)
    learnt = UniversalThreshold(statistic="mean", name="universal_max")
    made = Made.write(tmp_path, setting, mixed_samples()[:1])
    scored = Scored(made, tmp_path, thresholds=[*policies(), learnt])
    for variant in scored.made.variants:
        column = scored.values(variant, "none", "map_maximum")[0]
        for condition in ("silence", "noise"):
            row = scored.row("auroc", condition, "none", variant)
            places = scored.made.draws(condition)
            hits = [np.sign(column[0] - column[k]) / 2 + 0.5 for k in places]
            assert row["value"] == pytest.approx(np.mean(hits))
            assert (row["n"], row["draws"]) == (1, len(places))
        assert scored.row("iiou", POSITIVE, "fixed", variant)["n"] == 1
    assert scored.summary[["ci_low", "ci_high"]].isna().all(axis=None)
    assert not {"swap_delta"} & set(scored.summary["metric"])


def test_without_negatives_only_positives_are_reported(tmp_path: Path) -> None:
    scored = Scored(Made.write(tmp_path, Setting([]), mixed_samples()), tmp_path)
    assert set(scored.summary["condition"]) == {POSITIVE}
    assert {"alignment", "pointing_game", "swap_delta"} <= set(scored.summary["metric"])
    undefined = {"agreement", "auroc", "separability", "detection_ap", "f_loc"}
    assert not undefined & set(scored.summary["metric"])


def test_numbers_without_any_defined_positive_are_undefined(tmp_path: Path) -> None:
    setting = SETTING["corrected"]
    made = Made.write(tmp_path, setting, mixed_samples(), holes=[np.s_[:, 0, 3, 3]])
    scored = Scored(made, tmp_path)
    summary = scored.summary.set_index(["condition", "metric"])
    for metric in SET_METRICS:
        for condition in set_conditions(made, metric):
            rows = summary.loc[[(condition, metric.name)]]
            assert rows["value"].isna().all()
            assert (rows["n"] == 0).all()
            assert (rows["n_undefined"] == 8).all()
    for name, lost in (("ciou", 8), ("iiou", 4), ("swap_delta", 7), ("pointing_game", 8)):
        rows = summary.loc[[(POSITIVE, name)]]
        assert rows["value"].isna().all()
        assert (rows["n_undefined"] == lost).all()
    assert summary.loc[[("noise", "pia")]]["value"].notna().all()


def test_a_draw_that_is_undefined_throughout_is_left_out(tmp_path: Path) -> None:
    made = Made.write(tmp_path, SETTING["plain"], mixed_samples(), holes=[np.s_[:, -1, 3, 3]])
    scored = Scored(made, tmp_path)
    maximum = made.column("av", "none", "map_maximum")
    places = made.draws("offscreen")[:-1]
    for name in ("auroc", "ap", "fpr95", "overlap", "separability"):
        row = scored.row(name, "offscreen", "none")
        nothing = np.zeros(8, bool)
        expected = [formulas.of_a_set(maximum[:, 0], nothing, maximum[:, k])[name] for k in places]
        assert row["value"] == pytest.approx(np.mean(expected), abs=1e-12)
        assert (row["n"], row["n_undefined"]) == (8, 8)


def of_draws(scored: Scored, name: str, column: str) -> Cells:
    """A column of a condition under the fixed threshold, `[N, D]`."""
    return scored.values("av", "fixed", column)[:, scored.made.draws(name)]


@pytest.mark.parametrize("condition", ["silence", "noise", "offscreen", "all"])
def test_f_scores_combine_draws_and_resamples_of_both_sides(scored: Scored, condition: str) -> None:
    row, names = scored.row("f_loc", condition, "fixed"), [condition]
    names = [*NEGATIVES] if condition == "all" else names
    ciou, pia = of_draws(scored, POSITIVE, "ciou"), {n: of_draws(scored, n, "pia") for n in names}
    # silence has one draw, which meets every draw of the others
    draws = min((values.shape[1] for values in pia.values() if values.shape[1] > 1), default=1)
    assert row["draws"] == draws
    by_draw = [
        formulas.f_loc(
            formulas.mean(ciou),
            {n: formulas.mean(v[:, min(d, v.shape[1] - 1)]) for n, v in pia.items()},
        )
        for d in range(draws)
    ]
    spread = np.std(by_draw, ddof=1) if draws > 1 else math.nan
    assert row["std_over_draws"] == pytest.approx(spread, abs=1e-12, nan_ok=True)
    undefined = sum(np.isnan(values).sum() for values in (ciou, *pia.values()))
    assert (row["n"], row["n_undefined"]) == ((~np.isnan(ciou)).sum(), undefined)

    bootstrap = ImageBootstrap(scored.made.groups, **SETTINGS)

    def resampled(values: Cells) -> Cells:
        return np.asarray(bootstrap.means(bootstrap.totals(values)).mean(axis=1))

    areas = {n: resampled(values) for n, values in pia.items()}
    scores = [
        formulas.f_loc(own, {n: each[b] for n, each in areas.items()})
        for b, own in enumerate(resampled(ciou))
    ]
    expected = formulas.logit_interval(row["value"], np.array(scores), bootstrap.images)
    found = [row["ci_low_at_threshold"], row["ci_high_at_threshold"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_all_stands_for_the_three_negatives_only(tmp_path: Path) -> None:
    setting = Setting([Noise(draws=1), Offscreen(draws=1)])
    scored = Scored(Made.write(tmp_path, setting, mixed_samples()), tmp_path)
    for name in ("f_loc", "f_auc"):
        assert set(scored.conditions(name, "fixed")) == {"noise", "offscreen"}


def test_the_file_holds_the_same_summary(scored: Scored) -> None:
    path = scored.made.folder / SUMMARY_FILE
    table, summary = pq.read_table(path), scored.summary
    assert table.schema.remove_metadata().equals(SUMMARY)
    pd.testing.assert_frame_equal(table.to_pandas(), summary, check_dtype=False)
    # what is undefined is null in the file, so that no reader takes it for a number
    constant = summary["threshold_policy"].isin(["fixed", "nothing"]).to_numpy()
    assert np.array_equal(table.column("threshold").is_valid().to_numpy(), constant)
    sources = summary.groupby("threshold_policy")["threshold_source"].unique().map(list).to_dict()
    assert sources == {
        "none": [NO_THRESHOLD], "half_image": [EACH_MAP], "object_area": [EACH_MAP],
        "fixed": ["constant"], "nothing": ["constant"],
    }  # fmt: skip
    assert read_provenance(path)["model"] == "ezvsl"
    for key, value in FACTS.items():
        assert (summary[key] == value).all()


def test_a_folder_without_records_is_named(scored: Scored, tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"records\.parquet: no such file.*finished run"):
        summary_of(tmp_path, scored.path, EVERY, output=tmp_path / "s")

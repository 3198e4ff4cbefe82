"""Thresholds against the best one of a run, and thresholds learnt on other test sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vssl.analysis.threshold_curves import ThresholdCurves, threshold_curves
from vssl.core.arrays import Array
from vssl.core.errors import UsageError
from vssl.metrics.base import FRACTION
from vssl.records.bootstrap import interval_around
from vssl.records.conditions import true_negatives
from vssl.records.fit import fit_policies, same_scale
from vssl.records.localization import Localization
from vssl.records.refit import interpolated, refit
from vssl.records.scores import Samples
from vssl.records.store import check_records
from vssl.thresholds.base import EACH_MAP, ThresholdError, ThresholdPolicy
from vssl.thresholds.chosen import ChosenThreshold
from vssl.types import POSITIVE

_log = logging.getLogger(__name__)

BEST = "best"
"""Policy of the threshold with the highest F_LOC on the scored run: an oracle."""


@dataclass(frozen=True)
class ThresholdStudy:
    """The study's two tables, fractions.

    Attributes:
        curves: one row per run, map variant and threshold: `run, model, dataset, protocol,
            map_variant, n, coverage, manifest_hash, seed, threshold, metric, condition, value`.
        thresholds: one row per scored run, map variant, policy and run that its threshold is
            learnt from: the same facts, then `condition, threshold_policy, fit_on, in_sample`
            (learnt from the scored run itself), `threshold`; `f_loc, regret, ciou, success_rate`
            each with `_ci_low, _ci_high`; `false_alarm_rate` (largest over the negative types),
            `f_auc, pia`. `regret` is the best F_LOC minus this one; in its interval the best
            threshold is chosen anew in every resample.
    """

    curves: pd.DataFrame
    thresholds: pd.DataFrame


def study_thresholds(
    runs: Sequence[Path],
    policies: Sequence[ThresholdPolicy],
    *,
    points: int = 501,
    resamples: int = 1000,
    seed: int = 0,
) -> ThresholdStudy:
    """F_LOC over the threshold, and every policy's regret, for thresholds learnt on each run.

    A threshold that is learnt is learnt on every given run of the same model, weights, protocol and
    object prior, and applied to all of them.

    Args:
        runs: folders of runs with negatives.
        policies: policies with one threshold for all maps.
        points: evenly spaced thresholds of a curve.
        resamples: bootstrap resamples over images.
        seed: seed of the bootstrap.

    Raises:
        UsageError: for a run without negatives, or a policy whose thresholds differ by map.
        RecordsError: when records cannot be read.
    """
    own = [policy.name for policy in policies if policy.source == EACH_MAP]
    own += [p.name for p in policies if isinstance(p, ChosenThreshold) and p.by_class]
    if own:
        raise UsageError(
            f"threshold {', '.join(own)}: every map has its own, so there is no curve to compare"
            " it with. Choose policies with one threshold, e.g. universal_q3."
        )
    facts = {run: check_records(run) for run in runs}
    for run in runs:
        if not true_negatives(facts[run]):
            raise UsageError(f"{run}: has no negatives, so it has no F_LOC.")
    curves, thresholds = [], []
    for run in runs:
        for variant, learnt in _learnt(run, facts, policies, resamples, seed).items():
            curve = threshold_curves(
                run,
                variant,
                include=[threshold for _, _, threshold, _ in learnt],
                points=points,
                resamples=resamples,
                seed=seed,
            )
            common = facts_of_rows(run, facts[run], variant)
            for (metric, condition), values in curve.values.items():
                columns = {"threshold": curve.thresholds, "metric": metric, "condition": condition}
                curves.append(pd.DataFrame({**common, **columns, "value": values}))
            images = len(set(Samples.of(run).image_groups))
            rows = _threshold_rows(curve, learnt, own=_test_set_name(run, facts), images=images)
            thresholds += [{**common, **row} for row in rows]
    return ThresholdStudy(pd.concat(curves, ignore_index=True), pd.DataFrame(thresholds))


_Learnt = tuple[str, str, float, Array | None]
"""Policy, name of the run that it rests on, threshold, and `[B]` thresholds fitted anew."""


def _learnt(
    run: Path,
    facts: Mapping[Path, Mapping[str, Any]],
    policies: Sequence[ThresholdPolicy],
    resamples: int,
    seed: int,
) -> dict[str, list[_Learnt]]:
    """Thresholds for one run's maps, by map variant."""
    found: dict[str, list[_Learnt]] = {v: [] for v in Localization.of(facts[run]).variants}
    policies = [policy for policy in policies if is_usable(policy, facts[run])]
    for other in facts if policies else ():
        if not same_scale(facts[run], facts[other]):
            continue
        fitted = fit_policies(policies, run, calibration=None if other == run else other)
        anew = refit(fitted, resamples=resamples, seed=seed)
        for each, thresholds in zip(fitted, anew, strict=True):
            value = each.policy.constant()
            is_learnt = each.learnt_from is not None or each.chosen_from is not None
            name = _test_set_name(other, facts) if is_learnt else each.source
            if value is not None and (is_learnt or other == run):
                found[each.variant].append((each.policy.name, name, value, thresholds))
    return found


def facts_of_rows(run: Path, facts: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Columns of a run and map variant; what tells runs apart stands in front."""
    named = {key: facts[key] for key in ("model", "dataset", "protocol")}
    on = {key: facts[key] for key in ("coverage", "manifest_hash", "seed")}
    return {"run": str(run), **named, "map_variant": variant, "n": facts["evaluated"], **on}


def is_usable(policy: ThresholdPolicy, facts: Mapping[str, Any]) -> bool:
    """Whether a run can have a policy, by its provenance; logs why not."""
    try:
        policy.check_model(facts["model"])
        if policy.needs_fit and not true_negatives(facts):
            raise ThresholdError(f"threshold {policy.name} is learnt from negatives: none here")
    except ThresholdError as error:
        _log.info("left out: %s", error)
        return False
    return True


def _test_set_name(run: Path, facts: Mapping[Path, Mapping[str, Any]]) -> str:
    """The run's test set; its folder too where several runs share it."""
    data = str(facts[run]["dataset"])
    same = [f for f in facts.values() if f["dataset"] == data and same_scale(f, facts[run])]
    return data if len(same) == 1 else f"{data} ({run.name})"


def _threshold_rows(
    curve: ThresholdCurves, learnt: Sequence[_Learnt], *, own: str, images: int
) -> list[dict[str, Any]]:
    """Rows of a run and map variant; `own` is the scored run's name in `fit_on`."""
    # F_LOC of 0/0 (nothing found, everything marked) is no candidate for the best
    best = int(np.where(np.isnan(curve.f_loc), -1.0, curve.f_loc).argmax())
    resampled = np.where(np.isnan(curve.resampled["f_loc"]), -1.0, curve.resampled["f_loc"])
    best_resampled = resampled.max(axis=1)
    at_best = curve.thresholds[resampled.argmax(axis=1)].astype(np.float64)
    oracle = (BEST, "this run's own objects", float(curve.thresholds[best]), at_best)
    rows = []
    for policy, source, value, thresholds in (oracle, *learnt):
        place = curve.at(value)
        # resamples at the policy's threshold, fitted anew in each
        anew = {
            name: of_resamples[:, place]
            if thresholds is None
            else interpolated(thresholds, curve.thresholds.astype(float), of_resamples.T)
            for name, of_resamples in curve.resampled.items()
        }
        values = {key: column[place] for key, column in curve.values.items()}
        f_loc, ciou = values["f_loc", curve.condition], values["ciou", POSITIVE]
        numbers = {
            "f_loc": (f_loc, anew["f_loc"]),
            "regret": (curve.f_loc[best] - f_loc, best_resampled - anew["f_loc"]),
            "ciou": (ciou, anew["ciou"]),
            "success_rate": (values["success_rate", POSITIVE], anew["success_rate"]),
        }
        row = {
            "condition": curve.condition,
            "threshold_policy": policy,
            "fit_on": source,
            "in_sample": policy == BEST or source == own,
            "threshold": value,
        }
        for name, (number, of_resamples) in numbers.items():
            low, high = interval_around(float(number), of_resamples, images=images, bounds=FRACTION)
            if policy == BEST and name == "regret":
                low, high = 0.0, 0.0  # by definition
            row |= {name: number, f"{name}_ci_low": low, f"{name}_ci_high": high}
        alarms, areas = (
            [values[metric, name] for name in curve.together]
            for metric in ("false_alarm_rate", "pia")
        )
        row |= {"false_alarm_rate": float(np.max(alarms))}
        row |= {"f_auc": values["f_auc", curve.condition], "pia": float(np.mean(areas))}
        rows.append(row)
    return rows

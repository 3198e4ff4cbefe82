"""The metrics file of the authors' released evaluation, from records.

Source: xavijuanola/vssl_eval e8ebbc9, eval.py and utils_dir/eval_utils.py. Its numbers are computed
as its code computes them, faults included (docs/protocols.md, R9 and R18 to R25): a name is not
always what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Array
from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.metrics.agreement import Agreement
from vssl.metrics.auc import AUC_GRID
from vssl.metrics.ciou import SUCCESS, packed_consensus_iou
from vssl.metrics.fscore import harmonic_mean
from vssl.metrics.pia import ImageArea
from vssl.records.binarize import binarize_at
from vssl.records.bootstrap import smallest_in_group
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import (
    AUDIO_VISUAL,
    MAP_COLUMNS,
    MAP_EXTREMES,
    OBJECT_GUIDED,
    Localization,
)
from vssl.records.read import Chunk, in_threads, run_pairings
from vssl.records.store import read_provenance
from vssl.records.truth import GroundTruth
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.released import RULES, ReleasedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.types import POSITIVE

Lists = dict[tuple[str, ...], Array]
"""Per-sample lists `[N, D]` by what they are of."""

SHARED_THRESHOLDS = ("05", "max", "max10", "maxq3")
"""Thresholds that all maps share."""

OWN_THRESHOLDS = ("median", "adap")
"""Thresholds of the positive map, which the released code takes for its negatives too."""

_POOLED = ("median", *SHARED_THRESHOLDS)
_SUFFIXES = {AUDIO_VISUAL: "", OBJECT_GUIDED: "_OGL"}
_PAIRS = (
    *((POSITIVE, negative) for negative in NEGATIVE_TYPES),
    *(("silence", "noise"), ("silence", "offscreen"), ("noise", "offscreen")),
)
_RELEASED_COLUMNS = ("draw", *MAP_EXTREMES, *MAP_COLUMNS)
_GRID = AUC_GRID.numpy()


def released_metrics(run: Path) -> dict[str, float]:
    """All values of the authors' metrics file, under their names.

    Args:
        run: folder of a run with silence, noise and offscreen audio; with object maps it gives the
            names that end in OGL too. `protocol=released` gives the authors' values.

    Returns:
        Name to value: percentages, but for `*_Heatmap*`, which are in units of the map.

    Raises:
        UsageError: when the run lacks a negative, or its draws differ in number.
        ThresholdError: for a model without released constants.
        RecordsError: when the records cannot be read.
    """
    lists = released_lists(run)
    metrics = _heatmap_numbers(lists)
    for variant, suffix in _SUFFIXES.items():
        if (variant, "ciou", "adap") in lists:
            metrics |= _numbers_on_positives(lists, variant, suffix)
            metrics |= _numbers_on_negatives(lists, variant)
            metrics |= _agreements(lists, variant)
    metrics |= _f_scores(metrics) | _interactive(lists)
    return metrics


def released_lists(run: Path) -> Lists:
    """Compute the per-sample lists behind the released metrics, `[N, D]` each.

    Natural negatives, which the released code does not know, are left out.

    Returns:
        By `(variant, "ciou", threshold)`, `(variant, "pia", condition, threshold)`, `(variant,
        "iou", condition, condition, threshold)`, `("max" or "min", condition)`, and `("group",)`
        `[N, 1]` number of each sample's group. Conditions with one draw have D = 1: the released
        code repeats them.
    """
    path = run / RECORDS_FILE
    provenance = read_provenance(path)
    _check_draws(run, dict.fromkeys(run_pairings(path)))
    constants: list[float] = [FixedThreshold().constant()]
    for rule in RULES:
        policy = ReleasedThreshold(rule=rule)
        policy.check_model(provenance["model"])
        constants.append(policy.constant())
    localization = Localization.of(provenance)
    truth, sounding = GroundTruth.of(run), sounding_objects(provenance)
    if truth.natural.all():
        raise UsageError(f"{run}: export=released needs positives; all are natural negatives.")
    natural = pa.array(truth.natural_ids, pa.string())

    def work(rows: pa.RecordBatch) -> tuple[list[str], Lists]:
        rows = rows.filter(pc.invert(pc.is_in(rows.column("sample_id"), value_set=natural)))
        if not len(rows):
            return [], {}
        chunk = Chunk.of(rows, truth, sounding)
        names = rows.column("sample_id").take(pa.array(chunk.starts)).to_pylist()
        return names, dict(_chunk_lists(chunk, localization, constants))

    names, found = zip(
        *in_threads(work, path, _RELEASED_COLUMNS, description="released metrics"), strict=True
    )
    kept = [each for each in found if each]
    lists = {key: np.concatenate([each[key] for each in kept]) for key in kept[0]}
    # a group is a name without what stands behind its last underscore (docs/protocols.md, R24)
    groups = [name.rsplit("_", 1)[0] for chunk in names for name in chunk]
    lists["group",] = np.unique(groups, return_inverse=True)[1].astype(np.float64)[:, None]
    return lists


def _check_draws(run: Path, pairings: Mapping[tuple[str, int], object]) -> None:
    draws = {name: sum(n == name for n, _ in pairings) for name, _ in pairings}
    missing = [name for name in NEGATIVE_TYPES if name not in draws]
    if missing:
        raise UsageError(
            f"{run}: export=released needs silence, noise and offscreen audio, but the run has no"
            f" {', '.join(missing)}. Evaluate with negatives=all."
        )
    several = {name: n for name, n in draws.items() if n > 1 and name in NEGATIVE_TYPES}
    if len(set(several.values())) > 1:
        text = ", ".join(f"{name} {n}" for name, n in several.items())
        raise UsageError(
            f"{run}: the released code draws noise and offscreen audio equally often, but the run"
            f" has draws: {text}."
        )


def _chunk_lists(
    chunk: Chunk, localization: Localization, constants: list[float]
) -> Iterator[tuple[tuple[str, ...], Array]]:
    """The lists of some samples, by what they are of."""
    rows = {name: chunk.rows_of(name) for name in (POSITIVE, *NEGATIVE_TYPES)}
    for name, place in rows.items():
        for end in ("max", "min"):
            values = chunk.rows.column(f"similarity_{end}").to_numpy().astype(np.float64)
            yield (end, name), values[place]
    positives = chunk.rows.take(pa.array(rows[POSITIVE][:, 0]))
    for variant in localization.variants:
        maps = localization.maps(positives, (variant,))[variant]
        own = [p.threshold(maps, chunk.ground_truth).numpy() for p in (HalfImage(), ObjectArea())]
        shared = np.repeat(np.array(constants, np.float32)[:, None], len(chunk.rows), axis=1)
        levels = np.concatenate([shared, np.stack(own)[:, chunk.sample]])
        found = binarize_at(localization, chunk.rows, variant, levels).masks
        count = len(chunk.rows)
        for number, threshold in enumerate((*SHARED_THRESHOLDS, *OWN_THRESHOLDS)):
            marked = found[number * count : (number + 1) * count]
            ciou = packed_consensus_iou(marked[rows[POSITIVE][:, 0]], chunk.truths)
            yield (variant, "ciou", threshold), ciou[:, None]
            pia = ImageArea.measure_packed(marked, chunk.truth)
            for name in NEGATIVE_TYPES:
                yield (variant, "pia", name, threshold), pia[rows[name]]
            for one, other in _PAIRS:
                first, second = np.broadcast_arrays(rows[one], rows[other])
                pairs = first.ravel().copy(), second.ravel().copy()
                iou = Agreement.measure_packed(marked, *pairs).reshape(first.shape)
                yield (variant, "iou", one, other, threshold), iou


def _percentage(values: Array) -> float:
    return float(100 * values.mean())


def _success_share(values: Array) -> float:
    """Share of successes; undefined values are failures."""
    return float(100 * np.mean(values >= SUCCESS))


def _area(values: Array) -> float:
    """Area under the success curve; undefined values are failures, at 0 too."""
    curve = [np.mean(values >= level) for level in _GRID]
    return float(100 * np.trapezoid(curve, _GRID))


def _heatmap_numbers(lists: Lists) -> dict[str, float]:
    metrics = {}
    for name in (POSITIVE, *NEGATIVE_TYPES):
        behind = "" if name == POSITIVE else f"_{name.capitalize()}"
        for end in ("max", "min"):
            values, title = lists[end, name], end.capitalize()
            metrics[f"{title}_Heatmap{behind}"] = float(values.mean())
            metrics[f"Median_{title}_Heatmap{behind}"] = float(np.median(values))
    return metrics


def _numbers_on_positives(lists: Lists, variant: str, suffix: str) -> dict[str, float]:
    """CIoU and AUC: pooled over five thresholds, and at each of the others."""
    pooled = np.concatenate([lists[variant, "ciou", threshold] for threshold in _POOLED])
    adaptive = lists[variant, "ciou", "adap"]
    metrics = {
        f"CIoU{suffix}": _success_share(pooled),
        f"AUC{suffix}": _area(pooled),
        f"CIoU_adap{suffix}": _success_share(adaptive),
        f"AUC_adap{suffix}": _area(adaptive),
    }
    for threshold in SHARED_THRESHOLDS:
        values = lists[variant, "ciou", threshold]
        # 0/0 counts as 0 here, but not in the lists of object-guided maps (docs/protocols.md, R20)
        values = np.nan_to_num(values) if variant == AUDIO_VISUAL else values
        metrics[f"CIoU_{threshold}{suffix}"] = _percentage(values)
        metrics[f"AUC_{threshold}{suffix}"] = _area(values)
    return metrics


def _numbers_on_negatives(lists: Lists, variant: str) -> dict[str, float]:
    """PIA and the area of its share ("AOC"), by negative type and threshold."""
    metrics = {}
    suffix = _SUFFIXES[variant]
    behind = {"05": "", "median": "_ThrCIoU", "adap": "_ThrCIoU_Adap"}
    behind |= {"max": "_Max", "max10": "_Max10", "maxq3": "_MaxQ3"}
    for condition in NEGATIVE_TYPES:
        for threshold, text in behind.items():
            values = lists[variant, "pia", condition, threshold]
            name = "OffScreen" if condition == "offscreen" else condition.capitalize()
            pia = _MISSPELT.get(f"pIA_{name}{text}{suffix}", f"pIA_{name}{text}{suffix}")
            metrics[pia] = _percentage(values)
            if condition == "offscreen" and threshold in ("05", *OWN_THRESHOLDS):
                name = "Offscreen"
            curve = [np.mean(values <= level) for level in _GRID]
            metrics[f"AOC_{name}{text}{suffix}"] = float(100 * np.trapezoid(curve, _GRID))
    return metrics


_MISSPELT = {
    "pIA_Noise_OGL": "pIA_Noise_OG_OGLL_OGL",
    "pIA_OffScreen_ThrCIoU_Adap": "pIA_OffScreem_ThrCIoU_Adap",
}


def _agreements(lists: Lists, variant: str) -> dict[str, float]:
    """IoU of masks under two sounds; for object-guided maps at two thresholds only."""
    behind = {"05": "", "adap": "_Adap"}
    if variant == AUDIO_VISUAL:
        behind |= {"max": "_Max", "max10": "_Max_10", "maxq3": "_Max_Q3"}
    end = "_WOGL" if variant == AUDIO_VISUAL else "_OGL"
    metrics = {}
    for one, other in _PAIRS:
        first = "Pos" if one == POSITIVE else one.capitalize()
        for threshold, text in behind.items():
            values = lists[variant, "iou", one, other, threshold]
            metrics[f"IoU_{first}_{other.capitalize()}{text}{end}"] = _percentage(values)
    return metrics


def _f_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """Harmonic means of positives and negatives at the threshold "maxq3", without object maps."""
    titles = ("Silence", "Noise", "OffScreen")
    empty = {name: 100 - metrics[f"pIA_{name}_MaxQ3"] for name in titles}
    areas = {name: metrics[f"AOC_{name}_MaxQ3"] for name in titles}
    scores = {}
    for title, positive, negatives in (
        ("F_Pos", metrics["CIoU_maxq3"], empty),
        ("F_AUC_AOC_Pos", metrics["AUC_maxq3"], areas),
    ):
        everything = {"Neg": float(np.mean(list(negatives.values()))), **negatives}
        for name, value in everything.items():
            scores[f"{title}_{name}"] = float(harmonic_mean(np.array(positive), np.array(value)))
    return scores


def _interactive(lists: Lists) -> dict[str, float]:
    """Share of groups all of whose samples succeed, at the positive's own adaptive threshold."""
    group = lists["group",][:, 0].astype(np.int64)
    smallest = smallest_in_group(lists[AUDIO_VISUAL, "ciou", "adap"], group)
    if np.isnan(smallest).any():  # an undefined value makes both undefined (docs/protocols.md, R20)
        return {"iiou_adap": float("nan"), "IAUC_adap": float("nan")}
    return {"iiou_adap": _success_share(smallest), "IAUC_adap": _area(smallest)}

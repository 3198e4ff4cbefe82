"""Reasons why runs cannot, or should not, be compared with each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.analysis.compare import ComparedRun, common_samples
from vssl.metrics.base import CombinedMetric, PairMetric
from vssl.negatives.manifest import common_rows, read_manifest
from vssl.negatives.silence import Silence
from vssl.records.conditions import condition_settings
from vssl.records.files import MANIFEST_FILE
from vssl.records.schema import NO_POLICY, pair_column
from vssl.records.score import AnyMetric
from vssl.records.set_numbers import needed_columns
from vssl.records.truth import GroundTruth
from vssl.types import POSITIVE


def lacks(
    run: ComparedRun, metrics: Sequence[AnyMetric], thresholds: Sequence[str], variant: str
) -> Iterator[str]:
    """List why a run cannot be compared, with the command that helps."""
    variants = list(dict.fromkeys(variant for variant, _ in run.parts))
    if variant not in variants:
        yield (
            f"has no map variant {variant}, but {', '.join(variants)}; ogl is there after"
            " vssl-evaluate with prior=object_guided"
        )
        return
    there = [policy for of, policy in run.parts if of == variant and policy != NO_POLICY]
    for policy in thresholds:
        if (variant, policy) not in run.parts:
            yield (
                f"has no scores under threshold {policy}, but under {', '.join(there)};"
                f" vssl-rescore run={run.folder} threshold={policy} adds them"
            )
    columns = run.scores.columns
    absent = []
    for metric in metrics:
        if isinstance(metric, PairMetric):  # one column for each other condition
            measured = any(name.startswith(pair_column(metric.column, "")) for name in columns)
        else:
            measured = isinstance(metric, CombinedMetric) or needed_columns(metric) <= set(columns)
        if not measured:
            absent.append(metric.name)
    if absent:
        yield (
            f"has no scores for {', '.join(absent)}; vssl-rescore run={run.folder} threshold=all"
            " metrics=all adds them"
        )


def departures(
    reference: ComparedRun, run: ComparedRun, thresholds: Sequence[str], variant: str
) -> Iterator[str]:
    """List why a run should not be compared with the reference; another model is no reason."""
    first, own = reference.facts, run.facts
    common = common_samples([reference, run])
    if first["dataset"] != own["dataset"]:
        yield f"other data set: {own['dataset']} (reference: {first['dataset']})"
    truths = [GroundTruth.of(each.folder) for each in (reference, run)]
    pairs = zip(*(truth.objects(common) for truth in truths), strict=True)
    differ = np.array([known != other for known, other in pairs], bool)
    differ |= np.not_equal(*(truth.natural[truth.rows(common)] for truth in truths))
    if differ.any():
        yield f"other ground truth: of {differ.sum()} of the {len(common)} common samples"
    yield from _other_negatives(reference, run, common)
    changed = _changed(first["protocol_switches"], own["protocol_switches"])
    if changed:
        yield f"other protocol: {changed}"
    for policy in thresholds:
        one, two = (r.parts.get((variant, policy)) for r in (reference, run))
        if one is None or two is None:
            continue
        # the runs behind two models' thresholds differ, if only by the model
        sources = {
            re.sub(r", run \w+\)$", ", another run)", p.threshold_source) for p in (one, two)
        }
        values = [r.scores.threshold(p) for r, p in ((run, two), (reference, one))]
        if len(sources) > 1:
            yield (
                f"other calibration of threshold {policy}: {two.threshold_source}"
                f" (reference: {one.threshold_source})"
            )
        elif sources == {"constant"} and values[0] != values[1]:
            yield f"other threshold {policy}: {values[0]:g} (reference: {values[1]:g})"


def _other_negatives(
    reference: ComparedRun, run: ComparedRun, common: Sequence[str]
) -> Iterator[str]:
    """Differences of the negatives of two runs on their common samples."""
    first, own = reference.facts, run.facts
    one, two = (
        Counter(name for name, _ in facts["pairings"] if name != POSITIVE) for facts in (first, own)
    )
    if one != two:
        texts = [", ".join(f"{name} x {n}" for name, n in c.items()) or "none" for c in (two, one)]
        yield f"other negatives: {texts[0]} (reference: {texts[1]})"
    both = one.keys() & two.keys()
    changed = _changed(*(
        {f"{name}.{key}": value for name, options in condition_settings(facts).items()
         if name in both for key, value in options.items() if key != "draws"}
        for facts in (first, own)
    ))  # fmt: skip
    if changed:
        yield f"other negatives: {changed}"
    if first["negatives_manifest_sha256"] != own["negatives_manifest_sha256"]:
        one, two = common_rows(*(_random_choices(each, common) for each in (reference, run)))
        sounds = "audio_source_id"
        other = pc.or_(
            pc.not_equal(one[sounds], two[sounds]),
            pc.and_(pc.equal(one[sounds], ""), pc.not_equal(one["seed"], two["seed"])),
        )
        samples = one.filter(other)["sample_id"].unique()
        if len(samples):
            yield (
                f"other negatives: drawn otherwise for {len(samples)} of the {len(common)} common"
                f" samples; vssl-evaluate negatives.manifest={reference.folder / MANIFEST_FILE}"
                " replays the reference's"
            )


def _random_choices(run: ComparedRun, samples: Sequence[str]) -> pa.Table:
    """Rows of a run's manifest on these samples, without silence."""
    manifest = read_manifest(run.folder / MANIFEST_FILE)
    known = pc.is_in(manifest["sample_id"], pa.array(samples, pa.string()))
    return manifest.filter(pc.and_(known, pc.not_equal(manifest["condition"], Silence.name)))


def _changed(first: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Describe the entries that differ."""
    names = [name for name in {**first, **own} if first.get(name) != own.get(name)]
    return ", ".join(f"{n}={own.get(n)} (reference: {first.get(n)})" for n in names)

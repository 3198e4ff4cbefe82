"""Threshold policies fitted on records: on the run that is scored, or on a calibration run.

Negatives are the audio conditions under which nothing in the picture sounds. The own sounds of
natural negatives are not among them: other test sets have none, and thresholds must be comparable.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Array
from vssl.records.binarize import maps_by_sample
from vssl.records.chosen import Coverage, coverage_of
from vssl.records.conditions import no_negatives
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import (
    AUDIO_VISUAL,
    MAP_COLUMNS,
    MAP_EXTREMES,
    OBJECT_GUIDED,
    Localization,
)
from vssl.records.read import in_threads
from vssl.records.sounds import shared_sounds
from vssl.records.store import Labels, check_records, read_columns, read_provenance
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.thresholds.chosen import BY_CLASS, CHOSEN_ON, ChosenThreshold
from vssl.thresholds.universal import LearntThreshold

_log = logging.getLogger(__name__)
_LABELS = ("audio_condition", "image_group", "audio_source_id")


@dataclass(frozen=True)
class FittedPolicy:
    """A fitted threshold policy of one map variant."""

    policy: ThresholdPolicy
    source: str  # origin of its threshold, in words, e.g. `fit on vggss`
    variant: str = AUDIO_VISUAL
    learnt_from: NegativeMaxima | None = None  # None if it needs no fit
    chosen_from: Coverage | None = None  # None if it is not chosen by ground truth
    by_class: Mapping[str, ThresholdPolicy] | None = None  # where each class has its own

    def of_class(self, category: str) -> ThresholdPolicy:
        """Policy of the samples of a class.

        Raises:
            ThresholdError: when the class has no threshold.
        """
        if self.by_class is None:
            return self.policy
        if category not in self.by_class:
            raise ThresholdError(
                f"threshold {self.policy.name} is chosen for each class, but {self.source} there is"
                f" no positive of the class {category}."
            )
        return self.by_class[category]


@dataclass(frozen=True)
class NegativeMaxima:
    """Largest values of the maps of a run's R negatives, with the images and sounds behind them."""

    value: Array  # NaN for a map that holds NaN
    condition: Labels
    image: Labels  # name of the picture
    sounds: Mapping[str, Labels]  # see `records.sounds.shared_sounds`
    own: bool  # whether they are of the run that is scored


def fit_policies(
    policies: Sequence[ThresholdPolicy], run: Path, *, calibration: Path | None = None
) -> list[FittedPolicy]:
    """Fit threshold policies for each map variant of the run that will be scored.

    They are fitted on the negatives of the run `calibration`, or chosen by the ground truth of its
    positives; None for the scored run itself.

    Raises:
        ThresholdError: when one cannot be fitted, does not exist for the model, or the calibration
            run is another model's.
        RecordsError: when a run's records cannot be read.
    """
    scored = read_provenance(run / RECORDS_FILE)
    for policy in policies:
        policy.check_model(scored["model"])
    facts, learnt_on, own = scored, calibration or run, calibration is None
    if any(policy.needs_fit or isinstance(policy, ChosenThreshold) for policy in policies):
        facts = scored if own else check_calibration(learnt_on, **_scale_facts(scored))
    fitted = []
    for variant in Localization.of(scored).variants:
        # maps that were rescaled have other units than the model's own
        rescaled = variant == OBJECT_GUIDED and scored["prior"]["scale"] == "corrected"
        usable = []
        for policy in policies:
            if rescaled and policy.in_map_units:
                _log.info(
                    "threshold %s: left out for object-guided maps, it is in units of the model's"
                    " own map",
                    policy.name,
                )
            else:
                usable.append(copy.deepcopy(policy))
        source, maxima = "", None
        if learning := [policy for policy in usable if policy.needs_fit]:
            source, maxima = _fit(learning, learnt_on, facts, variant, own)
        for policy in usable:
            if isinstance(policy, ChosenThreshold):
                if (chosen := _choose(policy, learnt_on, facts, variant, own)) is not None:
                    fitted.append(chosen)
            elif policy.needs_fit:
                fitted.append(FittedPolicy(policy, source, variant, maxima))
            else:
                fitted.append(FittedPolicy(policy, policy.source, variant))
    return fitted


def _choose(
    policy: ChosenThreshold, run: Path, facts: dict[str, Any], variant: str, own: bool
) -> FittedPolicy | None:
    """Choose a threshold on a run's positives; None for object-guided maps without a range."""
    source = policy.source
    if not own:
        source = f"{CHOSEN_ON} {facts['dataset']}, run {facts['config_hash'][:8]}"
        source += BY_CLASS if policy.by_class else ""
    bounds = Localization.of(facts).range_of(variant)
    if policy.within == "declared" and not np.isfinite(bounds).all():
        reason = (
            f"threshold {policy.name} lies in the range of the maps, but {facts['model']} declares"
            f" none for maps `{variant}`"
        )
        if variant == AUDIO_VISUAL:
            raise ThresholdError(f"{reason}. Set value_range in the model.")
        _log.info("left out: %s", reason)
        return None
    coverage = coverage_of(run, facts, variant, policy, own=own)
    if not policy.by_class:
        coverage.choose(policy)
        return FittedPolicy(policy, source, variant, chosen_from=coverage)
    by_class: dict[str, ThresholdPolicy] = {}
    for name in coverage.groups:
        by_class[name] = of_class = copy.deepcopy(policy)
        coverage.choose(of_class, name)
    return FittedPolicy(policy, source, variant, chosen_from=coverage, by_class=by_class)


def check_calibration(calibration: Path, **scored: Any) -> dict[str, Any]:
    """Check that universal thresholds of a run may be applied to another; return its provenance.

    Args:
        calibration: folder of the run with the thresholds.
        scored: `model`, `weights_sha256`, `protocol_switches`, `network_hash` and `prior` of the
            other run.

    Raises:
        RecordsError: when the calibration run's records cannot be read.
        ThresholdError: when model, weights, protocol, object prior, front end, image size or
            precision differ from those of the scored run.
    """
    facts = check_records(calibration)
    if reason := _other_scale(facts, scored):
        raise ThresholdError(f"calibration={calibration} {reason}")
    return facts


def same_scale(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether thresholds of two runs have the same unit, from their provenance."""
    return not _other_scale(one, _scale_facts(other)) and not _other_scale(other, _scale_facts(one))


def _scale_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that set the unit of a run's maps, see `check_calibration`."""
    keys = ("model", "protocol_switches", "network_hash", "prior")
    sha256 = (facts["weights"] or {}).get("sha256")
    return {**{key: facts[key] for key in keys}, "weights_sha256": sha256}


def _other_scale(source: Mapping[str, Any], scored: Mapping[str, Any]) -> str:
    """Reason why a threshold of one run has no meaning for another; empty if it has."""
    own, model = _scale_facts(source), scored["model"]
    if own["model"] != model:
        return (
            f"is a run of {own['model']}, but {model} is scored; a universal threshold is in units"
            " of one model's map."
        )
    reasons = {
        "weights_sha256": f"is a run of {model} with other weights than those scored.",
        "protocol_switches": (
            f"was run under protocol {source.get('protocol')} with other switches than those"
            " scored."
        ),
        "network_hash": (
            f"is a run of {model} with another front end, image size, argument or precision than"
            " those scored."
        ),
    }
    for key, reason in reasons.items():
        if own[key] != scored[key]:
            return reason
    prior, other = scored["prior"], own["prior"] or {}
    if prior and any(prior.get(key) != other.get(key) for key in ("alpha", "scale", "sha256")):
        return (
            "has no object maps, or of another object prior than the scored run. Evaluate it with"
            " the same prior."
        )
    return ""


def _fit(
    policies: Sequence[ThresholdPolicy], run: Path, facts: dict[str, Any], variant: str, own: bool
) -> tuple[str, NegativeMaxima]:
    """Fit policies on a run's negatives; return their source in words, and the maxima."""
    maxima = negative_maxima(run, facts, variant, own=own)
    by_type = {name: maxima.value[rows] for name, rows in maxima.condition.rows().items()}
    for policy in policies:
        if isinstance(policy, LearntThreshold):
            policy.fit_types(by_type)
        else:
            policy.fit(maxima.value, maxima.condition[:])
    unfit = int((~np.isfinite(maxima.value)).sum())
    if unfit:
        names = ", ".join(policy.name for policy in policies)
        _log.warning("threshold %s: left out %d maps that hold NaN", names, unfit)
    which = "" if own else f", run {facts['config_hash'][:8]}"
    return f"fit on {facts['dataset']} ({'+'.join(by_type)}{which})", maxima


def negative_maxima(
    run: Path, facts: dict[str, Any], variant: str, *, own: bool = True
) -> NegativeMaxima:
    """Read the largest values of the maps of a run's negatives.

    For the variant `av` these are maxima of native similarity maps, for `ogl` of upsampled mixes.
    """
    guided, localization = variant == OBJECT_GUIDED, Localization.of(facts)
    path, others = run / RECORDS_FILE, no_negatives(facts)
    columns = ("draw", *_LABELS, *(() if guided else MAP_EXTREMES))
    negative = ~pc.field("audio_condition").isin(others)
    table = read_columns(path, columns, negative, labels=_LABELS)
    condition, image, source = (Labels.of(table.column(name)) for name in _LABELS)

    def of_mixes(rows: pa.RecordBatch) -> Array:
        each = maps_by_sample(localization, rows, [OBJECT_GUIDED]) if len(rows) else ()
        maxima = [maps[OBJECT_GUIDED].amax(dim=(1, 2)).double().numpy() for _, maps in each]
        return np.concatenate([np.empty(0), *maxima])

    if guided:
        parts = in_threads(
            of_mixes, path, MAP_COLUMNS, description="fitting thresholds", without=others
        )
        value = np.concatenate([np.empty(0), *parts])
    else:
        value = localization.native_maxima(table)
    draw = table.column("draw").to_numpy()
    sounds = shared_sounds(facts, condition, draw, source, image)
    return NegativeMaxima(value, condition, image, sounds, own)

"""Threshold policies fitted on records: on a run's own negatives, or on a calibration run's.

Negatives are the audio conditions under which nothing in the picture sounds.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vssl.records.binarize import guided_maxima
from vssl.records.chunks import in_threads
from vssl.records.conditions import no_negatives, without_conditions
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, OBJECT_GUIDED, Localization
from vssl.records.store import check_records, read_provenance
from vssl.thresholds.base import ThresholdError, ThresholdPolicy

_log = logging.getLogger(__name__)
_EXTREMES = ("similarity_max", "similarity_min")


@dataclass(frozen=True)
class FittedPolicy:
    """A threshold policy that is ready for use.

    Attributes:
        policy: the policy.
        source: what its threshold rests on, in words, e.g. `fit on vggss`.
        variant: the map variant that it is for.
    """

    policy: ThresholdPolicy
    source: str
    variant: str = AUDIO_VISUAL


def fit_policies(
    policies: Sequence[ThresholdPolicy], run: Path, *, calibration: Path | None = None
) -> list[FittedPolicy]:
    """Fit threshold policies on a run's negatives, for each map variant that the run has.

    Args:
        policies: what to fit.
        run: folder of the run that will be scored.
        calibration: folder of the run to fit on; None fits on the scored run itself.

    Returns:
        The policies with what they rest on.

    Raises:
        ThresholdError: when one cannot be fitted, does not exist for the model, or the calibration
            run is another model's.
        RecordsError: when a run's records cannot be read.
    """
    scored = read_provenance(run / RECORDS_FILE)
    for policy in policies:
        policy.check_model(scored["model"])
    fitted = []
    for variant in Localization.of(scored).variants:
        usable = [copy.deepcopy(p) for p in policies if _has_meaning(p, variant, scored)]
        learning = [policy for policy in usable if policy.needs_fit]
        source = _fit(learning, run, scored, calibration, variant) if learning else ""
        fitted += [FittedPolicy(p, source if p.needs_fit else p.source, variant) for p in usable]
    return fitted


def _has_meaning(policy: ThresholdPolicy, variant: str, scored: dict[str, Any]) -> bool:
    """Whether a policy has a meaning for a map variant; where not, that is said."""
    if variant == OBJECT_GUIDED and policy.in_map_units and scored["prior"]["scale"] == "corrected":
        _log.info(
            "threshold %s: left out for object-guided maps, it is in units of the model's own map",
            policy.name,
        )
        return False
    return True


def check_calibration(
    calibration: Path,
    *,
    model: str,
    weights_sha256: str | None,
    protocol_switches: Mapping[str, Any],
    prior: Mapping[str, Any] | None,
    network_hash: str,
) -> dict[str, Any]:
    """Check that universal thresholds of one run may be applied to another; its provenance.

    Raises:
        RecordsError: when the calibration run's records cannot be read.
        ThresholdError: when it is a run of another model, other weights, another protocol, object
            prior, front end, image size or precision than the scored one.
    """
    facts = check_records(calibration)
    if facts["model"] != model:
        raise ThresholdError(
            f"calibration={calibration} is a run of {facts['model']}, but {model} is scored; a"
            " universal threshold is in units of one model's map."
        )
    if (facts["weights"] or {}).get("sha256") != weights_sha256:
        raise ThresholdError(
            f"calibration={calibration} is a run of {model} with other weights than those scored."
        )
    if facts["protocol_switches"] != protocol_switches:
        raise ThresholdError(
            f"calibration={calibration} was run under protocol {facts['protocol']} with other"
            " switches than those scored."
        )
    if facts["network_hash"] != network_hash:
        raise ThresholdError(
            f"calibration={calibration} is a run of {model} with another front end, image size,"
            " argument or precision than those scored."
        )
    if prior is not None and _known(facts["prior"]) != _known(prior):
        raise ThresholdError(
            f"calibration={calibration} has no object maps, or of another object prior than the"
            " scored run. Evaluate it with the same prior."
        )
    return facts


def _known(prior: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if prior is None:
        return None
    return {key: prior[key] for key in ("alpha", "scale", "sha256")}


def _fit(
    policies: Sequence[ThresholdPolicy],
    run: Path,
    scored: dict[str, Any],
    calibration: Path | None,
    variant: str,
) -> str:
    """Fit policies on one run's negatives; what they rest on, in words."""
    facts = scored
    if calibration is not None:
        facts = check_calibration(
            calibration,
            model=scored["model"],
            weights_sha256=(scored["weights"] or {}).get("sha256"),
            protocol_switches=scored["protocol_switches"],
            prior=scored["prior"],
            network_hash=scored["network_hash"],
        )
    records = (calibration or run) / RECORDS_FILE
    maxima, condition = _maxima(records, Localization.of(facts), no_negatives(facts), variant)
    for policy in policies:
        policy.fit(maxima, condition)
    unfit = int((~np.isfinite(maxima)).sum())
    if unfit:
        names = ", ".join(policy.name for policy in policies)
        _log.warning("threshold %s: left out %d maps that hold NaN", names, unfit)
    types = "+".join(dict.fromkeys(condition))
    own = "" if calibration is None else f", run {facts['config_hash'][:8]}"
    return f"fit on {facts['dataset']} ({types}{own})"


def _maxima(
    records: Path, localization: Localization, others: Sequence[str], variant: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Largest value of each negative's map `[R]`, and the negative's audio condition.

    Negatives are all records but those of `others`.
    """
    guided = variant == OBJECT_GUIDED

    def of_negatives(chunk: pa.RecordBatch) -> tuple[npt.NDArray[np.float64], list[str]]:
        rows = without_conditions(chunk, others)
        if not len(rows):
            return np.empty(0), []
        found = guided_maxima(localization, rows) if guided else localization.native_maxima(rows)
        return found, rows.column("audio_condition").to_pylist()

    columns = ("audio_condition", *(MAP_COLUMNS if guided else _EXTREMES))
    found = list(in_threads(of_negatives, records, columns, description="fitting thresholds"))
    maxima = np.concatenate([np.empty(0), *(values for values, _ in found)])
    return maxima, np.array([name for _, names in found for name in names], dtype=str)

"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from vssl.maps import binarize, consensus_map, transformed_maximum
from vssl.metrics.base import SampleMetric
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, OBJECT_GUIDED, Localization
from vssl.records.schema import scores_schema
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.types import POSITIVE

_log = logging.getLogger(__name__)
_SCORED_COLUMNS = ("sample_id", "draw", "boxes", "box_weights", *MAP_COLUMNS)
_MAPS_AT_ONCE = 64  # 13 MB of localization maps: the working set stays in the cache


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
    facts = read_provenance(calibration / RECORDS_FILE)
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
    maxima, condition = _maxima(records, Localization.of(facts), variant)
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
    records: Path, localization: Localization, variant: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Largest value of each negative's map `[R]`, and the negative's audio condition.

    Of the native similarity map; of the upsampled map for `ogl`, whose two parts have no native
    size in common.
    """
    if variant == AUDIO_VISUAL:
        columns = ["audio_condition", "similarity_max", "similarity_min"]
        negative = pc.field("audio_condition") != POSITIVE
        table = pq.read_table(records, columns=columns, filters=negative)
        high, low = (torch.from_numpy(table.column(c).to_numpy().copy()) for c in columns[1:])
        maxima = transformed_maximum(high, low, localization.transform)
        return maxima.double().numpy(), table.column(0).to_numpy().astype(str)
    found, conditions = [], []
    for chunk in _chunks(records, MAP_COLUMNS):
        rows = chunk.filter(pc.not_equal(chunk.column("audio_condition"), POSITIVE))
        if len(rows):
            found.append(localization.maps(rows)[variant].amax(dim=(1, 2)).double().numpy())
            conditions += rows.column("audio_condition").to_pylist()
    return np.concatenate([np.empty(0), *found]), np.array(conditions, dtype=str)


def score_records(
    run: Path,
    fitted: Sequence[FittedPolicy],
    metrics: Sequence[SampleMetric],
    *,
    output: Path,
    keep: pa.Table | None = None,
) -> None:
    """Score every record under every policy and write the scores file.

    Args:
        run: folder with the records.
        fitted: policies, each with what it rests on and its map variant.
        metrics: sample metrics; those that share a column measure it once.
        output: file to write.
        keep: rows of an earlier scores file to carry over.

    Raises:
        RecordsError: when the records cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    measures = {metric.column: metric.measure for metric in metrics}
    schema = scores_schema(list(measures))
    localization = Localization.of(provenance)
    with AtomicParquetWriter(output, schema, provenance) as writer:
        if keep is not None and len(keep):
            writer.write(keep)
        for chunk in _chunks(run / RECORDS_FILE, _SCORED_COLUMNS):
            variants = localization.maps(chunk)
            ground_truth = _ground_truth(chunk)
            for each in fitted:
                maps = variants[each.variant]
                undefined = maps.flatten(1).isnan().any(dim=1)
                threshold = each.policy.threshold(maps, ground_truth)
                masks = binarize(maps, threshold)
                columns = [
                    measure(masks, ground_truth).masked_fill(undefined, torch.nan).numpy()
                    for measure in measures.values()
                ]
                writer.write(_score_table(chunk, each, threshold, columns, schema))


def _chunks(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_MAPS_AT_ONCE, columns=list(columns))


def _ground_truth(chunk: pa.RecordBatch) -> torch.Tensor:
    """Ground-truth maps of a chunk; rows of one sample share one drawing of it."""
    drawn: dict[str, torch.Tensor] = {}
    boxes, weights = chunk.column("boxes"), chunk.column("box_weights")
    names = chunk.column("sample_id").to_pylist()
    for row, name in enumerate(names):
        if name not in drawn:
            drawn[name] = consensus_map(boxes[row].as_py(), weights[row].as_py())
    return torch.stack([drawn[name] for name in names])


def _score_table(
    chunk: pa.RecordBatch,
    fitted: FittedPolicy,
    threshold: torch.Tensor,
    columns: list[np.ndarray[Any, Any]],
    schema: pa.Schema,
) -> pa.Table:
    rows = len(chunk)
    return pa.Table.from_arrays(
        [
            *(chunk.column(name) for name in ("sample_id", "audio_condition", "draw")),
            pa.array([fitted.variant] * rows),
            pa.array([fitted.policy.name] * rows),
            pa.array([fitted.source] * rows),
            pa.array(threshold.float().numpy()),
            *(pa.array(column) for column in columns),
        ],
        names=schema.names,
    ).cast(schema)

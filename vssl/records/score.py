"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vssl.maps import binarize, consensus_map, upsample
from vssl.metrics.base import SampleMetric
from vssl.records.files import RECORDS_FILE
from vssl.records.schema import scores_schema
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.types import EVALUATION_SIZE, POSITIVE

_log = logging.getLogger(__name__)
_MAPS_AT_ONCE = 64  # 13 MB of localization maps: the working set stays in the cache


@dataclass(frozen=True)
class FittedPolicy:
    """A threshold policy that is ready for use.

    Attributes:
        policy: the policy.
        source: what its threshold rests on, in words, e.g. `fit on vggss`.
    """

    policy: ThresholdPolicy
    source: str


def fit_policies(
    policies: Sequence[ThresholdPolicy], run: Path, *, calibration: Path | None = None
) -> list[FittedPolicy]:
    """Fit threshold policies on a run's negatives.

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
    learning = [policy for policy in policies if policy.needs_fit]
    source = _fit(learning, run, scored, calibration) if learning else ""
    return [FittedPolicy(p, source if p.needs_fit else p.source) for p in policies]


def check_calibration(
    calibration: Path,
    *,
    model: str,
    weights_sha256: str | None,
    protocol_switches: Mapping[str, Any],
) -> dict[str, Any]:
    """Check that universal thresholds of one run may be applied to another; its provenance.

    Raises:
        RecordsError: when the calibration run's records cannot be read.
        ThresholdError: when it is a run of another model, other weights or another protocol.
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
    return facts


def _fit(
    policies: Sequence[ThresholdPolicy],
    run: Path,
    scored: dict[str, Any],
    calibration: Path | None,
) -> str:
    """Fit policies on one run's negatives; what they rest on, in words."""
    facts = scored
    if calibration is not None:
        facts = check_calibration(
            calibration,
            model=scored["model"],
            weights_sha256=(scored["weights"] or {}).get("sha256"),
            protocol_switches=scored["protocol_switches"],
        )
    table = pq.read_table(
        (calibration or run) / RECORDS_FILE, columns=["audio_condition", "similarity_max"]
    )
    condition = table.column("audio_condition").to_numpy()
    maxima = table.column("similarity_max").to_numpy().astype(np.float64)
    negative = condition != POSITIVE
    for policy in policies:
        policy.fit(maxima[negative], condition[negative].astype(str))
    unfit = int((~np.isfinite(maxima[negative])).sum())
    if unfit:
        names = ", ".join(policy.name for policy in policies)
        _log.warning("threshold %s: left out %d maps that hold NaN", names, unfit)
    types = "+".join(dict.fromkeys(condition[negative]))
    own = "" if calibration is None else f", run {facts['config_hash'][:8]}"
    return f"fit on {facts['dataset']} ({types}{own})"


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
        fitted: policies, each with what it rests on.
        metrics: sample metrics; those that share a column measure it once.
        output: file to write.
        keep: rows of an earlier scores file to carry over.

    Raises:
        RecordsError: when the records cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    measures = {metric.column: metric.measure for metric in metrics}
    schema = scores_schema(list(measures))
    with AtomicParquetWriter(output, schema, provenance) as writer:
        if keep is not None and len(keep):
            writer.write(keep)
        for chunk in _chunks(run / RECORDS_FILE):
            maps = _localization_maps(chunk, provenance["upsampling"])
            ground_truth = _ground_truth(chunk)
            undefined = maps.flatten(1).isnan().any(dim=1)
            for each in fitted:
                threshold = each.policy.threshold(maps, ground_truth)
                masks = binarize(maps, threshold)
                columns = [
                    measure(masks, ground_truth).masked_fill(undefined, torch.nan).numpy()
                    for measure in measures.values()
                ]
                writer.write(_score_table(chunk, each, threshold, columns, schema))


def _chunks(path: Path) -> Iterator[pa.RecordBatch]:
    names = ["sample_id", "audio_condition", "draw", "boxes", "box_weights", "map_height"]
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_MAPS_AT_ONCE, columns=[*names, "map_width", "similarity_map"])


def _localization_maps(chunk: pa.RecordBatch, rules: dict[str, str]) -> torch.Tensor:
    """Upsample a chunk's maps, each audio condition by its own rule."""
    height = chunk.column("map_height")[0].as_py()
    width = chunk.column("map_width")[0].as_py()
    flat = chunk.column("similarity_map").flatten().to_numpy(zero_copy_only=False)
    native = torch.from_numpy(flat.reshape(-1, height, width).copy())
    rule = np.array([rules[c] for c in chunk.column("audio_condition").to_pylist()])
    if len(set(rule)) == 1:
        return upsample(native, rule=str(rule[0]))
    maps = native.new_empty(len(native), EVALUATION_SIZE, EVALUATION_SIZE)
    for name in set(rule):
        chosen = torch.from_numpy(rule == name)
        maps[chosen] = upsample(native[chosen], rule=str(name))
    return maps


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
            pa.array(["av"] * rows),
            pa.array([fitted.policy.name] * rows),
            pa.array([fitted.source] * rows),
            pa.array(threshold.float().numpy()),
            *(pa.array(column) for column in columns),
        ],
        names=schema.names,
    ).cast(schema)

"""What the records say about where they come from."""

from __future__ import annotations

import importlib.metadata
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from vssl.config.identity import described
from vssl.config.settings import RunSettings
from vssl.core.environment import environment
from vssl.core.hashing import ids_hash, text_file_hash
from vssl.data.base import CheckedData
from vssl.models.base import LocalizationModel
from vssl.models.weights import WeightsReport
from vssl.models.wrapped import WrappedModule
from vssl.negatives.manifest import manifest_sha256
from vssl.negatives.plan import AudioPlan

_LIBRARIES = {"transformers"}
"""Libraries that networks are made of, besides those of `vssl.core.environment`."""


def run_facts(settings: RunSettings, data: CheckedData, plan: AudioPlan) -> dict[str, Any]:
    """Tell what was asked for, on which samples, with which negatives, by which code."""
    sources = {sample.sample_id: sample.image_sources for sample in data.samples}
    different = set(sources.values())
    return {
        "model": settings.model.name,
        "dataset": settings.data.shown_name,
        "protocol": settings.protocol.full_name,
        "protocol_switches": settings.protocol.switches,
        "negatives": described(settings.negatives.group),
        "seed": settings.seed,
        "config_hash": settings.identity_hash,
        "annotation_sha256": text_file_hash(data.annotation),
        "listed": data.listed,
        "evaluated": len(data.samples),
        **settings.data.part,
        "coverage": data.coverage,
        "resampled_audio_files": data.resampled,
        "notes": dict(Counter(note.kind for note in data.notes)),
        # of each sample's picture: one number for all, or by sample
        "image_sources": different.pop() if len(different) == 1 else sources,
        "manifest_hash": ids_hash(sample.sample_id for sample in data.samples),
        "negatives_manifest_sha256": manifest_sha256(plan.manifest),
        "negatives_files_sha256": {
            key.removeprefix("negatives."): sha256
            for key, sha256 in settings.identity["files_sha256"].items()
            if key.startswith("negatives.")
        },
        "pairings": [list(pairing) for pairing in plan.pairings],
        "sounding_objects": {name: each.value for name, each in plan.sounding.items()},
        "precision": settings.trainer.precision,
        "network_hash": settings.network_hash,
        "environment": environment(),
    }


def map_facts(
    settings: RunSettings,
    model: LocalizationModel,
    upsampling: dict[str, str],
    weights: Mapping[str, WeightsReport],
    prior_weights: WeightsReport | None,
) -> dict[str, Any]:
    """Tell whose maps they are, in which range, and how localization maps follow from them."""
    prior, network = settings.prior.facts(), settings.model.network
    own = network.module if isinstance(network, WrappedModule) else network
    return {
        "upsampling": upsampling,
        # JSON has no infinity: null stands for a bound that is not there
        "value_range": [b if math.isfinite(b) else None for b in model.value_range],
        "map_transform": settings.protocol.map_transform or model.map_transform,
        "weights": _facts_by_part(weights),
        **_libraries(model),
        # class and content of a network that was given as an object, not as a file
        **({} if isinstance(network, Mapping) else {"network": described(own)}),
        "prior": prior and {**prior, **(_weights_facts(prior_weights) or {})},
    }


def _libraries(model: LocalizationModel) -> dict[str, dict[str, str]]:
    """Versions of the libraries of extras that a network is made of, where there are any."""
    kinds = {kind for module in model.modules() for kind in type(module).__mro__}
    found = {kind.__module__.partition(".")[0] for kind in kinds} & _LIBRARIES
    versions = {name: importlib.metadata.version(name) for name in sorted(found)}
    return {"libraries": versions} if versions else {}


def _facts_by_part(reports: Mapping[str, WeightsReport]) -> dict[str, Any] | None:
    """Facts of a model's one file; of several the hash by part, and each one's facts."""
    if set(reports) <= {""}:
        return _weights_facts(reports.get(""))
    parts = {part: _weights_facts(report) for part, report in reports.items()}
    return {"sha256": {part: r.sha256 for part, r in reports.items()}, "parts": parts}


def _weights_facts(report: WeightsReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "file": report.path.name,
        "sha256": report.sha256,
        "values_used": report.used,
        "keys_ignored": list(report.ignored),
    }

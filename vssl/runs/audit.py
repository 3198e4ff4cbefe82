"""What each departure of the released protocol does to the published figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import DictConfig, OmegaConf, open_dict

from vssl.analysis.protocol_audit import (
    CORRECTED,
    THRESHOLD,
    TOGETHER,
    AuditedRun,
    derive_records,
    effects,
)
from vssl.config import build
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.records.files import MANIFEST_FILE, read_run_file
from vssl.records.pooled import POOLED_POLICIES
from vssl.records.store import check_records
from vssl.reporting.tables.protocol_audit import write_audit
from vssl.runs.evaluate import evaluate as evaluate_run
from vssl.thresholds.released import CONSTANTS

_log = logging.getLogger(__name__)

PROTOCOLS = ("corrected", "released")


def audit(
    folders: Sequence[Path],
    output: Path,
    *,
    policies: Sequence[str],
    evaluate: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Audit one or several models; print and write the tables of `protocol_audit.effects`.

    Raises:
        UsageError: when runs do not belong together or cannot be used.
    """
    by_model: dict[tuple[str, str], list[_Given]] = {}
    for folder in folders:
        run = read_run_file(folder)
        check_records(folder)
        facts = run["provenance"]
        given = _Given(folder, run, facts, facts["protocol_switches"])
        by_model.setdefault((facts["model"], facts["dataset"]), []).append(given)
    # all are checked before the first one is evaluated
    groups = {names: _check_group(names, runs) for names, runs in by_model.items()}
    tables, left_out = [], {}
    for names, group in groups.items():
        folder = output.joinpath(*names)
        runs, left_out[names] = _audited_runs(*group, folder, evaluate=evaluate)
        rules = [run.headline for run in runs]
        scored = list(dict.fromkeys([*policies, *POOLED_POLICIES, *rules]))
        if names[0] not in CONSTANTS:
            scored = [name for name in scored if not name.startswith("released_")]
        tables.append(
            effects(
                runs, build.policies_named(scored), shown=policies, folder=folder,
                resamples=resamples, seed=seed,
            )
        )  # fmt: skip
    whole = pd.concat(tables, ignore_index=True)
    write_audit(whole, left_out, output, resamples=resamples)
    return whole


class _Given(NamedTuple):
    """A finished run."""

    folder: Path
    run: dict[str, Any]
    facts: dict[str, Any]
    switches: dict[str, Any]


def _check_group(
    names: tuple[str, str], runs: Sequence[_Given]
) -> tuple[_Given, _Given, dict[str, _Given]]:
    """The corrected run, the released one, and those with a single switch."""
    ends = [[run for run in runs if run.facts["protocol"] == name] for name in PROTOCOLS]
    for name, chosen in zip(PROTOCOLS, ends, strict=True):
        if len(chosen) != 1:
            raise UsageError(
                f"vssl-audit needs one run of {names[0]} on {names[1]} under protocol={name}, but"
                f" got {len(chosen)}."
            )
    ((corrected,), (released,)), single = ends, {}
    for run in runs:
        _check_same(corrected, run)
        changed = [name for name, v in run.switches.items() if v != corrected.switches[name]]
        if len(changed) == 1:
            single[changed[0]] = run
    return corrected, released, single


def _check_same(one: _Given, other: _Given) -> None:
    """Check that runs differ in their protocol only."""

    def described(given: _Given) -> dict[str, Any]:
        config = saved_config(given.run)
        config.protocol = one.run["config"]["protocol"]
        known = RunSettings.unchecked(config).identity
        # files as they were: they may have moved since, or lie in two places
        known["files_sha256"] = given.run["identity"]["files_sha256"]
        known["data"].pop("root", None)
        drawn = (given.folder / MANIFEST_FILE).read_text("utf-8")
        return {
            "samples": given.facts["manifest_hash"],
            "weights": (given.facts["weights"] or {}).get("sha256"),
            **known,
            "negatives": [known["negatives"], drawn],
        }

    if set(one.switches) != set(other.switches):
        reasons = ["protocol switches (another version of vssl?)"]
    else:
        first, second = described(one), described(other)
        reasons = [key for key in first if first[key] != second.get(key)]
    if reasons:
        raise UsageError(
            f"{other.folder}: differs from {one.folder} in {', '.join(reasons)}; an"
            " audit compares runs that differ in their protocol only."
        )


def _audited_runs(
    corrected: _Given, released: _Given, single: dict[str, _Given], folder: Path, *, evaluate: bool
) -> tuple[list[AuditedRun], dict[str, str]]:
    """The runs to compare, the corrected one first, and the departures left out with the reason."""
    config = saved_config(corrected.run)
    # whatever this version would draw, the given runs heard this
    config.negatives.manifest = str(corrected.folder / MANIFEST_FILE)
    runs = [AuditedRun(CORRECTED, "given", corrected.folder, pooled=False)]
    left_out = {}
    differing = dict(released.switches.items() - corrected.switches.items())
    changes = what_changes(config, differing)
    for switch in released.switches:
        if switch not in changes:
            left_out[switch] = "both runs have it"
            continue
        kind, changed = changes[switch]
        run = folder / switch
        if kind is None:
            left_out[switch] = "changes nothing for this model, test set and prior"
            continue
        if kind == "scores":
            run = corrected.folder
        elif switch in single:
            run = single[switch].folder
        elif kind == "localization":
            facts = _dependencies(changed)[1]
            if "prior" in facts:
                facts["prior"] = {**corrected.facts["prior"], **facts["prior"]}
            derive_records(corrected.folder, run, facts)
        elif not evaluate:
            left_out[switch] = "needs the network again (--no-evaluate)"
            continue
        else:
            _log.info("evaluating with %s", switch)
            run.mkdir(parents=True, exist_ok=True)
            evaluate_run(RunSettings.of(changed), run, quiet=True)
        runs.append(AuditedRun(switch, kind, run, pooled=switch == "pooled_ciou"))
        if switch == "pooled_ciou" and config.prior.name != "none":
            left_out["pooled_ciou of object-guided maps"] = (
                "the released constants mean nothing on maps that were rescaled"
            )
    pooled = released.switches.get("pooled_ciou") == "released" and config.model.name in CONSTANTS
    rule: str = OmegaConf.select(config, "model.released.threshold") or "half_image"
    if rule != "half_image":
        runs.append(
            AuditedRun(f"{THRESHOLD} {rule}", "scores", corrected.folder, False, headline=rule)
        )
    return [*runs, AuditedRun(TOGETHER, "given", released.folder, pooled, rule)], left_out


def saved_config(run: dict[str, Any]) -> DictConfig:
    """The configuration in a run.json, to evaluate again, with its paths as they were meant."""
    config: DictConfig = OmegaConf.create(run["config"])
    there = Path(run.get("working_directory", "."))
    root = run["identity"]["data"].get("root")
    with open_dict(config):
        config.logger, config.force, config.calibration = {}, False, None
        # the audit scores the records itself
        config.subsets = []
        config.threshold = {"fixed": {"_target_": "vssl.thresholds.base.FixedThreshold"}}
        config.metrics = {"pia": {"_target_": "vssl.metrics.pia.ImageArea"}}
        if root is not None:
            config.data.root = root
        parts = config.model.get("weights")
        weights = [f"model.weights.{part}" for part in parts] if OmegaConf.is_dict(parts) else []
        files = ("negatives.manifest", "negatives.noise.file", "negatives.offscreen.exclude",
                 "negatives.offscreen.table", "data.ids", "data.flags", "data.cache")  # fmt: skip
        for key in (*(weights or ["model.weights"]), "model.maps", "prior.weights", *files):
            path = OmegaConf.select(config, key)
            if path is not None:
                OmegaConf.update(config, key, str(there / Path(str(path)).expanduser()))
    return config


def what_changes(
    config: DictConfig, switches: Mapping[str, Any]
) -> dict[str, tuple[str | None, DictConfig]]:
    """Set each switch of the protocol alone, and tell what of this model, data and prior changes.

    That is `network` (similarity maps), `localization` (only the maps made of them), `scores`, or
    None for nothing. Behind it comes the configuration with the switch set.
    """
    found: dict[str, tuple[str | None, DictConfig]] = {}
    similarity, localization = _dependencies(config)
    for switch, value in switches.items():
        changed = config.copy()
        changed.protocol[switch] = value
        after = _dependencies(changed)
        # the five thresholds include the released constants, which only the paper's models have
        pools = switch == "pooled_ciou" and config.model.name in CONSTANTS
        kind = "scores" if pools else None
        if similarity != after[0]:
            kind = "network"
        elif localization != after[1]:
            kind = "localization"
        found[switch] = kind, changed
    return found


def _dependencies(config: DictConfig) -> tuple[list[Any], dict[str, Any]]:
    """Everything that similarity maps depend on, and localization maps besides, as records say."""
    settings = RunSettings.unchecked(config)
    names = list(build.configured_sounding_objects(settings))
    heard = names if settings.model.frontend is not None else ()
    frontends = [build.frontend_recipe(settings, name) for name in heard]
    prior = {key: value for key, value in settings.prior.group.items() if key != "scale"}
    mixing = {} if settings.prior.name == "none" else {"prior": {"scale": settings.prior.scale}}
    maps = [settings.model.group, prior, *frontends, build.made_length(settings)]
    return maps, {"upsampling": build.upsampling_rules(settings, names), **mixing}

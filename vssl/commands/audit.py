"""vssl-audit: what each departure of the released protocol does to the published figures."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from vssl.commands.app import add_resampling_options, given_path, quieten_libraries, run_app
from vssl.commands.run_folder import run_in
from vssl.errors import UsageError
from vssl.records.files import (
    MANIFEST_FILE,
    RECORDS_FILE,
    SCORES_FILE,
    output_folder,
    read_run_file,
)

if TYPE_CHECKING:
    import pandas as pd

    from vssl.records.audit import Audited
    from vssl.thresholds.base import ThresholdPolicy

_log = logging.getLogger(__name__)


def main() -> None:
    """Console script."""
    run_app(_main, "rescore")


def _main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quieten_libraries()
    options = _parse()
    with output_folder(options.output.absolute()):
        audit(
            [run_in(folder.absolute()) for folder in options.runs],
            options.output.absolute(),
            policies=options.threshold or ["universal_q3", "released_q3"],
            evaluate=not options.no_evaluate,
            resamples=options.resamples,
            seed=options.seed,
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vssl-audit",
        description="For each model: what every departure of protocol=released from"
        " protocol=corrected changes, one at a time and all together, in points. Departures that"
        " change what a network is shown are evaluated anew, with the runs' own configuration;"
        " runs with one switch set that are given are used as they are.",
        epilog="example: vssl-audit outputs/lvs/vggss/all/released/1a2b3c4d"
        " outputs/lvs/vggss/all/corrected/5e6f7a8b",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=given_path,
        metavar="RUN",
        help="folders of finished runs: for each model one released and one corrected, on the same"
        " samples and negatives",
    )
    parser.add_argument(
        "--output", type=given_path, default=Path("audit"), metavar="DIR",
        help="where audit.parquet, .csv, .md and the runs in between go (default: audit)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", action="append", metavar="NAME",
        help="threshold policy, several times for several (default: universal_q3, learnt from each"
        " run itself, and released_q3)",
    )  # fmt: skip
    parser.add_argument(
        "--no-evaluate", action="store_true",
        help="leave out, and list, departures that need the network and the data again",
    )  # fmt: skip
    add_resampling_options(parser)
    return parser.parse_args()


def audit(
    folders: Sequence[Path],
    output: Path,
    *,
    policies: Sequence[str],
    evaluate: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Audit one or several models; print and write the tables.

    Args:
        folders: finished runs, see `vssl-audit --help`.
        output: where the tables and the runs in between are written.
        policies: threshold policies to report.
        evaluate: whether departures that need the network again are evaluated.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        The effects, see `records.audit.effects`.

    Raises:
        UsageError: when runs do not belong together or cannot be used.
    """
    import pandas as pd

    from vssl.records.audit import effects
    from vssl.reporting.audit import write_audit

    groups = _groups([_Given.of(folder) for folder in folders])
    found, left_out = [], {}
    for (model, data), group in groups.items():
        audited, missing = _audited(group, output / model / data, policies, evaluate=evaluate)
        left_out[model, data] = missing
        found.append(effects(audited, policies, resamples=resamples, seed=seed))
    table = pd.concat(found, ignore_index=True)
    write_audit(table, left_out, output, resamples=resamples)
    return table


@dataclass(frozen=True)
class _Given:
    """A finished run."""

    folder: Path
    run: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> _Given:
        from vssl.records.store import check_records

        run = read_run_file(folder)
        check_records(folder)
        return cls(folder, run)

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.run["provenance"]
        return facts

    @property
    def switches(self) -> dict[str, Any]:
        switches: dict[str, Any] = self.facts["protocol_switches"]
        return switches


@dataclass(frozen=True)
class _Group:
    """The runs of one model on one test set."""

    corrected: _Given
    released: _Given
    single: dict[str, _Given]


def _groups(given: Sequence[_Given]) -> dict[tuple[str, str], _Group]:
    """Runs by model and test set.

    Raises:
        UsageError: when one lacks its counterpart, or runs are not of the same samples.
    """
    sorted_out: dict[tuple[str, str], list[_Given]] = {}
    for each in given:
        sorted_out.setdefault((each.facts["model"], each.facts["dataset"]), []).append(each)
    groups = {}
    for key, runs in sorted_out.items():
        ends = {}
        for protocol in ("corrected", "released"):
            of_protocol = [each for each in runs if each.facts["protocol"] == protocol]
            if len(of_protocol) != 1:
                raise UsageError(
                    f"vssl-audit needs one run of {key[0]} on {key[1]} under protocol={protocol},"
                    f" but got {len(of_protocol)}."
                )
            (ends[protocol],) = of_protocol
        corrected, released = ends["corrected"], ends["released"]
        single = {}
        for each in runs:
            _check_same(corrected, each)
            changed = [s for s, v in each.switches.items() if v != corrected.switches[s]]
            if len(changed) == 1:
                single[changed[0]] = each
        groups[key] = _Group(corrected, released, single)
    return groups


def _check_same(one: _Given, other: _Given) -> None:
    """Check that runs differ in their protocol only."""
    from vssl.commands.departures import saved_config
    from vssl.commands.identity import identity

    reasons = [] if one.facts["manifest_hash"] == other.facts["manifest_hash"] else ["samples"]
    weights = [(each.facts["weights"] or {}).get("sha256") for each in (one, other)]
    reasons += ["weights"] if weights[0] != weights[1] else []
    manifests = [(each.folder / MANIFEST_FILE).read_text("utf-8") for each in (one, other)]
    reasons += ["negatives"] if manifests[0] != manifests[1] else []
    if set(one.switches) != set(other.switches):
        reasons.append("protocol switches (another version of vssl?)")
    else:
        configs = [saved_config(each.run) for each in (one, other)]
        configs[1].protocol = configs[0].protocol
        known = [identity(config) for config in configs]
        for facts, each in zip(known, (one, other), strict=True):
            # files as they were: they may have moved since, or lie in two places
            facts["files_sha256"] = each.run["identity"]["files_sha256"]
            facts["data"].pop("root", None)
        reasons += [key for key in known[0] if known[0][key] != known[1].get(key)]
    if reasons:
        raise UsageError(
            f"{other.folder}: differs from {one.folder} in {', '.join(dict.fromkeys(reasons))}; an"
            " audit compares runs that differ in their protocol only."
        )


def _audited(
    group: _Group, folder: Path, policies: Sequence[str], *, evaluate: bool
) -> tuple[list[Audited], dict[str, str]]:
    """The runs to compare, the corrected one first, and the departures left out with the reason."""
    from vssl.commands.departures import (
        DESCRIPTIONS,
        LOCALIZATION,
        NETWORK,
        SCORES,
        localization_facts,
        saved_config,
        what_changes,
        with_switch,
    )
    from vssl.commands.score import policies_named
    from vssl.records.audit import CORRECTED, TOGETHER
    from vssl.records.pooled import POOLED_POLICIES
    from vssl.thresholds.released import CONSTANTS

    config = saved_config(group.corrected.run)
    # whatever this version would draw, the given runs heard this
    config.negatives.manifest = str(group.corrected.folder / MANIFEST_FILE)
    runs = [(CORRECTED, "given", group.corrected.folder, False)]
    left_out = {}
    for switch in DESCRIPTIONS:
        value = group.released.switches.get(switch)
        if value is None or value == group.corrected.switches[switch]:
            left_out[switch] = "both runs have it"
            continue
        kind = what_changes(config, switch, value)
        changed = with_switch(config, switch, value)
        run = folder / switch
        if kind is None:
            left_out[switch] = "changes nothing for this model, test set and prior"
            continue
        if kind == SCORES:
            run = group.corrected.folder
        elif switch in group.single:
            run = group.single[switch].folder
        elif kind == LOCALIZATION:
            _derive(group.corrected.folder, run, localization_facts(changed))
        elif not evaluate:
            left_out[switch] = "needs the network again (--no-evaluate)"
            continue
        elif kind == NETWORK:
            _evaluate(changed, run)
        runs.append((switch, kind, run, switch == "pooled_ciou"))
    if any(run[0] == "pooled_ciou" for run in runs) and config.prior.name != "none":
        left_out["pooled_ciou of object-guided maps"] = (
            "the released constants mean nothing on maps that were rescaled"
        )
    names = list(dict.fromkeys([*policies, *POOLED_POLICIES]))
    pooled = group.released.switches.get("pooled_ciou") == "released"
    if config.model.name not in CONSTANTS:  # so there is nothing to pool either
        names = [name for name in names if not name.startswith("released_")]
        pooled = False
    runs.append((TOGETHER, "given", group.released.folder, pooled))
    named = policies_named(names)
    return [_scored(*run, folder=folder, policies=named) for run in runs], left_out


def _derive(corrected: Path, run: Path, facts: dict[str, Any]) -> None:
    from vssl.records.derive import derive_records
    from vssl.records.store import read_provenance

    prior = read_provenance(corrected / RECORDS_FILE)["prior"]
    changes = {"upsampling": facts["upsampling"]}
    if prior is not None:
        changes["prior"] = {**prior, "scale": facts["scale"]}
    derive_records(corrected, run, changes)


def _evaluate(config: DictConfig, run: Path) -> None:
    from vssl.commands.evaluate import evaluate

    _log.info("evaluating with %s", run.name)
    run.mkdir(parents=True, exist_ok=True)
    evaluate(config, run, quiet=True)


def _scored(
    departure: str,
    kind: str,
    run: Path,
    pooled: bool,
    *,
    folder: Path,
    policies: Sequence[ThresholdPolicy],
) -> Audited:
    """Score a run under the policies of the audit, in a folder of the audit's own."""
    from vssl.records.audit import Audited, audit_metrics
    from vssl.records.fit import fit_policies
    from vssl.records.score import score_records

    scores = folder / "scores" / departure.replace(" ", "_")
    scores.mkdir(parents=True, exist_ok=True)
    fitted = fit_policies(policies, run)
    score_records(run, fitted, audit_metrics(), output=scores / SCORES_FILE)
    return Audited(departure, kind, run, scores, pooled)

"""Runs that differ in nothing but their negatives, joined and scored as one run on all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl.config.compose import composed_config
from vssl.config.settings import ScoringSettings
from vssl.core.environment import environment
from vssl.core.errors import UsageError
from vssl.core.files import write_text
from vssl.core.hashing import config_hash
from vssl.records.files import RECORDS_FILE, RUN_FILE, SUMMARY_FILE, file_hashes, read_run_file
from vssl.records.join import JOINED_FROM, JoinError, join_records, joined_identity
from vssl.records.pooled import POOLED
from vssl.records.schema import NO_POLICY
from vssl.records.store import check_records
from vssl.records.summary import read_summary
from vssl.runs.folder import alone_in, discard_results
from vssl.runs.score import score_run

JOINED_FOLDER = "joined"
"""Of joined runs, in a report's folder or a sweep's."""


def join_runs(runs: Sequence[Path], below: Path) -> Path:
    """Folder `<model>-<hash>` of a run with the negatives of several, made unless it is there.

    It is scored as the runs were: by their thresholds, metrics, bootstrap and calibration, and by
    what `vssl-rescore` added to them. Its `run.json` names the runs (`joined_from`).

    Args:
        runs: folders of finished runs that differ in nothing but their negatives.
        below: folder in which the joined run gets its own.

    Raises:
        JoinError: for a run that does not fit to the first.
        UsageError: when the runs cannot be read or scored.
    """
    known = [read_run_file(run) for run in runs]
    config = _shared_config(runs, known)
    scoring = ScoringSettings.of(config)
    identity = joined_identity([each["identity"] for each in known])
    own_hash = config_hash(identity)
    sources: dict[str, Any] = {"runs": [], "environment": environment()}
    for run, each in zip(runs, known, strict=True):
        # times and sizes tell whether a run has changed since it was joined
        stats = [(run / name).stat() for name in (RECORDS_FILE, SUMMARY_FILE, RUN_FILE)]
        written = [[stat.st_mtime_ns, stat.st_size] for stat in stats]
        source = {"run": str(run), "config_hash": each["config_hash"], "written": written}
        sources["runs"].append(source)
    folder = below / f"{identity['model']['name']}-{own_hash[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder, wait=True):
        if _is_current(folder, sources):
            return folder
        discard_results(folder)
        try:
            provenance = join_records(runs, folder, identity_hash=own_hash)
            score_run(scoring, folder)
        except BaseException:  # also when interrupted: half a run must not stay
            discard_results(folder)
            raise
        facts = {
            **known[0],
            "config_hash": own_hash,
            "scoring_hash": scoring.hash,
            "command": [],
            "config": config,
            "identity": identity,
            "timing": {},
            "provenance": provenance,
            **file_hashes(folder),
            JOINED_FROM: sources,
        }
        write_text(folder / RUN_FILE, json.dumps(facts, indent=1, default=str))
    return folder


def _is_current(folder: Path, sources: Mapping[str, Any]) -> bool:
    """Whether a joined run is whole, and of these runs; one that was damaged is made anew."""
    try:
        check_records(folder)
        return bool(read_run_file(folder).get(JOINED_FROM) == sources)
    except UsageError:
        return False


def _shared_config(runs: Sequence[Path], known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first run's configuration with the negatives of all, and how they were scored."""
    configs: list[dict[str, Any]] = []
    added: dict[str, dict[str, None]] = {"threshold": {}, "metrics": {}}
    for run, each in zip(runs, known, strict=True):
        own = {**each["config"], "subsets": []}
        if own["calibration"] is not None:
            place = Path(each["working_directory"]) / Path(own["calibration"]).expanduser()
            own["calibration"] = str(place)
        configs.append(own)
        scored, first = (ScoringSettings.of(config).identity for config in (own, configs[0]))
        differ = [name for name in scored if scored[name] != first[name]]
        if differ:
            raise JoinError(
                run, f"it was scored otherwise ({', '.join(differ)}). vssl-evaluate scores it anew."
            )
        # thresholds and metrics that vssl-rescore added are known by the summary alone
        summary = read_summary(run / SUMMARY_FILE)
        summary = summary[~summary["threshold_policy"].isin([NO_POLICY, POOLED])]
        for group, column in (("threshold", "threshold_policy"), ("metrics", "metric")):
            names = map(str, summary[column].unique())
            added[group] |= {name: None for name in names if name not in configs[0][group]}
    config = configs[0]
    calibration = config["calibration"]
    if calibration is not None and not (Path(calibration) / RECORDS_FILE).is_file():
        raise UsageError(
            f"their universal thresholds are those of {calibration}, where no run is any"
            " more. Put it back, or evaluate with another calibration."
        )
    config["negatives"] = joined_identity([each["identity"] for each in known])["negatives"]
    if any(added.values()):
        words = [f"{group}=[{','.join(names)}]" for group, names in added.items()]
        extra = ScoringSettings.of(composed_config("rescore", words))
        config["threshold"] = {**config["threshold"], **extra.threshold}
        config["metrics"] = {**config["metrics"], **extra.metrics}
    return config

"""The index of a report: its runs, folders left out with reasons, its files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from vssl.core.environment import environment
from vssl.core.files import write_text
from vssl.reporting.collection import Collection, Group
from vssl.reporting.tables.model import coverage_text

INDEX_TEXT, INDEX_FILE = "report.md", "report.json"

_WHAT = {
    ".html": "the page: tables, figures, and a gallery with a threshold slider",
    ".md": "tables to read",
    ".csv": "every number with its settings, fractions",
    ".tex": "tables for a paper (booktabs)",
    ".svg": "figure",
    ".png": "figure",
}


def write_index(
    collection: Collection, output: Path, files: Sequence[Path], *, policy: str
) -> None:
    """Write `report.md` and `report.json`, and clear away what an earlier report left.

    Only files and joined runs that the earlier `report.json` lists are removed.
    """

    def place(path: Path) -> str:
        return Path(os.path.relpath(path, output)).as_posix()

    names = [place(path) for path in files]
    runs = [run for group in collection.groups for run in group.runs]
    joined = {place(run.folder): [*map(place, run.sources)] for run in runs if run.sources}
    for name in _earlier_names(output, "files"):
        if name not in names:
            (output / name).unlink(missing_ok=True)
    for name in _earlier_names(output, "joined"):
        if name not in joined:
            shutil.rmtree(output / name, ignore_errors=True)
    left_out = {place(folder): reason for folder, reason in collection.left_out.items()}
    lines = [
        "# Report",
        "",
        f"Threshold policy of positives and negatives: `{policy}`. Runs that stand in one table"
        " have one test set, protocol, list of ids and ground truth.",
        "",
        "## Runs",
        "",
    ]
    for group in collection.groups:
        lines += [f"- {_describe_group(group)}"]
        for run in group.runs:
            lines.append(f"  - {run.label}: [{place(run.folder)}]({place(run.folder)})")
            if run.sources:
                lines.append(f"    - joined from {', '.join(joined[place(run.folder)])}")
    lines += ["", f"## Left out: {len(left_out)}", ""]
    lines += [f"- {folder}: {reason}" for folder, reason in left_out.items()]
    lines += ["", "## Files", ""]
    lines += [f"- [{name}]({name}): {_WHAT.get(Path(name).suffix, '')}" for name in names]
    write_text(output / INDEX_TEXT, "\n".join([*lines, ""]))
    facts = {
        "policy": policy,
        "groups": {
            group.name: [place(run.folder) for run in group.runs] for group in collection.groups
        },
        "joined": joined,
        "left_out": left_out,
        "files": names,
        "environment": environment(),
    }
    write_text(output / INDEX_FILE, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _earlier_names(output: Path, key: str) -> list[str]:
    """Files, or joined runs, of an earlier report in the folder, none outside of it."""
    try:
        names = json.loads((output / INDEX_FILE).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    paths = [Path(str(name)) for name in names]
    return [str(path) for path in paths if ".." not in path.parts and not path.is_absolute()]


def describe_runs(collection: Collection) -> list[str]:
    """Lines that count the runs, and name those of each table and those that were joined."""
    runs = [run for group in collection.groups for run in group.runs]
    count, tests = sum(len(run.sources) or 1 for run in runs), len(collection.groups)
    return [
        f"{count} finished {'run' if count == 1 else 'runs'} of {tests}"
        f" {'test' if tests == 1 else 'tests'} (test set, protocol, list of ids):",
        *(f"  {_describe_group(group)}" for group in collection.groups),
        *(
            f"  {run.label} is joined from {len(run.sources)} runs with other negatives each:"
            f" {group.dataset}, protocol {group.protocol}"
            for group in collection.groups
            for run in group.runs
            if run.sources
        ),
    ]


def _describe_group(group: Group) -> str:
    """A group in a line: what was tested, how much of it, and its runs."""
    labels = ", ".join(f"{run.label}{' (+ OGL)' * ('ogl' in run.variants)}" for run in group.runs)
    coverage = coverage_text(sorted(run.provenance["coverage"] for run in group.runs))
    return (
        f"{group.name}: N = {group.runs[0].provenance['evaluated']}, coverage {coverage}, list"
        f" {group.manifest_hash[:8]}: {labels}"
    )

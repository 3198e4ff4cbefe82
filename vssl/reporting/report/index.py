"""What a report holds: its runs, what was left out and why, its files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from vssl.records.files import write_text
from vssl.records.fingerprint import environment
from vssl.reporting.report.collection import Collection, Group, LeftOut

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

    Args:
        collection: what was found.
        output: the report's folder.
        files: the report's files.
        policy: threshold policy of positives and negatives.
    """
    names = [path.relative_to(output).as_posix() for path in files]
    for name in _earlier(output, "files"):
        if name not in names:
            (output / name).unlink(missing_ok=True)
    joined = {
        _relative(run.folder, output): [_relative(source, output) for source in run.sources]
        for group in collection.groups
        for run in group.runs
        if run.sources
    }
    for name in _earlier(output, "joined"):
        if name not in joined:
            shutil.rmtree(output / name, ignore_errors=True)
    write_text(output / INDEX_TEXT, "\n".join(_lines(collection, output, names, policy)))
    facts = {
        "policy": policy,
        "groups": {
            group.name: [_relative(run.folder, output) for run in group.runs]
            for group in collection.groups
        },
        "joined": joined,
        "left_out": {_relative(o.folder, output): o.reason for o in collection.left_out},
        "files": names,
        "environment": environment(),
    }
    write_text(output / INDEX_FILE, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _earlier(output: Path, what: str) -> list[str]:
    """Files, or joined runs, of the report that stands there, none outside its folder."""
    try:
        names = json.loads((output / INDEX_FILE).read_text(encoding="utf-8"))[what]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    inside = [str(name) for name in names if ".." not in Path(str(name)).parts]
    return [name for name in inside if not Path(name).is_absolute()]


def describe_group(group: Group) -> str:
    """A group in a line: what was tested, how much of it, and its runs."""
    first = group.runs[0].provenance
    labels = ", ".join(f"{run.label}{' (+ OGL)' * ('ogl' in run.variants)}" for run in group.runs)
    coverages = {run.provenance["coverage"] for run in group.runs}
    coverage = ", ".join(f"{100 * each:.4g} %" for each in sorted(coverages))
    return (
        f"{group.name}: N = {first['evaluated']}, coverage {coverage}, list"
        f" {group.manifest_hash[:8]}: {labels}"
    )


def describe_left_out(left_out: Iterable[LeftOut], *, relative_to: Path) -> list[str]:
    """A line for each folder that is in no table."""
    return [f"{_relative(each.folder, relative_to)}: {each.reason}" for each in left_out]


def _lines(collection: Collection, output: Path, names: Sequence[str], policy: str) -> list[str]:
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
        lines += [f"- {describe_group(group)}"]
        for run in group.runs:
            place = _relative(run.folder, output)
            lines.append(f"  - {run.label}: [{place}]({place})")
            made = ", ".join(_relative(source, output) for source in run.sources)
            lines += [f"    - joined from {made}"] if made else []
    lines += ["", f"## Left out: {len(collection.left_out)}", ""]
    lines += [f"- {text}" for text in describe_left_out(collection.left_out, relative_to=output)]
    lines += ["", "## Files", ""]
    lines += [f"- [{name}]({name}): {_WHAT.get(Path(name).suffix, '')}" for name in names]
    return [*lines, ""]


def _relative(folder: Path, output: Path) -> str:
    return Path(os.path.relpath(folder, output)).as_posix()

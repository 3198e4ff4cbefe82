"""What vssl-localize says and writes besides pictures: words, numbers, where they come from."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from vssl.commands.localize_setup import Setup
from vssl.hashing import file_sha256
from vssl.records.files import write_text
from vssl.reporting.verdict import Verdict

JSON_FILE, MAPS_FILE = "localize.json", "localize.npz"


def described(setup: Setup) -> str:
    """Where the numbers come from, in a line."""
    facts, threshold = setup.facts, setup.threshold
    weights = (facts["weights"] or {}).get("sha256")
    parts = [
        f"model {setup.name}",
        f"weights {weights[:8]}" if weights else "no weights",
        f"protocol {facts['protocol']}",
    ]
    if facts["prior"]:
        parts.append(f"object-guided maps, alpha {facts['prior']['alpha']:g}")
    if threshold is None:
        parts.append("no threshold")
    else:
        parts.append(f"threshold {threshold.value:.4f} ({threshold.words}")
        run = threshold.calibration_hash
        parts[-1] += f", run {run[:8]})" if run else ")"
    parts += [f"{name} x {draws}" for name, draws in facts["draws"].items()]
    low, high = setup.bounds
    finite = math.isfinite(low) and math.isfinite(high)
    drawn = f"in the range [{low:g}, {high:g}]" if finite else "between their own extremes"
    return "; ".join([*parts, f"seed {setup.seed}", f"maps drawn {drawn}"])


def file_facts(path: Path) -> dict[str, str]:
    """Name and sha256 of a file."""
    return {"file": path.name, "sha256": file_sha256(path)}


def prepare_folder(output: Path) -> None:
    """Make the folder; the numbers of another command that stood there are gone from now on."""
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON_FILE).unlink(missing_ok=True)


def write_json(output: Path, setup: Setup, verdict: Verdict, found: dict[str, Any]) -> None:
    """Write all numbers with where they come from; the last file to be written."""
    threshold = setup.threshold
    content = {
        "verdict": asdict(verdict),
        "threshold": None if threshold is None else asdict(threshold),
        "error_rates": None if setup.rates is None else setup.rates.as_json(),
        **found,
        "provenance": setup.facts,
    }
    text = json.dumps(content, indent=1, default=str, allow_nan=False)
    write_text(output / JSON_FILE, text + "\n")


def show_verdict(verdict: Verdict, setup: Setup) -> None:
    """Print a verdict, its warnings, how often it is wrong, and where it comes from."""
    say(Text(verdict.words, style="bold"))
    for warning in verdict.warnings:
        say(Text("warning: ", style="bold yellow") + Text(warning))
    for line in verdict.errors:
        say(line)
    say(Text(described(setup), style="dim"))


def say(text: Text | str) -> None:
    """Print a line, however long."""
    Console(highlight=False, soft_wrap=True, markup=False).print(text)

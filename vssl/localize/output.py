"""Output that images and videos share: native maps, numbers with their sources, and the verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.text import Text

from vssl.core.files import whole_file, write_text
from vssl.core.hashing import file_sha256
from vssl.localize.setup import Setup
from vssl.localize.verdict import Verdict

JSON_FILE, MAPS_FILE = "localize.json", "localize.npz"


def prepare_folder(output: Path) -> None:
    """Make the folder and remove the numbers of an earlier command."""
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON_FILE).unlink(missing_ok=True)


def save_maps(
    output: Path,
    pairings: Sequence[tuple[str, int]],
    similarity: torch.Tensor,
    objects: torch.Tensor | None,
    **more: npt.NDArray[Any],
) -> None:
    """Write native maps, with the (audio condition, draw) pair of each and other arrays."""
    arrays: dict[str, Any] = {
        "similarity_map": similarity.numpy(),
        "audio_condition": np.array([condition for condition, _ in pairings]),
        "draw": np.array([draw for _, draw in pairings]),
        **more,
    }
    if objects is not None:
        arrays["object_map"] = objects.numpy()
    with whole_file(output / MAPS_FILE) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def file_facts(path: Path) -> dict[str, str]:
    """Name and hash of an input file, for `localize.json`."""
    return {"file": path.name, "sha256": file_sha256(path)}


def write_json(output: Path, setup: Setup, verdict: Verdict, numbers: dict[str, Any]) -> None:
    """Write verdict, numbers and their sources; this file comes last."""
    content = {
        "verdict": asdict(verdict),
        "threshold": asdict(setup.threshold) if setup.threshold else None,
        "error_rates": setup.rates.as_json() if setup.rates else None,
        **numbers,
        "provenance": setup.facts,
    }
    text = json.dumps(content, indent=1, default=str, allow_nan=False)
    write_text(output / JSON_FILE, text + "\n")


def show_verdict(verdict: Verdict, setup: Setup) -> None:
    """Print a verdict with its warnings, error rates and sources."""
    say(Text(verdict.words, style="bold"))
    for warning in verdict.warnings:
        say(Text("warning: ", style="bold yellow") + Text(warning))
    for line in verdict.errors:
        say(line)
    say(Text(describe(setup), style="dim"))


def describe(setup: Setup) -> str:
    """Name the sources of the numbers in a line: model, weights, threshold, draws, seed."""
    facts, threshold = setup.facts, setup.threshold
    weights = (facts["weights"] or {}).get("sha256")
    parts = [
        f"model {facts['model']}",
        f"weights {weights[:8]}" if weights else "no weights",
        f"protocol {facts['protocol']}",
    ]
    if facts["prior"]:
        parts.append(f"object-guided maps, alpha {facts['prior']['alpha']:g}")
    if threshold is None:
        parts.append("no threshold")
    else:
        learnt = f", run {threshold.calibration_hash[:8]}" if threshold.calibration_hash else ""
        parts.append(f"threshold {threshold.value:.4f} ({threshold.words}{learnt})")
    parts += [f"{name} x {draws}" for name, draws in facts["draws"].items()]
    low, high = setup.bounds
    finite = math.isfinite(low + high)
    drawn = f"in the range [{low:g}, {high:g}]" if finite else "between their own extremes"
    return "; ".join([*parts, f"seed {facts['seed']}", f"maps drawn {drawn}"])


def say(text: Text | str) -> None:
    """Print a line without wrapping it."""
    Console(highlight=False, soft_wrap=True, markup=False).print(text)

"""Output that images and videos share: native maps, numbers with their sources, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

from vssl.core.files import whole_file, write_text
from vssl.core.hashing import file_sha256
from vssl.engine.localizer import NativeMaps
from vssl.localize.setup import Setup
from vssl.localize.verdict import Verdict

JSON_FILE, MAPS_FILE = "localize.json", "localize.npz"


class Output:
    """Folder with the results of a set-up."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_FILE).unlink(missing_ok=True)  # of an earlier command

    def save_maps(
        self, pairings: Sequence[tuple[str, int]], native: NativeMaps, **more: npt.NDArray[Any]
    ) -> None:
        """Write native maps, with the (audio condition, draw) pair of each, and other arrays."""
        arrays: dict[str, Any] = {
            "similarity_map": native.similarity.numpy(),
            "audio_condition": np.array([condition for condition, _ in pairings]),
            "draw": np.array([draw for _, draw in pairings]),
            **more,
        }
        if native.objects is not None:
            arrays["object_map"] = native.objects.numpy()
        with whole_file(self.folder / MAPS_FILE) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def finish(self, verdict: Verdict, numbers: dict[str, Any]) -> None:
        """Write verdict, numbers and their sources as the last file."""
        setup = self.setup
        content = {
            "verdict": asdict(verdict),
            "threshold": asdict(setup.threshold) if setup.threshold else None,
            "error_rates": setup.rates.as_json() if setup.rates else None,
            **numbers,
            "provenance": setup.facts,
        }
        text = json.dumps(content, indent=1, default=str, allow_nan=False)
        write_text(self.folder / JSON_FILE, text + "\n")

    def show(self, verdict: Verdict) -> None:
        """Print a verdict with its warnings, error rates and sources."""
        say(Text(verdict.words, style="bold"))
        for warning in verdict.warnings:
            say(Text("warning: ", style="bold yellow") + Text(warning))
        for line in verdict.errors:
            say(line)
        say(Text(self.setup.sources, style="dim"))


def file_facts(path: Path) -> dict[str, str]:
    """Name and hash of an input file, for `localize.json`."""
    return {"file": path.name, "sha256": file_sha256(path)}


def say(text: Text | str) -> None:
    """Print a line without wrapping it."""
    Console(highlight=False, soft_wrap=True, markup=False).print(text)

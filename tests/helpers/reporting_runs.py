"""Runs to report on: changed copies, and LaTeX that is compiled."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.running import HEARS
from vssl.records.files import RUN_FILE, file_hashes
from vssl.records.schema import METADATA_KEY
from vssl.reporting.collection import Collection

NETWORK = tuple(option for option in HEARS if option != "model.name=loudness")


def copy_run(run: Path, to: Path) -> Path:
    """A copy of a run's folder."""
    return Path(shutil.copytree(run, to))


def reasons(collection: Collection) -> dict[str, str]:
    """Why runs were left out, by their folders' names."""
    return {folder.name: reason for folder, reason in collection.left_out.items()}


def change_provenance(run: Path, **facts: object) -> None:
    """Write facts into the provenance of a run's parquet files, and its hash into run.json."""
    for path in run.glob("*.parquet"):
        table = pq.read_table(path)
        metadata = dict(table.schema.metadata)
        provenance = {**json.loads(metadata[METADATA_KEY]), **facts}
        metadata[METADATA_KEY] = json.dumps(provenance).encode()
        pq.write_table(table.replace_schema_metadata(metadata), path)
    path = run / RUN_FILE
    known = json.loads(path.read_text()) | file_hashes(run)
    path.write_text(json.dumps(known))
    if "config_hash" in facts:
        known["config_hash"] = facts["config_hash"]
        known["identity"]["seed"] = facts["config_hash"]  # so that it is no repetition
        path.write_text(json.dumps(known))


def compile_latex(folder: Path, body: str, *, page: str = r"\documentclass{article}") -> str:
    """Compile a document with this body in a folder; returns the last log."""
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is absent (Debian: texlive-latex-base, texlive-latex-recommended)")
    (folder / "all.tex").write_text(
        f"{page}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    for _ in range(2):  # for references
        done = subprocess.run(
            [compiler, "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
            cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 10_000
    return done.stdout


def on_a_wide_page(path: Path) -> str:
    """What LaTeX reads of a file where the text is as wide as IEEE's."""
    return re.sub(r"\\ifdim.*?\\else\n(.*?)\\fi\n", r"\1", path.read_text(), flags=re.DOTALL)

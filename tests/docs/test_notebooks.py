"""The notebooks of docs/notebooks/: run again, they say what they say on the site.

`python -m tests.docs.test_notebooks` runs them and writes their outputs anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+")


def executed(*paths: Path) -> list[Any]:
    """Notebooks with new outputs; one process, which forgets all names, runs one after another."""
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    cells = []
    for notebook in notebooks:
        cells += [nbformat.v4.new_code_cell("%reset -f"), *notebook.cells]
    ids = [cell.id for cell in cells]
    for number, cell in enumerate(cells):
        cell.id = str(number)
    whole = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(whole, timeout=600, record_timing=False).execute()
    for cell, own in zip(cells, ids, strict=True):
        cell.id = own
    return notebooks


def texts(notebook: Any) -> str:
    """What the cells print, and their tables; figures by their size."""
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    outputs = [each for each in outputs if each.get("name") != "stderr"]
    return " ".join(
        each["text"] if "text" in each else each["data"]["text/plain"] for each in outputs
    )


@pytest.mark.slow
def test_notebooks_give_the_outputs_that_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for path, notebook in zip(NOTEBOOKS, executed(*NOTEBOOKS), strict=True):
        shown, found = texts(nbformat.read(path, as_version=4)), texts(notebook)
        assert NUMBER.sub("#", found).split() == NUMBER.sub("#", shown).split()
        numbers = [[float(number) for number in NUMBER.findall(each)] for each in (found, shown)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02), path  # of other processors


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_to_pages(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for page in re.findall(r"\]\(([^)#]+)", text):
        written = path.parent / page
        assert any(written.with_suffix(end).is_file() for end in (".md", ".ipynb")), page
    assert path.stat().st_size < 200_000


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(executed(each)[0], each)

"""The example of docs/training.md is shown as it is; test_docs_commands.py runs it."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_shows_the_loss() -> None:
    page, example = (DOCS / "training.md").read_text(encoding="utf-8"), DOCS / "own_model"
    shown = re.findall(r"```(?:python|yaml)\n(.*?)```", page, re.DOTALL)[1:]
    files = ("mynets/margin.py", "conf/training/loss/margin.yaml")
    assert shown == [(example / name).read_text() for name in files]

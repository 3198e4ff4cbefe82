"""The pages of the documentation: their blocks, and their commands as words."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.running import command
from vssl.cli.main import COMMANDS as COMMANDS_OF_VSSL

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "experiments/README.md", "CONTRIBUTING.md")),
)
HYDRA = {
    "vssl-evaluate": "evaluate",
    "vssl-prepare": "prepare",
    "vssl-rescore": "rescore",
    "vssl-train": "train",
    "experiments/train_tiny.py": "train",
}
"""Programs that Hydra configures, and their primary configuration."""

ELSEWHERE = {"git", "pip", "wandb", "pre-commit", "export", "echo", ".", "source"}
"""Programs that are not vssl's, and need a network or change the shell."""

PROGRAMS = {*(f"vssl-{name}" for name in COMMANDS_OF_VSSL), *ELSEWHERE}
PROGRAMS |= {"vssl", "make", "python", "python3", "cd"}
SHELL = ("sh", "bash", "shell", "console")
QUICK = ("logger=none", "trainer=cpu", "subsets=[]", "bootstrap.resamples=10")
"""Options that make an evaluation of a page short."""

NAMES = {"threshold=NAME": "threshold=universal_q3", "model=a,b": "model=center,random"}
"""Placeholders that must be something which exists."""


@dataclass(frozen=True)
class Block:
    """A fenced block, or an indented one (`shell`, `python` or `text`, by what it holds)."""

    page: Path
    language: str
    text: str
    before: str = ""

    @property
    def file(self) -> str:
        """The file that the block shows, by the line before it or its own first line."""
        named = re.search(r"^`([\w/]+\.\w+)`|`([\w/]+\.\w+)`:$", self.before)
        named = named or re.match(r"# (conf/[\w/]+\.yaml)(\n)", self.text)
        return (named[1] or named[2]) if named else ""


def blocks(page: Path) -> Iterator[Block]:
    """A page's blocks, fenced ones first."""
    text = page.read_text(encoding="utf-8")
    fence = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n")[2]
        kind = "shell" if found[2] in SHELL else found[2] or "text"
        yield Block(page, kind, found[3], before)
    for indented in re.findall(r"(?<=\n\n)(?: {4}.*\n)+", fence.sub("", text)):
        lines = re.sub(r"^ {4}", "", indented, flags=re.MULTILINE)
        first = lines.split()[0].removeprefix(".venv/bin/")
        kind = "shell" if first in PROGRAMS else "python" if "vssl." in first + lines else "text"
        yield Block(page, kind, lines)


def shown(page: str, language: str) -> list[Block]:
    """Blocks of a page below docs/ in a language."""
    return [each for each in blocks(ROOT / "docs" / page) if each.language == language]


def words(line: str) -> list[str]:
    """A command's words, its placeholders filled: any number of `RUN`s is one."""
    line = re.sub(r"(?<= )\[([^\]]+)\](?= |$)", r"\1", line)  # what may be left out is there
    line = re.sub(r"<[^<>]+>|OTHER RUN", "RUN", line).replace(" ...", "")
    program, *rest = [NAMES.get(word, word) for word in shlex.split(line, comments=True)]
    program = program.removeprefix(".venv/bin/")
    if program == "vssl" and rest and rest[0] in COMMANDS_OF_VSSL:
        program, *rest = f"vssl-{rest[0]}", *rest[1:]
    return [program, *rest]


def commands(page: Path | str) -> list[str]:
    """Command lines of a page, in blocks and in code among words."""
    page = ROOT / "docs" / page
    found = "".join(each.text for each in blocks(page) if each.language == "shell")
    lines = [line.strip() for line in found.replace("\\\n", " ").splitlines()]
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"(?<!`)`((?:vssl(?:-[a-z]+)?|python|make)\s[^`]+)`", text)
    return [*filter(None, lines), *(" ".join(line.split()) for line in inline)]


def done(line: str, *more: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a page, which has to succeed; an evaluation with few resamples."""
    program, *arguments = words(line)
    more = (*more, *QUICK) if program == "vssl-evaluate" else more
    result = command(program, *arguments, *more, cwd=cwd)
    assert result.returncode == 0, f"{line}: {result.stdout}{result.stderr}"
    return result

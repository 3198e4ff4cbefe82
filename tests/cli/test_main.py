"""The program `vssl`, and words in place of options."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import vssl
from tests.helpers.running import command, run
from vssl.cli.app import command_parser
from vssl.cli.main import COMMANDS, main
from vssl.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = re.findall(r"vssl-([\w-]+) = vssl\.cli\.(\w+):main", (ROOT / "setup.cfg").read_text())


def said(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr("sys.argv", ["/bin/vssl", *arguments])
    main()
    return capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_alone_it_lists_every_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(arguments, monkeypatch, capsys).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == [
        *COMMANDS
    ]
    assert max(map(len, lines)) <= 100
    assert dict(SCRIPTS) == {name: name.replace("-", "_") for name in COMMANDS}


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["--version"], monkeypatch, capsys) == f"vssl {vssl.__version__}\n"
    for path, line in (("CITATION.cff", "version: {}"), ("CHANGELOG.md", "## [{}] - ")):
        assert line.format(vssl.__version__) in (ROOT / path).read_text(), path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gets_its_arguments(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[list[str]] = []
    module = importlib.import_module(f"vssl.cli.{name.replace('-', '_')}")
    monkeypatch.setattr(module, "main", lambda: given.append(sys.argv))
    said([name, "a", "--help"], monkeypatch, capsys)
    assert given == [[f"/bin/vssl-{name}", "a", "--help"]]


def test_a_misspelt_command_gets_the_near_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vssl", "evalute"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no such command. Did you mean `vssl evaluate`?" in capsys.readouterr().err


def test_a_command_runs_by_its_name(tmp_path: Path) -> None:
    shown = command("vssl", "train", "--help", cwd=tmp_path, new=True)
    assert shown.returncode == 0, shown.stderr
    assert "vssl-train model=tiny_san" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_debug_has_everything(tmp_path: Path) -> None:
    """`vssl evaluate -m experiment=debug`: all sounds, thresholds and metrics."""
    summary = run(tmp_path / "run", "experiment=debug", "model=tiny_san")
    policies = {path.stem for path in (ROOT / "conf" / "threshold").glob("[!ars]*.yaml")}
    policies -= {"jsa", "half_range", "best_of_19", "best_of_19_success", "best_of_20"}  # by name
    assert policies | {"none"} == set(summary["threshold_policy"])
    sounds = {"silence", "noise", "offscreen", "mixed", "swapped", "reversed", "gain_up20"}
    assert sounds | {"positive", "all"} <= set(summary["condition"])


PARSER = command_parser(
    "vssl-x", "Does.", example="vssl-x a", runs="folders", thresholds=("t",), output="where",
    resampling=True,
)  # fmt: skip
PARSER.add_argument("--no-page", dest="page", action="store_false")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("runs=a runs=b output_dir=c seed=2", "a b --output c --seed 2"),
        ("runs=[a,b] threshold=[u,v] --resamples 5", "a b --threshold u --threshold v"
         " --resamples 5"),
        ("a no_page=true --output=o=p", "a --no-page --output o=p"),
        ("run=a no_page=false --output x=y", "a --output x=y"),
        ("./k=v", "./k=v"),
    ],
)  # fmt: skip
def test_words_are_options(
    words: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k=v").mkdir()
    wordy, plain = (PARSER.parse_intermixed_args(line.split()) for line in (words, options))
    assert vars(wordy) == vars(plain)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a tresh=x", "tresh=x: neither a folder nor an option. Did you mean threshold=?"),
        (
            "a zzz=x",
            "There are: config-dir, help, no-page, output, output_dir, resamples, runs, seed",
        ),
        ("a no_page=1", "no_page=1: expected no_page=true or no_page=false"),
        ("runs= a", "to name folders, but one of them is empty"),
        ("seed=1", "no folder is given"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        PARSER.parse_intermixed_args(words.split())

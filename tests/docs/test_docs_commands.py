"""The commands of the documentation: each is parsed and composed, and those that can are run.

A command is a line of an indented block, or inline code that begins with one of vssl's programs. A
block that is neither a command nor known text fails, so that new ones are covered.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hydra import initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from tests.helpers.running import FAST, command, composed, run
from vssl.cli.evaluate import limit_as_override
from vssl.cli.main import COMMANDS as COMMANDS_OF_VSSL
from vssl.config.build import build_policies
from vssl.config.compose import register_resolvers
from vssl.config.settings import RunSettings, TrainingSettings
from vssl.models.checkpoints import WeightsError
from vssl.runs.evaluate import check_request
from vssl.runs.sweep import planned_jobs
from vssl.runs.train import train

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *sorted((ROOT / "docs").glob("*.md")),
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

ARGPARSE = {
    f"vssl-{name}": f"vssl.cli.{name}"
    for name in (
        *("audit", "check", "compare", "dashboard", "demo", "localize", "models", "paper"),
        "report",
    )
} | {
    "vssl-thresholds": "vssl.cli.thresholds",
    "vssl-export-plan": "vssl.cli.export_plan",
}
"""Programs with options, and their modules."""

ELSEWHERE = {"git", "pip", "wandb", "pre-commit", "export", "."}
"""Programs that are not vssl's, and need a network or change the shell."""

PROGRAMS = {*HYDRA, *ARGPARSE, *ELSEWHERE, "vssl", "make", "python", "cd"}

TEXT = re.compile(r"[\w_]+ = |\d |\[\d|A A |how often this is wrong|cli +parses", re.ASCII)
"""How a block begins that is a formula, a list, an output or a picture."""

NAMES = {"threshold=NAME": "threshold=universal_q3", "model=a,b": "model=center,random"}
"""Placeholders that must be something which exists."""


def blocks(text: str) -> Iterator[list[str]]:
    """Indented blocks, and fenced ones of shell commands, as lines."""
    for language, fenced in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in ("sh", "bash", "shell", "console"):
            yield fenced.splitlines()
        else:
            known = ("", "py", "python", "yaml")
            assert language in known, f"a block of {language}: run it, or say why"
            assert fenced.split()[0] not in PROGRAMS, f"{fenced}: wants to be an indented block"
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for indented in re.findall(r"(?<=\n\n)(?: {4}.*\n)+", text):
        if not TEXT.match(indented.strip()):
            yield [line[4:] for line in indented.splitlines()]


def words(line: str) -> list[str]:
    """A command's words, its placeholders filled: any number of `RUN`s is one."""
    line = re.sub(r"(?<= )\[([^\]]+)\](?= |$)", r"\1", line)  # what may be left out is there
    line = re.sub(r"<[^<>]+>", "RUN", line).replace(" ...", "")
    program, *rest = [NAMES.get(word, word) for word in shlex.split(line, comments=True)]
    if program == "vssl" and rest and rest[0] in COMMANDS_OF_VSSL:
        program, *rest = f"vssl-{rest[0]}", *rest[1:]
    return [program, *rest]


def commands(page: Path) -> list[str]:
    """Command lines of a page."""
    text = page.read_text(encoding="utf-8")
    found = [
        line.strip()
        for block in blocks(text)
        for line in "\n".join(block).replace("\\\n", " ").splitlines()
    ]
    inline = re.findall(r"(?<!`)`((?:vssl(?:-[a-z]+)?|python|make)\s[^`]+)`", text)
    return [*found, *(" ".join(line.split()) for line in inline)]


COMMANDS = {" ".join(words(line)): line for page in PAGES for line in commands(page)}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`conf/` of a user who has followed the pages on own models, other parts, and training."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "docs" / "own_model", folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "docs/extending/mypkg/conf", folder / "conf", dirs_exist_ok=True)
    (folder / "conf" / "model" / "mine.yaml").write_text("defaults:\n  - tiny_av\n")
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    shown, _ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (folder / "conf" / "training" / "mine.yaml").write_text(shown)
    return folder / "conf"


class ParsedError(BaseException):
    """Ends a program when its arguments are read."""


def options_of(program: Callable[[], Any], arguments: list[str]) -> argparse.Namespace:
    """What a program's own parser makes of arguments."""

    def stop(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        options, unknown = parser.parse_known_intermixed_args(arguments)
        assert not unknown
        raise ParsedError(options)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("parse_args", "parse_intermixed_args"):
            patch.setattr(argparse.ArgumentParser, name, stop)
        with pytest.raises(ParsedError) as caught:
            program()
    options: argparse.Namespace = caught.value.args[0]
    return options


def first_and_last(name: str, arguments: list[str], own: Path) -> list[list[str]]:
    """The overrides of a command line's first and last job, all values of its groups checked."""
    known = [word for word in limit_as_override(arguments) if word != "--dry-run"]
    options = get_args_parser().parse_args(known)
    search = f"hydra.searchpath=[file://{own}]"
    if not options.multirun:
        return [[*options.overrides, search]]
    register_resolvers()
    with initialize_config_module("vssl.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        overrides = [*options.overrides, search]
        sweep = loader.load_configuration(name, overrides, run_mode=RunMode.MULTIRUN)
        jobs = planned_jobs(sweep, loader)
        assert jobs
        for group, value in {tuple(each.split("=", 1)) for job in jobs for each in job}:
            there = loader.get_group_options(group)
            known = value in (*there, "mine") or value.startswith("[")
            known |= (ROOT / "conf" / group / f"{value}.yaml").is_file()  # in a folder of its own
            assert known or not there, f"{group}={value}"
        launched = [each for each in options.overrides if each.startswith("hydra/")]
        return [[*job, *launched, search] for job in (jobs[0], jobs[-1])]


def check(line: str, own: Path) -> None:
    """Parse and compose a command; nothing is run."""
    program, *arguments = words(line)
    if program == "python" and arguments[0].endswith(".py"):
        program, *arguments = arguments
        assert (ROOT / program).is_file()
    if program in HYDRA:
        for overrides in first_and_last(HYDRA[program], arguments, own)[-1:]:
            config = composed(*overrides, name=HYDRA[program])
            if program == "vssl-evaluate":
                config.calibration = None  # a finished run
                settings = RunSettings.of(config)
                with contextlib.suppress(WeightsError):  # the last thing that it looks for
                    check_request(settings)
                assert build_policies(settings.scoring, model=settings.model.name, negatives=True)
    elif program in ARGPARSE:
        main = importlib.import_module(ARGPARSE[program]).main
        options = options_of(main, arguments)
        texts = getattr(options, "overrides", None) or getattr(options, "inputs", [])
        model = [f"model={options.model}"] if hasattr(options, "model") else []
        own = ("output=",)  # of the command itself
        composed(*model, *(text for text in texts if "=" in text and not text.startswith(own)))
    elif program.startswith(("benchmarks/", "experiments/")):
        path = str(ROOT / program)
        options_of(lambda: runpy.run_path(path, run_name="__main__"), arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "cd":
        assert (ROOT / arguments[0]).is_dir()
    elif program == "python":
        source = arguments[1]
        if arguments[0] == "-m":
            assert importlib.util.find_spec(source)
        else:
            assert arguments[0] == "-c"
            compile(source, line, "exec")
    else:
        scripts = {"docs/images/benchmark.py", "docs/metrics_table.py", "docs/demo_results.py"}
        assert program in ELSEWHERE | scripts, f"what is {program}?"


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_its_options_and_values_exist(
    line: str, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(own / "cache"))
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extending"))
    check(line, own)


@pytest.mark.parametrize(
    "line",
    [line for line in commands(ROOT / "docs" / "benchmark.md") if line.startswith("vssl-evaluate")],
)
def test_the_embedded_benchmark_s_commands_run(line: str, own: Path, tmp_path: Path) -> None:
    small = ("data.scenes=2", "metrics=pia", "subsets=[]", "bootstrap.resamples=10")
    small += ("calibration=null",)
    _, *arguments = words(line)
    job = [
        each.replace("model=mine", "model=tiny_av")
        for each in first_and_last("evaluate", arguments, own)[0]
        if not each.startswith(("output_dir=", "hydra"))
    ]
    assert not run(tmp_path / "run", *job, *small).empty


def test_the_training_command_runs(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model and a loss of one's own and the page's negatives."""
    monkeypatch.syspath_prepend(str(own.parent))
    page = commands(ROOT / "docs" / "training.md")
    training = re.compile(r"(python experiments/train_tiny\.py|vssl.train) .*training/loss=margin")
    line = next(each for each in page if training.match(each))
    line = line.replace("training=synthetic", "training=mine")
    arguments = [word for word in words(line)[1:] if not word.endswith(".py")]
    overrides = get_args_parser().parse_args(arguments).overrides
    given = [each for each in overrides if not each.startswith("training.steps=")]
    given += ["training.steps=1", "training.batch_size=2", "trainer=cpu"]
    given += ["trainer.enable_progress_bar=false", f"hydra.searchpath=[file://{own}]"]
    assert {"training=mine", "model=two_tower", "training/loss=margin"} <= {*given}
    given += ["training.train.scenes=4", "training.validation.scenes=2", "training.empties=1"]
    settings = TrainingSettings.of(composed(*given, name="train"))
    assert train(settings, tmp_path / "weights").is_file()
    for name in [each for each in sys.modules if each.startswith("mynets")]:
        sys.modules.pop(name)


def test_the_commands_on_finished_runs_run(tmp_path: Path) -> None:
    """Those of docs/evaluate.md that need neither weights nor the paper's data."""
    few = ("data.scenes=3", "negatives=silence", "bootstrap.resamples=10", "subsets=[]")
    run(tmp_path / "run", "model=tiny_av", *few, *FAST, "threshold=standard")
    quick = {
        "vssl-rescore run=RUN threshold": [],
        "vssl-compare RUN RUN": ["--resamples", "10"],
        "vssl-thresholds RUN": ["--resamples", "10"],
        "vssl-report ": ["--no-page", "--no-figures"],
    }
    page = commands(ROOT / "docs" / "evaluate.md")
    for begin, options in quick.items():
        line = next(each for each in page if each.startswith(begin))
        program, *arguments = [word.replace("RUN", "run") for word in words(line)]
        arguments = ["run" if word == "outputs" else word for word in arguments]
        done = command(program, *arguments, *options, cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"

"""Every block of the documentation is run, or parsed and composed; a block of another kind fails.

What a command or some Python needs decides: what needs neither weights nor data is run.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import importlib
import importlib.util
import inspect
import json
import re
import runpy
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from hydra import initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hydra.utils import get_object

import vssl
from tests.docs import pages
from tests.docs.pages import ROOT, Block, blocks, commands, done, words
from tests.helpers.running import FAST, composed, run
from vssl.cli.evaluate import limit_as_override
from vssl.config.build import build_policies
from vssl.config.compose import register_resolvers
from vssl.config.settings import RunSettings, TrainingSettings
from vssl.models.checkpoints import WeightsError
from vssl.runs.evaluate import check_request
from vssl.runs.sweep import planned_jobs
from vssl.runs.train import train

EXAMPLES = (ROOT / "docs" / "own_model", ROOT / "docs" / "extending")
"""Folders of files that pages show."""

TESTED_APART = ("stored-maps.md", "validation-loop.md", "metrics.md")
"""Pages whose Python wants more than a finished run."""

MORE = r"/weights|/data|\.pth|weights=|FILE|DIR|FOLDER|released|published|outputs/|mynets|--config"
"""What asks for weights, a test set, a run of another kind, or a package of one's own."""

QUICK = dict.fromkeys(("vssl-compare", "vssl-thresholds"), ("--resamples", "10"))
QUICK |= {"vssl-rescore": ("subsets=[]",), "vssl-report": ("--no-page", "--no-figures")}
"""Programs that ask finished runs, and options that make them quick."""

MODELS = {"mine", "center", "random", "deaf_best", "tiny_av", "tiny_san", "tiny_deaf"}
BLOCKS = [block for page in pages.PAGES for block in blocks(page)]
COMMANDS = {" ".join(words(line)): line for page in pages.PAGES for line in commands(page)}


def runs_here(line: str) -> bool:
    """Whether a command needs at most the embedded benchmark, or a finished run of it."""
    program, *arguments = words(line)
    if program == "vssl-evaluate" and not re.search(MORE, line):
        given = dict(each.split("=", 1) for each in arguments if "=" in each)
        models = {*given.get("model", "tiny_av").split(",")}
        return given.get("data") in (None, "synthetic") and models <= MODELS and "+" not in line
    return program in QUICK and not re.search(MORE, line)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`conf/` of a user who has followed the pages on own models, other parts, and training."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(EXAMPLES[0], folder, dirs_exist_ok=True)
    shutil.copytree(EXAMPLES[1] / "mypkg/conf", folder / "conf", dirs_exist_ok=True)
    (folder / "conf" / "model" / "mine.yaml").write_text("defaults:\n  - tiny_av\n")
    for block in BLOCKS:
        if block.file.startswith("conf/") and not (folder / block.file).exists():
            (folder / block.file).write_text(block.text)
    return folder / "conf"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, for code and commands that ask for one."""
    folder = tmp_path_factory.mktemp("work")
    few = ("data.scenes=3", "negatives=silence", "threshold=standard", "bootstrap.resamples=10")
    run(folder / "outputs" / "RUN", "model=tiny_av", *few, *FAST)
    for name in ("run", "RUN"):
        (folder / name).symlink_to(folder / "outputs" / "RUN")
    return folder


class ParsedError(BaseException):
    """Ends a program when its arguments are read."""


def options_of(program: Callable[[], Any], arguments: list[str]) -> argparse.Namespace:
    """What a program's own parser makes of arguments."""

    def stop(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise ParsedError(*parser.parse_known_intermixed_args(arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(argparse.ArgumentParser, "parse_intermixed_args", stop)
        with pytest.raises(ParsedError) as caught:
            program()
    options, unknown = caught.value.args
    assert not unknown
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
    if program.startswith("python") and arguments[0].endswith(".py"):
        program, *arguments = arguments
        assert (ROOT / program).is_file()
    if program in pages.HYDRA:
        overrides = first_and_last(pages.HYDRA[program], arguments, own)[-1]
        config = composed(*overrides, name=pages.HYDRA[program])
        if program == "vssl-evaluate":
            config.calibration = None  # a finished run
            settings = RunSettings.of(config)
            with contextlib.suppress(WeightsError):  # the last thing that it looks for
                check_request(settings)
            assert build_policies(settings.scoring, model=settings.model.name, negatives=True)
    elif program.startswith("vssl-"):
        name = program.removeprefix("vssl-").replace("-", "_")
        options = options_of(importlib.import_module(f"vssl.cli.{name}").main, arguments)
        texts = getattr(options, "overrides", None) or getattr(options, "inputs", [])
        given = [f"model={options.model}"] if getattr(options, "model", None) else []
        own_options = ("output=", "--")  # of the command itself
        given += [each for each in texts if "=" in each and not each.startswith(own_options)]
        composed(*given)
    elif program.startswith(("benchmarks/", "experiments/")):
        path = str(ROOT / program)
        options_of(lambda: runpy.run_path(path, run_name="__main__"), arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= {*targets}
    elif program == "cd":
        assert arguments == ["vssl"] or (ROOT / arguments[0]).is_dir()
    elif program.startswith("python"):
        option, source, *_ = arguments
        assert importlib.util.find_spec(source) if option == "-m" else compile(source, line, "exec")
    else:
        assert program in pages.PROGRAMS or program.startswith("docs/"), f"what is {program}?"


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_its_options_and_values_exist(
    line: str, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(own / "cache"))
    monkeypatch.syspath_prepend(str(EXAMPLES[1]))
    check(line, own)


@pytest.mark.parametrize("line", [*filter(runs_here, COMMANDS.values())])
def test_what_needs_nothing_else_runs(line: str, own: Path, work: Path, tmp_path: Path) -> None:
    program, *arguments = words(line)
    if program in QUICK:
        done(line, *QUICK[program], cwd=work)
        return
    small = ["data.scenes=2", "metrics=pia", "calibration=null"]
    small += [] if "threshold=" in line else ["threshold=fixed"]
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
    line = next(each for each in commands("training.md") if "training/loss=margin" in each)
    given = [each for each in words(line) if "=" in each and "steps" not in each]
    given[given.index("training=synthetic")] = "training=mine"
    assert {"model=two_tower", "training/loss=margin"} <= {*given}
    given += ["training.steps=1", "training.batch_size=2", "trainer=cpu", "training.empties=1"]
    given += ["training.train.scenes=4", "training.validation.scenes=2"]
    given += ["trainer.enable_progress_bar=false", f"hydra.searchpath=[file://{own}]"]
    settings = TrainingSettings.of(composed(*given, name="train"))
    assert train(settings, tmp_path / "weights").is_file()
    for name in [each for each in sys.modules if each.startswith("mynets")]:
        sys.modules.pop(name)


@pytest.mark.parametrize(
    "block",
    [each for each in BLOCKS if each.language != "shell"],
    ids=lambda each: f"{each.page.name}-{' '.join(each.text.split()[:4])}",
)
def test_a_block_is_what_it_says(block: Block, own: Path) -> None:
    """Or it shows a file that the tests use."""
    files = [folder / block.file for folder in EXAMPLES if (folder / block.file).is_file()]
    if files:
        assert block.text == files[0].read_text(encoding="utf-8")
    elif block.language == "python":
        for call in ast.walk(ast.parse(block.text)):
            if isinstance(call, ast.Call) and (name := ast.unparse(call.func)).startswith("vssl."):
                keywords = {str(each.arg): each.value for each in call.keywords}
                inspect.signature(get_object(name)).bind(*call.args, **keywords)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
        assert all(map(get_object, re.findall(r"_target_: ([\w.]+)", block.text)))
        if block.file.startswith("conf/"):
            group, name = Path(block.file).parent.name, Path(block.file).stem
            main = "train" if group == "training" else "evaluate"
            composed(f"{group}={name}", f"hydra.searchpath=[file://{own}]", name=main)
    elif block.language in ("json", "toml"):
        assert {"json": json.loads, "toml": tomllib.loads}[block.language](block.text)
    elif block.language == "csv":
        assert len({len(row) for row in csv.reader(block.text.splitlines())}) == 1
    else:
        assert block.language in ("text", "bibtex"), f"{block}: how is it tested?"
        assert block.text.split()[0] not in pages.PROGRAMS, f"{block}: is it a command?"


def test_all_of_the_package_is_shown() -> None:
    shown = {each.file for each in BLOCKS if each.page.name == "extending.md"}
    files = [*EXAMPLES[1].rglob("*.py"), *EXAMPLES[1].rglob("*.yaml")]
    written = {path.relative_to(EXAMPLES[1]).as_posix() for path in files}
    of_package = {each for each in shown if each.startswith("mypkg/")}
    assert of_package == written - {"mypkg/__init__.py"}


SMALL = ["subsets=[]", "bootstrap.resamples=20", "threshold=[fixed,universal_q3]"]
PYTHON = dict.fromkeys(each.page for each in BLOCKS if each.language == "python" and not each.file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [each for each in PYTHON if each.name not in TESTED_APART], ids=lambda each: each.name
)
def test_the_python_of_a_page_runs(page: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block after the other, as a reader would type them."""
    monkeypatch.chdir(work)
    for folder in EXAMPLES:
        monkeypatch.syspath_prepend(str(folder))
    names: dict[str, object] = {"__name__": "reader", "run": vssl.load_run("RUN")}
    for block in blocks(page):
        if block.language == "python" and not block.file and not re.search(MORE, block.text):
            code = block.text.replace("scenes=1500", "scenes=2")
            code = code.replace("scenes=4", 'scenes=4", "' + '", "'.join(SMALL))
            code = code.replace("data=samples[:6],", f"data=samples[:6], overrides={SMALL},")
            exec(compile(code, str(page), "exec"), names)

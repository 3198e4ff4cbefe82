"""Parts of all console scripts: clear errors, and one parser."""

from __future__ import annotations

import argparse
import difflib
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vssl.config.compose import composed_config, group_names
from vssl.config.options import IMAGE_LESSON, INT32, INT64, RESAMPLES, hint_for
from vssl.config.search_path import add_config_folder, forget_config_folders
from vssl.core.console import fail, quieten_libraries
from vssl.core.errors import UsageError, was_interrupted


def run_app(
    main: Callable[[], Any], config_name: str, *, before_error: Callable[[], object] = lambda: None
) -> None:
    """Run a command; print the user's errors as one message, and end with status 1.

    Hints are from the configuration `config_name`; `before_error` is called before a message.
    """
    quieten_libraries()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach us instead of Hydra's printer
    try:
        try:
            main()
        except (Exception, KeyboardInterrupt):
            before_error()
            raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if was_interrupted(error):
            fail("interrupted", status=130)
        message = _message(error, config_name)
        if message is None:
            raise
        fail(message)
    finally:
        forget_config_folders()


def console_script(config_name: str) -> Callable[[Callable[[], Any]], Callable[[], None]]:
    """Decorate the `main` of a command, see `run_app`."""
    return lambda main: functools.wraps(main)(lambda: run_app(main, config_name))


def _message(error: BaseException, config_name: str) -> str | None:
    """Return the message of an error that the user can correct; None for a bug."""
    if isinstance(error, yaml.YAMLError):
        return f"a configuration file is not valid YAML: {error}"
    if not isinstance(error, (UsageError, OSError, HydraException, OmegaConfBaseException)):
        return None
    usage = None if isinstance(error, OSError) else _usage_error(error)
    if usage is not None:
        return str(usage)
    faults: list[BaseException] = []
    fault: BaseException | None = error
    while fault is not None:
        if isinstance(fault, OSError):  # with its file or folder
            cause = fault.strerror or " ".join(str(fault).split()) or type(fault).__name__
            if fault.filename:
                return f"{os.fsdecode(fault.filename)}: {cause}"
            return f"{cause}{_what_exists(cause, config_name)}"
        if isinstance(fault, OverrideParseException):
            return _grammar(fault)
        faults.append(fault)
        fault = fault.__cause__
    message = "\n".join(dict.fromkeys(str(f) for f in faults if str(f)))
    return f"{message}{_what_exists(message, config_name)}"


class _Words(argparse.ArgumentParser):
    """A parser of `RUN ...` that takes `key=value`, as vssl-evaluate does, for every option.

    `output_dir=DIR` is `--output DIR`, `threshold=[a,b]` is `--threshold a --threshold b`, and
    `runs=DIR` a folder. Only commands that take runs use it: elsewhere such words are overrides.
    """

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        options = {name: action for action in self._actions for name in action.option_strings}
        folders: list[str] = []
        rest: list[str] = []
        for before, word in zip(["", *words], words, strict=False):
            key, equals, value = word.partition("=")
            values = value[1:-1].split(",") if value[:1] + value[-1:] == "[]" else [value]
            option = options.get("--" + {"output_dir": "output"}.get(key, key).replace("_", "-"))
            if word.startswith("-") or (before in options and options[before].nargs is None):
                rest.append(word)  # an option, or its value
            elif equals and key in ("run", "runs"):
                folders += values
            elif not equals or (option is None and Path(word).exists()):
                folders.append(word)
            elif option is None:
                raise UsageError(f"{word}: neither a folder nor an option{_near(key, options)}")
            elif option.nargs == 0:
                if value.lower() not in ("true", "false"):
                    raise UsageError(f"{word}: expected {key}=true or {key}=false")
                rest += [option.option_strings[0]] * (value.lower() == "true")
            else:
                rest += [f"{option.option_strings[0]}={each}" for each in values]
        if any(not folder.strip() or "\0" in folder for folder in folders):
            raise UsageError("Expected `runs` to name folders, but one of them is empty.")
        if not folders and {"-h", "--help"}.isdisjoint(rest):
            raise UsageError(f"no folder is given. Name the folders of runs: {self.epilog}")
        return super().parse_known_intermixed_args([*rest, *folders], namespace)


def _near(key: str, options: Iterable[str]) -> str:
    """Name the option that a misspelt key may mean."""
    keys = ["runs", "output_dir", *(name[2:] for name in options if name.startswith("--"))]
    near = difflib.get_close_matches(key, keys, n=1)
    return f". Did you mean {near[0]}=?" if near else f". There are: {', '.join(sorted(keys))}"


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def command_parser(
    program: str,
    description: str,
    *,
    example: str,
    runs: str | None = None,
    overrides: str | None = None,
    thresholds: Sequence[str] = (),
    output: str | None = None,
    config_dir: bool = False,
    resampling: bool = False,
) -> argparse.ArgumentParser:
    """Return a parser with the options that commands share; each adds its own.

    Call `parse_intermixed_args`, which takes words and options in any order. `runs` is the help of
    `RUN ...`, with which options may be written `key=value` too, `output` that of `--output DIR`.
    `overrides` is an example of words `key=value`; `thresholds` are the policies without
    `--threshold NAME`. `config_dir` adds `--config-dir DIR`, `resampling` what intervals need:
    `--resamples N` and `--seed N`.
    """
    kind = argparse.ArgumentParser if runs is None else _Words
    if runs is not None:
        description += " Options may also be words: runs=DIR output_dir=DIR threshold=[a,b]."
    parser = kind(prog=program, description=description, epilog=f"example: {example}")
    if runs is not None:
        parser.add_argument("runs", nargs="+", metavar="RUN", type=_folder, help=runs)
    if overrides is not None:
        text = f"as for vssl-evaluate, e.g. {overrides}"
        parser.add_argument("overrides", nargs="*", metavar="key=value", help=text)
    if thresholds:
        text = f"threshold policy, can be repeated (default: {', '.join(thresholds)})"
        parser.add_argument("--threshold", action="append", metavar="NAME", help=text)
    if output is not None:
        parser.add_argument("--output", type=given_path, metavar="DIR", help=output)
    if config_dir:
        text = "folder with configuration of your own"
        parser.add_argument("--config-dir", type=_config_folder, metavar="DIR", help=text)
    if resampling:
        parser.add_argument(
            "--resamples", type=whole_number(1, RESAMPLES), default=1000, metavar="N",
            help="bootstrap resamples of the images (1000)",
        )  # fmt: skip
        seed = whole_number(0, INT64)
        parser.add_argument(
            "--seed", type=seed, default=0, metavar="N", help="of the resampling (0)"
        )
    return parser


def _config_folder(text: str) -> Path:
    folder = given_path(text)
    add_config_folder(folder)
    return folder


def whole_number(least: int, most: int = INT32) -> Callable[[str], int]:
    """Return an argparse type for a whole number from `least` to `most`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text[:20]) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text}")
        if int(text[:20]) > most:
            raise argparse.ArgumentTypeError(f"expected a whole number up to {most}, got {text}")
        return int(text)

    return number


def finite_number(
    *, above: float = -math.inf, below: float = math.inf, example: str = ""
) -> Callable[[str], float]:
    """Return an argparse type for a finite number strictly between bounds."""
    bounds = {"above": above, "below": below}
    limits = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    words = " ".join(filter(None, ["a number", " and ".join(limits)]))

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and above < value < below):
            hint = f", as {example}" if example else ""
            raise argparse.ArgumentTypeError(f"expected {words}{hint}, got {text}")
        return value

    return number


def output_as_option(arguments: Sequence[str]) -> list[str]:
    """Replace `output=DIR` and `output_dir=DIR` by `--output=DIR`, beside words for a run."""
    words = (word.partition("=") for word in arguments)
    return [
        f"--output={value}" if equals and key in ("output", "output_dir") else key + equals + value
        for key, equals, value in words
    ]


def given_path(text: str) -> Path:
    """Convert an option to a path; an empty one is refused, as it would be this folder."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return Path(text)


def _usage_error(error: BaseException | None) -> UsageError | None:
    """The `UsageError` behind an error; OmegaConf's errors have it as their context."""
    if error is None or isinstance(error, UsageError):
        return error
    return _usage_error(error.__cause__ or error.__context__)


def _grammar(error: OverrideParseException) -> str:
    """Name an argument that Hydra cannot read, and the quotes that help."""
    key, equals, value = str(error.override).partition("=")
    if not equals:
        return f"{error.override}: Expected key=value, as `vssl-evaluate --help` lists them."
    reason = " ".join(str(error.message).partition("See https")[0].split())
    mark, outer = ("'", '"') if '"' in value else ('"', "'")
    return (
        f"{error.override}: cannot be read as key=value ({reason}). A value with any of = ( ) [ ]"
        f" {{ }} , : or blanks wants quotes of its own within those of the shell:"
        f" {outer}{key}={mark}{value.strip(mark)}{mark}{outer}"
    )


def _what_exists(message: str, config_name: str) -> str:
    """Return the keys near a misspelt one and all keys beside it, or where yamls are looked for."""
    if part := re.search(r"Could not find '(\w+/[^']+)'", message):
        return f"\nOne of your own, FOLDER/{part[1]}.yaml, is found with --config-dir FOLDER."
    match = re.search(r"Could not override '([^']+)'", message)
    if match is None:
        return ""
    key = match[1]
    if key.startswith("model.image") and "Key 'image' is not in struct" in message:
        return f"\n{IMAGE_LESSON}"
    hint = hint_for(key, sys.argv[1:]) if config_name in ("evaluate", "rescore") else ""
    if hint:
        return hint
    # the groups that are chosen, and nothing else of the command line
    pairs = [argument for argument in sys.argv[1:] if "=" in argument]
    try:
        groups = [each for each in pairs if group_names(each.split("=")[0])]
        node: Any = composed_config(config_name, groups)
    except HydraException:
        return ""
    *parents, last = key.split(".")
    inside: list[str] = []
    for name in parents:
        if not isinstance(node.get(name), DictConfig):
            last = name
            break
        node = node[name]
        inside.append(name)
    names = sorted(str(name) for name in node if str(name) != "hydra")
    near = difflib.get_close_matches(last, names, n=1)
    hint = f"\nDid you mean {'.'.join([*inside, near[0]])}?" if near else ""
    place = f" in {'.'.join(inside)}" if inside else ""
    return f"{hint}\nWhat exists{place}: {', '.join(names)}"

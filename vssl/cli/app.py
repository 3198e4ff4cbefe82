"""Parts of all console scripts: clear errors, and one parser."""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from vssl.config.compose import COMPOSING, fault_of
from vssl.config.options import INT32, INT64, RESAMPLES
from vssl.config.search_path import add_config_folder, forget_config_folders
from vssl.core.choices import did_you_mean
from vssl.core.console import fail, quieten_libraries
from vssl.core.errors import UsageError, was_interrupted


def run_app(main: Callable[[], Any], config_name: str) -> None:
    """Run a command; print the user's errors as one message, and end with status 1.

    Hints are from the configuration `config_name`.
    """
    quieten_libraries()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach us instead of Hydra's printer
    try:
        main()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if was_interrupted(error):
            fail("interrupted", status=130)
        if not isinstance(error, (UsageError, OSError, *COMPOSING)):
            raise
        fail(fault_of(error, config_name, sys.argv[1:]))
    finally:
        forget_config_folders()


def console_script(config_name: str) -> Callable[[Callable[[], Any]], Callable[[], None]]:
    """Decorate the `main` of a command, see `run_app`."""
    return lambda main: functools.wraps(main)(lambda: run_app(main, config_name))


class _Words(argparse.ArgumentParser):
    """A parser of `RUN ...` that takes `key=value`, as vssl-evaluate does, for every option."""

    # output_dir=DIR is --output DIR, threshold=[a,b] is --threshold a --threshold b, and runs=DIR a
    # folder; only of commands that take runs: elsewhere such words are overrides

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
    hint = did_you_mean(key, keys, ". Did you mean {}=?")
    return hint or f". There are: {', '.join(sorted(keys))}"


def command_parser(
    program: str,
    description: str,
    *,
    example: str,
    runs: str | None = None,
    overrides: str | None = None,
    thresholds: Sequence[str] = (),
    output: str | None = None,
    config_dir: bool = True,
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
        parser.add_argument("runs", nargs="+", metavar="RUN", type=given_path, help=runs)
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
    words: str = "a number", *, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """Return an argparse type for a finite number strictly between bounds, which `words` tell."""

    def number(text: str) -> float:
        with contextlib.suppress(ValueError):
            if above < (value := float(text)) < below:
                return value
        raise argparse.ArgumentTypeError(f"expected {words}, got {text}")

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
    return Path(os.path.expanduser(text))  # noqa: PTH111 an unknown user is no error

"""Options of a group's member, as `negatives.noise.draws`, where not every job has the member."""

from __future__ import annotations

import difflib
import importlib.resources
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

GROUPS = ("negatives", "threshold", "metrics")
"""Groups that hold several members, each with options of its own."""

_GONE = {
    "live": "metrics are logged once, with the summary, under the names without `live/`. Leave it"
    " out; threshold= says under which policies.",
}
"""Options of earlier versions: what there is in their place."""


def allow_absent_members(arguments: Sequence[str]) -> list[str]:
    """A command line whose options of members are taken by jobs without the member, too.

    In a sweep over a group, as `-m negatives=silence,noise negatives.noise.draws=3`, Hydra would
    refuse the option in the first job. It is forced instead, which adds it where it is not known;
    there `drop_absent_members` takes it away again. What no member knows is left for Hydra to
    refuse.

    Args:
        arguments: of the command line.
    """
    if {"-m", "--multirun"}.isdisjoint(arguments):
        return list(arguments)
    parsed = [_parsed(argument) for argument in arguments]
    swept = {each.key_or_group for each in parsed if each is not None and each.is_sweep_override()}
    changed = []
    for argument, override in zip(arguments, parsed, strict=True):
        if override is not None and not argument.startswith(("+", "~")):
            group, *rest = override.key_or_group.split(".")
            known = group in GROUPS and group in swept and len(rest) == 2
            if known and rest[1] in _members(group, arguments).get(rest[0], ()):
                argument = f"++{argument}"
        changed.append(argument)
    return changed


def drop_absent_members(config: DictConfig) -> list[str]:
    """Take options away whose member a configuration lacks.

    Args:
        config: with some of the groups; it is changed.

    Returns:
        What was taken away, as `negatives.noise.draws`.
    """
    dropped = []
    with open_dict(config):
        for group in GROUPS:
            members = config.get(group)
            for name in list(members or ()):
                if isinstance(members[name], DictConfig) and "_target_" not in members[name]:
                    dropped += [f"{group}.{name}.{option}" for option in members[name]]
                    del members[name]
    return dropped


def hint_for(key: str, arguments: Sequence[str]) -> str:
    """What is in place of an option that is gone, or meant by one of a group's member.

    Args:
        key: as `negatives.nois.draws`.
        arguments: of the command line.

    Returns:
        The hint; empty for other keys.
    """
    if key in _GONE:
        return f"\n{key} is an option of earlier versions: {_GONE[key]}"
    group, *rest = key.split(".")
    if group not in GROUPS or len(rest) < 2:
        return ""
    members = _members(group, arguments)
    member, option = rest[0], rest[1]
    parent, name, known = group, member, sorted(members)
    if member in members:
        if option in members[member]:
            return (
                f"\n{group}.{member} is not part of this run. Add {member} to {group}=, or leave"
                " its option out."
            )
        parent, name, known = f"{group}.{member}", option, sorted(members[member] - {"_target_"})
    near = difflib.get_close_matches(name, known, n=1)
    behind = f".{option}" if parent == group else ""
    meant = f"\nDid you mean {parent}.{near[0]}{behind}?" if near else ""
    return f"{meant}\nWhat exists in {parent}: {', '.join(known)}"


def _parsed(argument: str) -> Override | None:
    """An override; None for what is none, of which Hydra says what is wrong."""
    if "=" not in argument or argument.startswith("-"):
        return None
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _members(group: str, arguments: Sequence[str]) -> dict[str, set[str]]:
    """Options of all members of a group, vssl's and those of `--config-dir`."""
    found: dict[str, set[str]] = defaultdict(set)
    for text in _files(group, arguments):
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError:  # Hydra says so
            continue
        for name, options in content.items() if isinstance(content, dict) else ():
            if isinstance(options, dict) and "_target_" in options:
                found[str(name)] |= {str(option) for option in options}
    return found


def _files(group: str, arguments: Sequence[str]) -> Iterator[str]:
    folders = [importlib.resources.files("vssl.conf") / group]
    for number, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(Path(value or "".join(arguments[number + 1 : number + 2])) / group)
    for folder in folders:
        if folder.is_dir():
            for file in folder.iterdir():
                if file.name.endswith(".yaml"):
                    yield file.read_text(encoding="utf-8")

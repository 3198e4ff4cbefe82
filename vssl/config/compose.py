"""Configurations composed as a command line does it, and the resolvers that they use."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import vssl
from vssl.config.options import (
    IMAGE_LESSON,
    OPTIONS,
    allow_absent,
    drop_absent_members,
    hint_for,
    near_keys,
)
from vssl.config.search_path import group_files
from vssl.config.settings import RunSettings
from vssl.core.choices import did_you_mean
from vssl.core.errors import UsageError
from vssl.data.synthetic.variants import DEFAULT_DIFFICULTY, DEFAULT_SPLIT, variant_name

_LONGEST_TAG = 64  # letters of a tag that wandb takes


def run_folder(mode: str = "", *, _root_: DictConfig) -> str:
    """Folder of a run: `output_dir`, or a folder of its own below `output_root`. A resolver.

    The latter is `<model>/<data>/<negatives>/<protocol>/<first 8 digits of the config hash>`; the
    mode `relative` leaves `output_root` out, for sweeps.

    Raises:
        UsageError: when one of the two is no path.
    """
    for key in ("output_dir", "output_root"):  # an empty one would stand for the current folder
        OPTIONS[key].check(key, _root_[key])
    if _root_.output_dir is not None:
        return str(Path(_root_.output_dir).expanduser().absolute())
    settings = RunSettings.unchecked(_root_)
    names = settings.names | {"data": settings.data.folder_name}
    parts = (names[part] for part in ("model", "data", "negatives", "protocol"))
    relative = Path(*parts, settings.identity_hash[:8])
    return str(relative if mode == "relative" else Path(_root_.output_root).expanduser() / relative)


def run_name(*, _root_: DictConfig) -> str:
    """Name of a run in wandb: `<model>-<data>-<protocol>`, and what is not the default. A resolver.

    That is other negatives than all, a prior, and a seed.
    """
    names = RunSettings.unchecked(_root_).names
    parts = [names["model"], names["data"], names["protocol"]]
    defaults = {"negatives": "all", "prior": "none"}
    parts += [names[part] for part, default in defaults.items() if names[part] != default]
    return "-".join([*parts, *([f"seed{_root_.seed}"] if _root_.seed else [])])


def run_hash(*, _root_: DictConfig) -> str:
    """First 8 digits of a run's configuration hash, as its folder has them. A resolver."""
    return RunSettings.unchecked(_root_).identity_hash[:8]


def run_group(*, _root_: DictConfig) -> str:
    """Group of a run in wandb: its sweep, or else its data and protocol. A resolver."""
    names = RunSettings.unchecked(_root_).names
    return str(_root_.sweep_id or f"{names['data']}-{_root_.protocol.name}")


def run_tags(*, _root_: DictConfig) -> ListConfig:
    """Tags of a run in wandb: its parts, but for a prior that is not there. A resolver."""
    names = RunSettings.unchecked(_root_).names.items()
    known = [name for part, name in names if (part, name) != ("prior", "none")]
    return ListConfig([name[:_LONGEST_TAG] for name in known])


def synthetic_name(*, _parent_: DictConfig) -> str:
    """Name of a data set of the embedded benchmark, from its other keys. A resolver."""
    split = _parent_.get("split", DEFAULT_SPLIT)
    return variant_name(split, _parent_.get("difficulty", DEFAULT_DIFFICULTY), _parent_.get("snr"))


def truth_name(name: str, usual: str, *, _parent_: DictConfig) -> str:
    """Name of a test set, with its kind of ground truth where that is not the usual. A resolver."""
    truth = _parent_.get("truth", usual)
    return name if truth == usual else f"{name}_{truth}"


def bundled_weights(name: str) -> str:
    """Weights that come with vssl: `vssl/models/bundled/<name>.safetensors`. A resolver."""
    return str(Path(vssl.__file__).parent / "models" / "bundled" / f"{name}.safetensors")


@contextmanager
def _initialized() -> Iterator[None]:
    """Hydra for vssl's configurations; another application of Hydra's that calls this goes on."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("vssl.conf", version_base="1.3"):
            yield
    finally:
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


def composed_config(name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose `evaluate`, `rescore` or `models` as a command line does, with `conf/local`.

    Raises:
        UsageError: when something of it does not exist, with what does.
    """
    try:
        with _initialized():
            return compose(name, overrides=allow_absent(overrides))
    except COMPOSING as error:
        raise UsageError(fault_of(error, name, overrides)) from error


def group_names(group: str, arguments: Sequence[str] = ()) -> list[str]:
    """Names of the configurations of a group, with those of folders on a command line, sorted."""
    return sorted({file.stem for file in group_files(group, arguments)})


def whole_group(group: str) -> str:
    """An override that chooses all of a group: first what `all.yaml` lists, in its order."""
    names = [name for name in group_names(group) if name != "all"]
    return f"{group}=[{','.join(['all', *names])}]"


def quoted(value: object) -> str:
    """Any text as Hydra's grammar takes it, and as OmegaConf reads no interpolation from."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", str(value))
    return QuotedString(text, Quote.single).with_quotes()


COMPOSING = (HydraException, OmegaConfBaseException, yaml.YAMLError)
"""What composing a configuration may raise."""


def fault_of(error: BaseException, name: str, overrides: Sequence[str]) -> str:
    """Tell the user's fault behind an error, and what there is in place of what is misspelt.

    `name` is the configuration that was composed, `overrides` are those of the command line.
    """
    if isinstance(error, yaml.YAMLError):
        return f"a configuration file is not valid YAML: {error}"
    usage = None if isinstance(error, OSError) else _usage_error(error)
    if usage is not None:
        return str(usage)
    faults = [error]
    while faults[-1].__cause__ is not None:
        faults.append(faults[-1].__cause__)
    for fault in faults:
        if isinstance(fault, OverrideParseException):
            return _grammar(fault)
        if isinstance(fault, OSError) and not isinstance(fault, HydraException):
            cause = fault.strerror or " ".join(str(fault).split()) or type(fault).__name__
            return f"{os.fsdecode(fault.filename)}: {cause}" if fault.filename else cause
    texts = dict.fromkeys(str(fault).partition("\nSee https")[0] for fault in faults)
    text = "\n".join(filter(None, texts))
    if member := re.search(r"Could not (?:find|load) '([\w/]+)/([^'/]*)'", text):
        group, word = member.groups()
        names = set(group_names(group, overrides))
        names.update(*(f.options or () for f in faults if isinstance(f, MissingConfigException)))
        own = f" One of your own, FOLDER/{group}/{word}.yaml, is found with --config-dir FOLDER."
        if word not in names:
            listed, within = ", ".join(sorted(names)), re.search(r"In '(\w+/[^']+)'", text)
            place = "" if within is None or within[1] == "hydra/config" else f"{within[1]}.yaml: "
            hint = did_you_mean(word, names) or (own if word else "")
            return f"{place}Expected `{group}` to be one of {listed}, but got `{word}`.{hint}"
    key = re.search(r"Could not override '([^']+)'", text)
    return f"{text}{_what_exists(key[1], text, name, overrides)}" if key else text


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
        f"{error.override}: cannot be read as key=value ({reason}). Put quotes around a value with"
        f" any of = ( ) [ ] {{ }} , : or blanks, inside those of the shell:"
        f" {outer}{key}={mark}{value.strip(mark)}{mark}{outer}"
    )


def _what_exists(key: str, message: str, name: str, overrides: Sequence[str]) -> str:
    """Name the keys near a misspelt one, and all keys beside it."""
    if key.startswith("model.image") and "Key 'image' is not in struct" in message:
        return f"\n{IMAGE_LESSON}"
    hint = hint_for(key, overrides) if name in ("evaluate", "rescore") else ""
    if hint:
        return hint
    # the groups that are chosen, and nothing else of the command line
    pairs = [argument for argument in overrides if "=" in argument]
    try:
        groups = [each for each in pairs if group_names(each.split("=")[0])]
        with _initialized():
            node: Any = compose(name, overrides=groups)
    except COMPOSING:
        return ""
    *parents, last = key.split(".")
    inside: list[str] = []
    for parent in parents:
        if not isinstance(node.get(parent), DictConfig):
            last = parent
            break
        node = node[parent]
        inside.append(parent)
    return near_keys(".".join(inside), last, [str(each) for each in node if str(each) != "hydra"])


def register_resolvers() -> None:
    """Make vssl's resolvers known to OmegaConf."""
    runs = (run_folder, run_name, run_hash, run_group, run_tags)
    for resolver in (*runs, synthetic_name, truth_name, bundled_weights):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    # a name that no other sweep has; Hydra hands what the sweep's process has cached to all jobs
    OmegaConf.register_new_resolver(
        "sweep_id",
        lambda: f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        replace=True,
        use_cache=True,
    )


_log = logging.getLogger(__name__)

_said: set[str] = set()  # options already reported as ignored; a sweep reports each once


def with_hydra(work: Callable[[DictConfig, Path], Any]) -> None:
    """Let Hydra compose the command line's jobs; call a function with each and its folder."""

    @hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="evaluate")
    def main(config: DictConfig) -> Any:
        for option in drop_absent_members(config):
            if option not in _said and is_multirun():
                _said.add(option)
                member = option.rpartition(".")[0]
                _log.warning("%s is ignored where %s is not part of the run", option, member)
        return work(config, Path(HydraConfig.get().runtime.output_dir).absolute())

    main()


def is_multirun() -> bool:
    """Whether this is a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


register_resolvers()  # also in processes that get their work pickled

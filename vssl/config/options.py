"""What every option may be: one table, by which all are checked before any work.

Below it: options of a group's member, as `negatives.noise.draws`, where not every job of a sweep
has the member.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from string import hexdigits
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from vssl.config.search_path import group_files
from vssl.core.choices import FLAG_SUBSETS, MAP_TRANSFORMS, UPSAMPLING_RULES, did_you_mean
from vssl.core.devices import chosen_devices
from vssl.core.errors import UsageError
from vssl.data.synthetic.variants import DIFFICULTIES, SPLITS

PRECISIONS = ("32-true", "tf32", "bf16-mixed", "16-mixed")
"""What the networks compute in; front ends, similarities and records are float32 under all."""

INT16, INT32, INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1
"""The largest numbers that the files of a run can hold: a draw, a count, a seed."""

RESAMPLES = 100_000
"""Most resamples of a bootstrap: they take 8 bytes for each image, 4 GB for VGG-SS."""

_LISTS = (list, tuple, ListConfig)
_YAML = {"None": "null", "True": "true", "False": "false"}
_OF_CLASSES = ("data", "negatives", "threshold", "logger", "training")
"""Groups whose keys are arguments of a class; one of another package has its own."""


@dataclass(frozen=True)
class Option:
    """What the value of an option may be."""

    words: str  # as in "Expected `seed` to be ..."
    fits: Callable[[Any], bool]
    choices: tuple[str, ...] = ()  # for texts: the names that exist

    def check(self, key: str, value: Any) -> None:
        """Raise a `UsageError` with the key, the value and what it may be, unless it fits."""
        if self.fits(value):
            return
        listed = value if isinstance(value, _LISTS) else [value]
        wrong = next((each for each in listed if each not in self.choices), value)
        hint = did_you_mean(str(wrong), self.choices)
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        text = f"`{plain}`" if plain and isinstance(plain, str) else repr(plain)
        shown = _YAML.get(repr(plain), text)
        raise UsageError(f"Expected `{key}` to be {self.words}, but got {shown}.{hint}")

    def or_null(self, meaning: str = "") -> Option:
        """Return an option that may also be null, which has a meaning."""
        words = f"null{f' ({meaning})' if meaning else ''} or {self.words}"
        return Option(words, lambda value: value is None or self.fits(value), self.choices)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def whole(low: int, high: int = INT32) -> Option:
    """A whole number within bounds."""
    words = f"a whole number from {low} to {high}"
    return Option(words, lambda value: _is_whole(value) and low <= value <= high)


def number(low: float, high: float, *, above: bool = False) -> Option:
    """A finite number from the lower bound, or only above it, to the higher one."""
    bounds = f"above {low:g}, at most" if above else f"from {low:g} to"
    return Option(
        f"a number {bounds} {high:g}",
        lambda value: _is_number(value) and low <= value <= high and not (above and value == low),
    )


def choice(*names: str) -> Option:
    """One of some names."""
    return Option(f"one of {', '.join(names)}", lambda value: value in names, names)


def _listed(words: str, option: Option, *, least: int = 0) -> Option:
    """A list of different values."""

    def fits(value: Any) -> bool:
        listed = isinstance(value, _LISTS) and least <= len(value) <= INT16
        return listed and all(map(option.fits, value)) and len(set(value)) == len(value)

    return Option(words, fits, option.choices)


def _is_devices(value: Any) -> bool:
    try:
        chosen_devices(value)
    except UsageError:
        return False
    return True


FLAG = Option("true or false", lambda value: isinstance(value, bool))
TEXT = Option("a text", _is_text)
NAME = Option("a name, not empty", lambda value: _is_text(value) and bool(value.strip()))
PATH = Option("a path, not empty", NAME.fits)
_SHA256 = Option(
    "the 64 hexadecimal digits of a sha256",
    lambda value: isinstance(value, str) and len(value) == 64 and not set(value) - {*hexdigits},
)
_BOUNDS = Option(
    "a lowest and a highest value, as in [0,1]",
    lambda v: isinstance(v, _LISTS) and len(v) == 2 and all(map(_is_number, v)) and v[0] < v[1],
)
_DECIBELS = number(-300, 300)
_SWITCHES = (
    *("log_missing", "made_audio", "positive_window", "offscreen_window", "standardization"),
    *("object_map", "pooled_ciou"),
)


def _by_part(option: Option) -> Option:
    """One value, or a group of such values by part of the network."""
    return Option(option.words, lambda value: isinstance(value, DictConfig) or option.fits(value))


OPTIONS: dict[str, Option] = {
    "seed": whole(0, INT64),
    "force": FLAG,
    "videos": PATH.or_null(),
    "frame": Option(
        "middle, or seconds after the first frame",
        lambda value: value == "middle" or (_is_number(value) and value >= 0),
    ),
    "sound": number(0, 1e9, above=True).or_null("all of the video's"),
    "workers": whole(1, 1024).or_null("one on each core"),
    "fail_fast": FLAG,
    "run": PATH,
    "export": choice("released").or_null(),
    "output_root": PATH,
    "output_dir": PATH.or_null("a folder of its own below output_root"),
    "sweep_id": NAME.or_null(),
    "accelerator": choice("auto", "cpu"),
    "calibration": PATH.or_null("this run"),
    "shard_seconds": number(0, 1e9),
    "subsets": _listed(
        "a list, each at most once, of category, object_size", choice("category", "object_size")
    ).or_null("none"),
    "bootstrap.resamples": whole(1, RESAMPLES),
    "bootstrap.seed": whole(0, INT64),
    "loader.batch_size": whole(1).or_null("16 on a CPU, 64 on a GPU"),
    "loader.audio_batch_size": whole(1).or_null("16 on a CPU, 64 on a GPU"),
    "loader.num_workers": whole(0, 1024).or_null("what suits the machine"),
    "paths.*": PATH,
    "*.name": NAME,
    "*.sha256": _by_part(_SHA256).or_null("any file"),
    "model.sha256.*": _SHA256.or_null("any file"),
    "*.precision": choice(*PRECISIONS),
    "*.image.size": whole(1, 2**14),
    "*.image.antialias": FLAG,
    "cache.folder": PATH.or_null("nothing is kept"),
    "cache.gigabytes": number(0, 1e9),
    "model.frontend.rate": whole(1_000, 1_000_000),
    "model.weights": _by_part(PATH).or_null("the model has none"),
    "model.weights.*": PATH.or_null("not set"),
    "model.maps": PATH.or_null("not set"),
    "model.key": NAME.or_null("`maps`, or the one array with a map a row"),
    "model.value_range": _BOUNDS.or_null("no known bounds"),
    "model.missing": choice("error", "skip"),
    "model.compile": FLAG,
    "model.channels_last": FLAG.or_null("yes, but under protocol=released"),
    "model.fold_batch_norms": FLAG.or_null("yes, but under protocol=released"),
    "prior.weights": PATH.or_null("looked for in paths.weights"),
    "prior.alpha": number(0, 1),
    "prior.scale": choice("corrected", "released"),
    "protocol.antialias": FLAG,
    **{f"protocol.{name}": choice("corrected", "released") for name in _SWITCHES},
    "protocol.upsampling": choice("corrected", "released", *UPSAMPLING_RULES),
    "protocol.map_transform": choice("model", *MAP_TRANSFORMS),
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda"),
    "trainer.devices": Option("a number from 1, auto, or a list of different GPUs", _is_devices),
    "trainer.strategy": NAME,
    "trainer.enable_progress_bar": FLAG,
    "data.root": PATH,
    "data.annotation": PATH.or_null("the first usual name that exists"),
    **{
        f"data.{kind}_folder": TEXT.or_null("the usual one")
        for kind in ("image", "audio", "mask", "box")
    },
    **{f"data.{kind}_suffix": TEXT for kind in ("image", "audio")},
    "data.boxes": choice("pixels", "fractions"),
    "data.truth": choice("auto", "boxes", "masks"),
    "data.annotators": choice("auto", "votes", "union"),
    "data.missing": choice("error", "skip"),
    "data.resample": FLAG,
    "data.media": choice("check", "absent"),
    "data.empty": choice("fault", "keep", "negative"),
    "data.silent": choice("keep", "skip"),
    "data.ids": PATH.or_null("all samples"),
    "data.limit": whole(1).or_null("all samples"),
    "data.flags": PATH.or_null("no flags"),
    "data.subset": choice(*FLAG_SUBSETS),
    "data.not_visible": choice("positive", "negative"),
    "data.pairs": PATH.or_null("the first usual name that exists"),
    "data.same_class": choice("keep", "skip"),
    "data.cache": PATH,
    "data.version": Option("a version", lambda value: _is_whole(value) or NAME.fits(value)),
    "data.scenes": whole(1, 2**32 - 1),
    "data.seed": whole(0, 2**32 - 1),
    "data.split": choice(*SPLITS),
    "data.difficulty": choice(*DIFFICULTIES),
    "data.snr": number(-40, 60).or_null("no noise"),
    "negatives.manifest": PATH.or_null("drawn anew"),
    "negatives.*.draws": whole(1, INT16),
    "negatives.*.snr": _DECIBELS.or_null(),
    "negatives.*.dbfs": _DECIBELS.or_null(),
    "negatives.*.level": number(0, 1e15, above=True).or_null(),
    "negatives.*.colour": choice("white", "pink", "brown"),
    "negatives.*.per": choice("draw", "sample"),
    "negatives.*.file": PATH.or_null(),
    "negatives.*.exclude": PATH.or_null(),
    "negatives.*.table": PATH.or_null(),
    "negatives.*.groups.*": NAME,
    "negatives.*.avoid.*": _listed("a list of different groups", NAME),
    "negatives.*.over": choice("window", "clip"),
    "negatives.*.decibels": _listed(
        "a list of different numbers from -300 to 300, as in [-10,10]", _DECIBELS, least=1
    ),
    "threshold.*.name": NAME,
    "threshold.*.value": number(-1e30, 1e30),
    "threshold.*.rate": Option(
        "a number above 0 and below 1", lambda value: _is_number(value) and 0 < value < 1
    ),
    "threshold.*.factor": number(0, 1e30, above=True),
    "threshold.*.statistic": choice("mean", "third_quartile"),
    "threshold.*.rule": choice("max", "max10", "q3"),
    "threshold.*.count": whole(1, 10_000),
    **{f"threshold.*.{name}": number(0, 1) for name in ("first", "last")},
    "threshold.*.within": choice("declared", "positives"),
    **{f"threshold.*.{name}": FLAG for name in ("by_class", "inclusive")},
    "logger.*.offline": FLAG,
    "training.steps": whole(1),
    "training.batch_size": whole(1),
    "training.num_workers": whole(0, 1024),
    "training.validate_every": whole(1),
    "training.empties": whole(0),
    "training.loss.negative_weight": number(0, 1e9),
    "training.loss.mismatch_weight": number(0, 1e9),
    "training.validation_share": number(0, 0.5, above=True),
    "training.learning_rate": number(0, 1e3, above=True),
    "training.weight_decay": number(0, 1e3),
    "training.loss.temperature": number(0, 1e6, above=True),
    "training.loss.pooled_area": number(0, 1, above=True),
    "training.jitter": number(0, 1e3),
    "training.shuffle_sounds": FLAG,
    "training.weights": _by_part(PATH).or_null("random weights"),
    "training.weights.*": PATH,
    "training.frozen": _listed("a list of different names, as in [image,audio.norm]", NAME),
    "training.loss.epsilon": number(-1e9, 1e9),
    "training.loss.epsilon2": number(-1e9, 1e9),
    "training.loss.softness": number(0, 1e6, above=True),
    "training.negatives.*.draws": whole(1),
}
"""By key, `*` for any name within a group. The files in `conf/` say what each is for."""


def check_options(config: DictConfig) -> None:
    """Raise a `UsageError` for the first option of a configuration that cannot be.

    Keys that are not in the table, and those of classes of other packages, may be anything.
    """
    policy = choice(*_policy_names(config))
    columns = {f"overview.{each}": policy for each in ("positives", "marked", "equal", "universal")}
    options = {**OPTIONS, **columns}
    _check_node(config, "", [(pattern.split("."), option) for pattern, option in options.items()])


def _check_node(node: Any, key: str, live: Sequence[tuple[Sequence[str], Option]]) -> None:
    """Check a node and what it holds by the rest of the patterns that have matched so far.

    Each node is looked at once, and none that no pattern matches: OmegaConf is slow.
    """
    for rest, option in live:
        if not rest:
            option.check(key, node)
    if not isinstance(node, DictConfig):
        return
    target = "" if OmegaConf.is_missing(node, "_target_") else str(node.get("_target_") or "")
    if target and key.partition(".")[0] in _OF_CLASSES and not target.startswith("vssl."):
        return
    for name in node:
        on = [(rest[1:], option) for rest, option in live if rest and rest[0] in ("*", name)]
        if on and name in node and not OmegaConf.is_missing(node, name):
            _check_node(node[name], (f"{key}." if key else "") + str(name), on)


def _policy_names(config: DictConfig) -> tuple[str, ...]:
    """Threshold policies that exist: those of vssl, and those that are configured."""
    known = {file.stem for file in group_files("threshold")}
    own = config.get("threshold") or {}
    named = [str(n.get("name") or key) for key, n in own.items() if isinstance(n, DictConfig)]
    sets = {"all", "standard", "released"}
    return tuple(dict.fromkeys([*sorted(known - sets), *map(str, own), *named]))


GROUPS = ("negatives", "threshold", "metrics")
"""Groups that hold several members, each with options of its own."""


def allow_absent(arguments: Sequence[str]) -> list[str]:
    """Force options that Hydra would refuse, although they mean something.

    Those of a model's parts, as `model.sha256.image=HASH`, which its yaml may lack: a part that the
    model does not have is refused later, with those that it has. In a sweep over a group those of
    members that some jobs lack, as `-m negatives=silence,noise negatives.noise.draws=3`: such jobs
    get the option, and `drop_absent_members` takes it away again. Hydra refuses options that no
    member has.
    """
    parts = ("model.weights.", "model.sha256.")
    arguments = [f"++{word}" if word.startswith(parts) else word for word in arguments]
    if {"-m", "--multirun"}.isdisjoint(arguments):
        return arguments
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


def with_override(arguments: Sequence[str], override: str) -> list[str]:
    """Put an override beside the others: Hydra's options stand before or behind, not between."""
    others = (n for n, each in enumerate(arguments) if "=" in each and not each.startswith("-"))
    place = next(others, len(arguments))
    return [*arguments[:place], override, *arguments[place:]]


def drop_absent_members(config: DictConfig) -> list[str]:
    """Take options away whose member a configuration lacks; returns their names."""
    dropped = []
    with open_dict(config):
        for group in GROUPS:
            members = config.get(group)
            for name in list(members or ()):
                if isinstance(members[name], DictConfig) and "_target_" not in members[name]:
                    dropped += [f"{group}.{name}.{option}" for option in members[name]]
                    del members[name]
    return dropped


IMAGE_LESSON = """`image` says how a picture becomes the network's input. In the model's yaml \
(docs/own-model.md) begin with

defaults:
  - image: imagenet   # bicubic to 224 x 224; ImageNet's mean and deviation of each channel

or add a block with any callable from a picture [3, H, W] in [0, 1] to the input:

image:
  _target_: mypackage.MyTransform"""
"""What to do about a model whose yaml has no `image`."""


def hint_for(key: str, arguments: Sequence[str]) -> str:
    """Tell what a misspelt key of a group's member means, as `negatives.nois.draws`; else empty."""
    group, member, option = [*key.split(".", 2), "", ""][:3]
    if group not in GROUPS or not option:
        return ""
    members = _members(group, arguments)
    if option in members.get(member, ()):
        return (
            f"\n{group}.{member} is not part of this run. Add {member} to {group}=, or leave"
            " its option out."
        )
    if member in members:
        return near_keys(f"{group}.{member}", option, members[member] - {"_target_"})
    return near_keys(group, member, members, f".{option}")


def near_keys(parent: str, key: str, known: Iterable[str], behind: str = "") -> str:
    """Name the key that a misspelt one within a parent may mean, and all that there are."""
    meant = f"{parent}.{{}}".removeprefix(".") + behind
    place, listed = f" in {parent}" if parent else "", sorted(known)
    hint = did_you_mean(key, listed, f"\nDid you mean {meant}?")
    return f"{hint}\nWhat exists{place}: {', '.join(listed)}"


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
    for file in group_files(group, arguments):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError:  # Hydra says so
            continue
        for name, options in content.items() if isinstance(content, dict) else ():
            if isinstance(options, dict) and "_target_" in options:
                found[str(name)] |= {str(option) for option in options}
    return found

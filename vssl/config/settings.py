"""The settings of a run: a configuration that was checked once, as typed and frozen values.

What is to be made is kept as a recipe: a mapping with `_target_`, the class, and its arguments.
Wherever a recipe is expected, an object that was made already may be given instead: as `_target_`
of the groups `model` and `data`, else in place of the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf, open_dict

from vssl.config import identity
from vssl.config.options import IMAGE_LESSON, check_options
from vssl.core.errors import UsageError
from vssl.core.hashing import config_hash, file_sha256
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.data import ids
from vssl.data.synthetic.variants import DEFAULT_DIFFICULTY, DEFAULT_SPLIT, variant_name
from vssl.records.files import recorded_sha256, run_in

Recipe = Any
"""A mapping with `_target_` and arguments, or the object itself."""

FOLDER = "<the run's folder>"
"""Stands in loggers' recipes for the folder that only the run knows."""

_SWITCHES_OF = {"corrected": {"antialias": True}, "released": {"antialias": False}}
"""What tells the two protocols apart besides switches that are set to the protocol's own name."""


@dataclass(frozen=True)
class ModelSettings:
    """The model, its weights, and what prepares its input."""

    name: str
    network: Recipe
    frontend: Recipe | None  # None: takes no audio
    image: Recipe | None  # None: only where no run is made, as in vssl-models
    weights: Mapping[str, Path]  # by part of the network; the part of a single file is ""
    maps: Path | None  # of a model whose maps are stored
    sha256: Mapping[str, str]  # of the weights, by part; what is not there takes any
    released: Mapping[str, Any]  # what the authors' evaluation does otherwise
    compile: bool
    channels_last: bool
    fold_batch_norms: bool
    group: Mapping[str, Any]  # all keys

    @classmethod
    def of(cls, group: Mapping[str, Any], *, protocol: str = "corrected") -> Self:
        """Read the group `model`; keys that may be left out are as in `conf/network.yaml`.

        What makes networks faster is on unless set, but not under the released protocol: the
        published numbers are of the networks as they were, and near a threshold a rounding counts.
        """

        def quicker(option: str) -> bool:
            chosen = group.get(option)
            return protocol != "released" if chosen is None else bool(chosen)

        name, target = _required(group, "model", "name", "_target_")
        is_recipe = isinstance(target, str)
        return cls(
            name=str(name),
            network={"_target_": target, **(group.get("arguments") or {})} if is_recipe else target,
            frontend=group.get("frontend"),
            image=group.get("image"),
            weights={
                part: Path(p).expanduser() for part, p in by_part(group.get("weights")).items()
            },
            maps=_path(group.get("maps")),
            sha256=by_part(group.get("sha256")),
            released=group.get("released") or {},
            compile=bool(group.get("compile")),
            channels_last=quicker("channels_last"),
            fold_batch_norms=quicker("fold_batch_norms"),
            group=group,
        )

    def source_of(self, part: str) -> str:
        """Where the file of a part comes from."""
        sources = by_part(self.group.get("source"))
        return sources.get(part) or sources.get("", "")


@dataclass(frozen=True)
class DataSettings:
    """The test set."""

    name: str
    reader: Recipe
    root: str | None
    leaves_out: bool  # whether it depends on the files which samples are evaluated
    group: Mapping[str, Any]  # all keys

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Self:
        """Read the group `data`."""
        name, target = _required(group, "data", "name", "_target_")
        root = group.get("root")
        return cls(
            name=str(name),
            reader=group if isinstance(target, str) else target,
            root=None if root is None else str(root),
            leaves_out="skip" in (group.get("missing"), group.get("silent")),
            group=group,
        )

    @property
    def shown_name(self) -> str:
        """The name of what is evaluated: that of the test set, or of the part of it."""
        listed, limit = self.group.get("ids"), self.group.get("limit")
        return ids.shown_name(self.name, ids=listed, limit=limit, options=self.group)

    @property
    def folder_name(self) -> str:
        """The shown name as a folder has it, such as `vggss-first-20`."""
        part = self.shown_name.removeprefix(self.name)
        return self.name + re.sub(r"[^\w.]+", "-", part).rstrip("-")

    @property
    def part(self) -> dict[str, Any]:
        """Which part of the test set is evaluated; empty for all of it."""
        part: dict[str, Any] = {
            key: self.group[key]
            for key, words in ids.PART_WORDS.items()
            if self.group.get(key) in tuple(words)
        }
        flags = Path(str(self.group.get("flags") or "")).expanduser()
        if flags.is_file():
            part["flags"] = {"file": flags.name, "sha256": file_sha256(flags)}
        if self.group.get("ids") is not None:
            listed = ids.read_ids(self.group["ids"])
            part["ids"] = {
                "file": listed.path.name,
                "listed": len(listed.ids),
                "sha256": listed.sha256,
            }
        if self.group.get("limit") is not None:
            part["limit"] = self.group["limit"]
        return part

    @property
    def noise_use(self) -> str:
        """What noise is drawn for: the data set by its name, and by its seed where that is not 0.

        Each has noise of its own, see `vssl.negatives.base.AudioCondition.draw_seed`. That of the
        embedded benchmark's test split has no name, as it is older than the others.
        """
        use = f"{self.name} {self.group.get('seed') or ''}".rstrip()
        return "" if use == variant_name(DEFAULT_SPLIT, DEFAULT_DIFFICULTY, None) else use


@dataclass(frozen=True)
class NegativesSettings:
    """The audio conditions besides the positive, by name, and the manifest to replay."""

    conditions: Mapping[str, Recipe]
    manifest: Path | None
    group: Mapping[str, Any]  # all keys

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Self:
        """Read the group `negatives`.

        In a sweep it may hold options of negatives that the job lacks, see `vssl.config.options`.
        """
        conditions = {
            name: recipe
            for name, recipe in group.items()
            if name != "manifest" and not (isinstance(recipe, Mapping) and "_target_" not in recipe)
        }
        return cls(conditions, _path(group.get("manifest") or None), group)

    @property
    def name(self) -> str:
        """`all` for the paper's three, `none`, or the names joined by `+`."""
        names = list(self.conditions)
        return "all" if names == list(NEGATIVE_TYPES) else "+".join(names) or "none"


@dataclass(frozen=True)
class ProtocolSettings:
    """The protocol: its name, and its switches."""

    name: str
    switches: Mapping[str, Any]
    group: Mapping[str, Any]  # all keys

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Self:
        """Read the group `protocol`."""
        (name,) = _required(group, "protocol", "name")
        # earlier protocols, without it, are the same
        group = {key: v for key, v in group.items() if (key, v) != ("map_transform", "model")}
        return cls(str(name), {key: v for key, v in group.items() if key != "name"}, group)

    def as_released(self, switch: str) -> bool:
        """Whether a switch is set to what the authors' evaluation does."""
        return bool(self.switches[switch] == "released")

    @property
    def map_transform(self) -> str | None:
        """The post-processing of every upsampled map; None for the model's."""
        return self.switches.get("map_transform")

    @property
    def full_name(self) -> str:
        """The name; switches that are not the protocol's own are named behind it.

        `corrected`, `released`, or e.g. `corrected+antialias=False`.
        """
        if self.name not in _SWITCHES_OF:
            return self.name
        own = _SWITCHES_OF[self.name]
        switches = self.switches.items()
        changed = [f"{key}={value}" for key, value in switches if value != own.get(key, self.name)]
        return "+".join([self.name, *changed])


@dataclass(frozen=True)
class PriorSettings:
    """The object prior; its name is `none` where there is no prior."""

    name: str
    network: Recipe | None
    image: Recipe | None  # None: the model's
    weights: Path | None  # None: looked for in `weights_folder`, and in torch.hub's cache
    weights_folder: Path
    sha256: str | None
    source: str
    alpha: float
    scale: str
    group: Mapping[str, Any]  # all keys

    @classmethod
    def of(cls, group: Mapping[str, Any], *, weights_folder: Any) -> Self:
        """Read the group `prior`; the folder is `paths.weights`."""
        (name,), target = _required(group, "prior", "name"), group.get("_target_")
        return cls(
            name=str(name),
            network={"_target_": target} if isinstance(target, str) else target,
            image=group.get("image"),
            weights=_path(group.get("weights")),
            weights_folder=Path(str(weights_folder)).expanduser(),
            sha256=group.get("sha256"),
            source=str(group.get("source", "")),
            alpha=group.get("alpha", 1.0),
            scale=str(group.get("scale", "")),
            group=group,
        )

    def find_weights(self) -> Path | None:
        """The weights file that is named or found, if any; None for `prior=none`."""
        if self.name == "none" or self.weights is not None:
            return self.weights
        from vssl.models.object_prior import find_weights  # noqa: PLC0415 torch, --help

        return find_weights(self.weights_folder)

    def facts(self) -> dict[str, Any] | None:
        """What tells two priors apart: weight, scale and weights file; None for `prior=none`."""
        path = self.find_weights()
        if path is None:
            return None
        sha256 = file_sha256(path) if path.is_file() else None
        return {"alpha": self.alpha, "scale": self.scale, "sha256": sha256}


@dataclass(frozen=True)
class ScoringSettings:
    """What can change scores and summary of a run, but no record.

    Both `vssl-evaluate` and `vssl-rescore` have these settings.
    """

    threshold: Mapping[str, Recipe]
    metrics: Mapping[str, Recipe]
    calibration: str | None  # folder of the run that thresholds are learnt from
    bootstrap: Mapping[str, int]
    subsets: Sequence[str] | None

    @classmethod
    def of(cls, config: DictConfig | dict[str, Any]) -> Self:
        """Read a configuration, or what `run.json` has of it; it is not checked here."""
        if isinstance(config, dict):
            config = OmegaConf.create(config)
        return cls(
            threshold=_plain(config, "threshold"),
            metrics=_plain(config, "metrics"),
            calibration=config.calibration,
            bootstrap=_plain(config, "bootstrap"),
            subsets=_content(config.subsets),
        )

    @property
    def calibration_run(self) -> Path | None:
        """The calibration run; None for the run itself.

        Raises:
            UsageError: when there is no run.
        """
        return run_in(Path(self.calibration).expanduser()) if self.calibration else None

    @property
    def identity(self) -> dict[str, Any]:
        """What the hash is of. The calibration run counts by its content."""
        parts = {
            name: identity.described(getattr(self, name))
            for name in ("threshold", "metrics", "calibration", "bootstrap", "subsets")
        }
        if self.calibration is not None:  # those of earlier versions by their folder
            known = recorded_sha256(Path(self.calibration).expanduser())
            parts |= {} if known is None else {"calibration_sha256": known}
        return parts

    @property
    def hash(self) -> str:
        """Hash by which a finished run knows whether its scores are still those asked for."""
        return config_hash(self.identity)


@dataclass(frozen=True)
class TrainerSettings:
    """Lightning's trainer: what is read elsewhere, and the recipe with all of it."""

    accelerator: str
    devices: Any
    precision: str
    progress_bar: bool
    recipe: Mapping[str, Any]

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Self:
        """Read the group `trainer`."""
        keys = ("accelerator", "devices", "precision", "enable_progress_bar")
        accelerator, devices, precision, bar = _required(group, "trainer", *keys)
        return cls(str(accelerator), devices, str(precision), bool(bar), group)


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run. `dataclasses.replace` makes others of them.

    `config` is what `run.json` keeps: the configuration with its interpolations.
    """

    model: ModelSettings
    data: DataSettings
    negatives: NegativesSettings
    protocol: ProtocolSettings
    prior: PriorSettings
    scoring: ScoringSettings
    trainer: TrainerSettings
    loader: Mapping[str, int | None]  # batch_size, audio_batch_size, num_workers
    cache: Mapping[str, Any]  # folder of feature tables, None for none, and their gigabytes
    overview: Mapping[str, str]  # threshold policies of tables over several models
    seed: int
    force: bool  # whether a finished run is evaluated again
    shard_seconds: float  # records are written at least this often
    config: Mapping[str, Any]
    loggers: Mapping[str, Recipe] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """Check and resolve the configuration `evaluate`.

        Raises:
            UsageError: for an option that cannot be.
        """
        check_options(config)
        settings = replace(cls.unchecked(config), loggers=_loggers(config))
        _check_image(settings.model)
        return settings

    @classmethod
    def unchecked(cls, config: DictConfig) -> Self:
        """Resolve a configuration that may still be composed: not checked, without loggers."""
        protocol = ProtocolSettings.of(_plain(config, "protocol"))
        return cls(
            model=ModelSettings.of(_plain(config, "model"), protocol=protocol.name),
            data=DataSettings.of(_plain(config, "data")),
            negatives=NegativesSettings.of(_plain(config, "negatives")),
            protocol=protocol,
            prior=PriorSettings.of(_plain(config, "prior"), weights_folder=config.paths.weights),
            scoring=ScoringSettings.of(config),
            trainer=TrainerSettings.of(_plain(config, "trainer")),
            loader=_plain(config, "loader"),
            cache=_plain(config, "cache"),
            overview=_plain(config, "overview"),
            seed=config.seed,
            force=config.force,
            shard_seconds=config.get("shard_seconds", 30),  # earlier runs lack it
            config=_content(config, resolve=False),
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What can change the records, see `vssl.config.identity.run_identity`."""
        return identity.run_identity(self)

    @cached_property
    def identity_hash(self) -> str:
        """Hash by which a folder knows whether its finished run is this one."""
        return config_hash(self.identity)

    @property
    def network_hash(self) -> str:
        """Hash of what makes a model's maps besides its weights: front end, images, precision."""
        return config_hash({key: self.identity[key] for key in ("model", "precision")})

    @property
    def map_unit(self) -> dict[str, Any]:
        """What the unit of maps depends on, as `vssl.records.fit.check_calibration` takes it."""
        return {
            "model": self.model.name,
            "weights_sha256": identity.weights_sha256(self.identity),
            "protocol_switches": self.protocol.switches,
            "prior": self.prior.facts(),
            "network_hash": self.network_hash,
        }

    @property
    def names(self) -> dict[str, str]:
        """The parts by the names that users filter runs by."""
        return {
            "model": self.model.name,
            "data": self.data.shown_name,
            "negatives": self.negatives.name,
            "protocol": self.protocol.full_name,
            "prior": self.prior.name,
        }

    @property
    def known(self) -> dict[str, Any]:
        """What loggers show of the settings."""
        facts = {"run": self.names, "config_hash": self.identity_hash}
        return {**self.identity, **self.scoring.identity, **facts}


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training: `vssl-train`."""

    model: ModelSettings
    train: DataSettings
    validation: DataSettings
    trainer: TrainerSettings
    options: Mapping[str, Any]  # all keys of the group `training`
    weights: Mapping[str, Path]  # to begin with, by part of the network
    seed: int
    config: Mapping[str, Any]  # what the weights' provenance keeps: no paths of this machine

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """Check and resolve the configuration `train`.

        Raises:
            UsageError: for an option that cannot be.
        """
        check_options(config)
        splits: list[DataSettings] = []
        for name in ("train", "validation"):
            changed = config.copy()
            with open_dict(changed):
                changed.data = OmegaConf.merge(changed.data, config.training[name])
            check_options(changed)
            splits.append(DataSettings.of(_plain(changed, "data")))
        paths = {"model": ("weights",), "data": ("cache", "root"), "protocol": (), "training": ()}
        model = ModelSettings.of(_plain(config, "model"), protocol=str(config.protocol.name))
        _check_image(model)
        options = _plain(config, "training")
        return cls(
            model=model,
            train=splits[0],
            validation=splits[1],
            trainer=TrainerSettings.of(_plain(config, "trainer")),
            options=options,
            weights={p: Path(w).expanduser() for p, w in by_part(options["weights"]).items()},
            seed=config.seed,
            config={
                part: {key: v for key, v in _plain(config, part).items() if key not in left_out}
                for part, left_out in paths.items()
            },
        )


def by_part(value: Any) -> dict[str, str]:
    """Texts by part of a network; one alone is of the part "", None is left out."""
    parts = value if isinstance(value, Mapping) else {"": value}
    return {str(part): str(each).strip() for part, each in parts.items() if each is not None}


def _path(value: Any) -> Path | None:
    return None if value is None else Path(str(value)).expanduser()


def _required(group: Mapping[str, Any], part: str, *keys: str) -> list[Any]:
    """Values of keys; UsageError for one that is missing."""
    for key in keys:
        if key not in group:
            raise UsageError(f"{part}.{key} is not set, and {part} needs it.")
    return [group[key] for key in keys]


def _check_image(model: ModelSettings) -> None:
    """UsageError with a lesson for a model whose yaml does not say how pictures are prepared."""
    if "image" not in model.group:
        raise UsageError(f"model.image is not set, and model {model.name} needs it. {IMAGE_LESSON}")


def _content(value: Any, *, resolve: bool = True) -> Any:
    if not OmegaConf.is_config(value):
        return value
    return OmegaConf.to_container(value, resolve=resolve, throw_on_missing=resolve)


def _plain(config: DictConfig, group: str) -> dict[str, Any]:
    """A group with its interpolations resolved; empty where there is none."""
    return {str(key): value for key, value in (_content(config.get(group)) or {}).items()}


def _loggers(config: DictConfig) -> dict[str, Recipe]:
    """The loggers' recipes, in which Hydra's name for the run's folder is replaced."""
    loggers = config.logger.copy()
    for recipe in loggers.values():
        for key, value in _content(recipe, resolve=False).items():
            if value == "${hydra:runtime.output_dir}":  # known to commands alone
                recipe[key] = FOLDER
    return {str(name): recipe for name, recipe in _content(loggers).items()}

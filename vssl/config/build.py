"""Configuration to objects: the parts of a run, with the protocol's choices applied."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from vssl.config.compose import composed_config
from vssl.config.networks import build_model, build_prior, keep_float32, make
from vssl.config.options import OPTIONS
from vssl.config.settings import DataSettings, Recipe, RunSettings, ScoringSettings, TrainerSettings
from vssl.core.choices import UPSAMPLING_RULES
from vssl.core.devices import chosen_devices, usable_cores
from vssl.core.errors import UsageError
from vssl.data.base import CheckedData, DatasetReader
from vssl.engine.localizer import Localizer
from vssl.frontends import FrontEnd
from vssl.images import Transform
from vssl.metrics.base import CombinedMetric
from vssl.models.weights import WeightsReport
from vssl.negatives.base import AudioCondition
from vssl.records.score import AnyMetric
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.types import POSITIVE, SAMPLE_RATE, SoundingObject, SoundingObjects

_log = logging.getLogger(__name__)
_MADE = ("silence", "noise")  # what the released code makes; it knows no other


def build_reader(data: DataSettings) -> DatasetReader:
    """The test set's reader; UsageError when it does not take its configuration."""
    return cast("DatasetReader", make(data.reader))


def check_data(settings: RunSettings) -> CheckedData:
    """Read the test set, and leave out what the model's front ends cannot take."""
    reader = build_reader(settings.data)
    set_needs(reader, settings)
    return reader.check()


def set_needs(reader: DatasetReader, settings: RunSettings) -> None:
    """Tell a reader what the model's front ends need of a clip, under whatever condition."""
    frontends = build_frontends(settings, list(settings.negatives.conditions))
    # what is made at a length of its own says nothing of clips
    own = () if made_length(settings) is None else _MADE
    needs = [each.least_samples() for name, each in frontends.items() if name not in own]
    reader.least_samples = max(needs, default=1)
    if frontends:
        reader.rate = frontends[POSITIVE].rate


def build_conditions(settings: RunSettings) -> list[AudioCondition]:
    """The audio conditions besides the positive, in order; their draws are checked."""
    conditions = []
    for name, recipe in settings.negatives.conditions.items():
        for condition in _conditions_of(recipe):
            OPTIONS["negatives.*.draws"].check(f"negatives.{name}: draws", condition.draws)
            conditions.append(condition)
    return conditions


def build_localizer(
    settings: RunSettings, conditions: Sequence[AudioCondition], *, device: str = "cpu"
) -> tuple[Localizer, tuple[dict[str, WeightsReport], WeightsReport | None]]:
    """The networks, not compiled, with what prepares their input; reports of both weights.

    The conditions are told what the model hears: `AudioCondition.rate` and `hear`.

    Raises:
        UsageError: as `build_model`, `build_prior` and `build_frontends`.
    """
    frontends = build_frontends(settings, [condition.name for condition in conditions])
    if frontends:
        positive = frontends[POSITIVE]
        for each in conditions:
            frontend = frontends.get(each.name, positive)
            each.rate = frontend.rate
            each.hear(positive.window, frontend.window)
    transform, prior_transform = build_transforms(settings)
    model, by_part = build_model(settings.model)
    prior, prior_report = build_prior(settings, model)
    localizer = Localizer(
        model,
        name=settings.model.name,
        transform=transform,
        frontends=frontends,
        prior=prior,
        prior_transform=prior_transform,
        device=device,
        precision=settings.trainer.precision,
    )
    return localizer, (by_part, prior_report)


def configured_sounding_objects(settings: RunSettings) -> SoundingObjects:
    """Which object of the picture sounds, by audio condition of the settings.

    Classes tell it without an instance, which might read files.
    """
    objects = SoundingObjects({POSITIVE: SoundingObject.OWN})
    for name, recipe in settings.negatives.conditions.items():
        kind: Any = get_object(recipe["_target_"]) if isinstance(recipe, Mapping) else None
        if isinstance(kind, type):
            objects[name] = cast("Any", kind).sounding_object
        else:  # a function that makes one or several, or an object
            objects.update({c.name: c.sounding_object for c in _conditions_of(recipe)})
    return objects


def _conditions_of(recipe: Recipe) -> list[AudioCondition]:
    made = make(recipe)
    return made if isinstance(made, list) else [made]


def has_negatives(settings: RunSettings) -> bool:
    """Whether nothing in the picture sounds under some of the configured audio conditions."""
    return SoundingObject.NONE in configured_sounding_objects(settings).values()


def build_metrics(scoring: ScoringSettings) -> list[AnyMetric]:
    """The metrics; UsageError when there is none, or a combined one lacks what it combines."""
    metrics: list[AnyMetric] = [make(recipe) for recipe in scoring.metrics.values()]
    if not metrics:
        raise UsageError("metrics is empty: choose metrics=all or a list.")
    there = {metric.name for metric in metrics}
    for each in metrics:
        if isinstance(each, CombinedMetric) and not {each.positive, each.negative} <= there:
            raise UsageError(
                f"metrics: {each.name} combines {each.positive} and {each.negative}; add both."
            )
    return metrics


def build_policies(
    scoring: ScoringSettings, *, model: str, negatives: bool
) -> list[ThresholdPolicy]:
    """Build the threshold policies that this run can have; others are logged and left out.

    Raises:
        ThresholdError: when none is left.
    """
    usable, reasons = [], {}
    for name, recipe in scoring.threshold.items():
        policy: ThresholdPolicy = make(recipe)
        try:
            policy.check_model(model)
            if policy.needs_fit and not negatives and scoring.calibration is None:
                raise ThresholdError(
                    f"threshold {name} is learnt from negatives, but there are none. Use"
                    " negatives=all, or calibration=FOLDER of another run."
                )
        except ThresholdError as error:
            reasons[name] = str(error)
        else:
            usable.append(policy)
    if not usable:
        raise ThresholdError("; ".join(reasons.values()) or "threshold is empty: choose a policy.")
    if reasons:
        _log.info(
            "left out, not possible for this run (negatives: %s, model: %s): %s",
            "yes" if negatives else "none", model, ", ".join(reasons),
        )  # fmt: skip
    return usable


def build_trainer(
    settings: TrainerSettings, *, loggers: list[Logger], callbacks: list[Callback], **options: Any
) -> Trainer:
    """The Lightning trainer; `options` stand in place of the configured ones.

    `accelerator=auto` means CUDA or the CPU: Apple's GPUs lack the float64 that the metrics need.

    Raises:
        UsageError: when Lightning does not take them.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    accelerator = settings.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    keep_float32(settings)
    try:
        trainer: Trainer = instantiate(
            settings.recipe,
            accelerator=accelerator,
            precision=settings.precision.replace("tf32", "32-true"),  # of the networks alone
            logger=loggers,
            callbacks=callbacks,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            **options,
        )
    except InstantiationException as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UsageError(f"trainer: Lightning does not take these options ({reason}).") from error
    return trainer


def loader_options(settings: RunSettings, *, on_gpu: bool) -> dict[str, int]:
    """`batch_size`, `audio_batch_size` and `num_workers`; what is not set follows from the machine.

    16 at once were the fastest on two CPU cores, with 4 to 32 tried, and reading ahead would take
    the cores from the networks there. A GPU wants more to be busy, and all cores to read for it.
    """
    size, workers = 16, 0
    if on_gpu:
        chosen = chosen_devices(settings.trainer.devices)
        processes = len(chosen) if isinstance(chosen, list) else chosen
        if processes == -1:
            processes = torch.cuda.device_count()
        size, workers = 64, max(1, len(usable_cores()) // max(1, processes))
    defaults = {"batch_size": size, "audio_batch_size": size, "num_workers": workers}
    return defaults | {key: value for key, value in settings.loader.items() if value is not None}


def build_transforms(settings: RunSettings) -> tuple[Transform, Transform | None]:
    """The image transforms of the model and, where it takes another, of the object prior."""
    transform: Transform = make(settings.model.image)
    own = settings.prior.image
    same = own is None or own == settings.model.image
    return transform, None if same else make(own)


def build_frontends(settings: RunSettings, conditions: Sequence[str]) -> dict[str, FrontEnd]:
    """Front end by audio condition: one for all, but for what the protocol takes as released.

    A sound of an object in the picture always passes through the positive's. Conditions that are
    not in the result share the positive's. Empty for a model that takes no audio.
    """
    if settings.model.frontend is None:
        return {}
    positive = frontend_recipe(settings, POSITIVE)
    frontends: dict[str, FrontEnd] = {POSITIVE: make(positive)}
    for condition in conditions:
        recipe = frontend_recipe(settings, condition)
        if recipe != positive:
            frontends[condition] = make(recipe)
    return frontends


def frontend_recipe(settings: RunSettings, condition: str) -> Recipe:
    """The model's front end, with what the protocol takes as released for one condition.

    What the released code does not know, and an object of the picture gives, is prepared as the
    positive is.
    """
    frontend, released = settings.model.frontend, settings.model.released
    if not isinstance(frontend, Mapping):
        return frontend
    if configured_sounding_objects(settings)[condition] != SoundingObject.NONE:
        condition = POSITIVE
    as_released, recipe = settings.protocol.as_released, dict(frontend)
    if as_released("log_missing") and condition in released.get("log_missing", ()):
        recipe["log"] = False
    if as_released("made_audio") and condition in _MADE and "made_audio" in released:
        recipe["window"] = released["made_audio"]["window"]
    for name, role in (("positive_window", POSITIVE), ("offscreen_window", "offscreen")):
        if as_released(name) and condition == role:
            recipe["window"] = {**recipe["window"], **released.get(name, {})}
    return recipe


def made_length(settings: RunSettings) -> int | None:
    """Length of silence and noise at `SAMPLE_RATE` under the protocol; None for the clip's own."""
    made = settings.model.released.get("made_audio")
    if made is None or not settings.protocol.as_released("made_audio"):
        return None
    length: int = round(made["seconds"] * SAMPLE_RATE)
    return length


def upsampling_rules(settings: RunSettings, conditions: Sequence[str]) -> dict[str, str]:
    """Upsampling rule by audio condition under the protocol, the positive included.

    The released code has a rule of its own for positives, and one for all else. A protocol may
    name one of `vssl.core.choices.UPSAMPLING_RULES` for all.
    """
    names, rule = [POSITIVE, *conditions], str(settings.protocol.switches["upsampling"])
    if rule in UPSAMPLING_RULES:
        return dict.fromkeys(names, rule)
    released = settings.model.released.get("upsampling")
    if not released or not settings.protocol.as_released("upsampling"):
        return dict.fromkeys(names, "half_pixel")
    positive = released.get(settings.data.name) or released["other"]
    return {**dict.fromkeys(names, "opencv"), POSITIVE: positive}


def policies_named(names: Sequence[str]) -> list[ThresholdPolicy]:
    """Threshold policies by the names of their files in `conf/threshold/`, once each."""
    wanted = ",".join(dict.fromkeys(names))
    scoring = ScoringSettings.of(composed_config("rescore", [f"threshold=[{wanted}]"]))
    return [make(recipe) for recipe in scoring.threshold.values()]


def policy_again(recipe: Recipe) -> ThresholdPolicy:
    """A threshold policy of an earlier run; ThresholdError when its class is not there now."""
    try:
        return cast("ThresholdPolicy", make(recipe))
    except (InstantiationException, UsageError) as error:
        raise ThresholdError(" ".join(str(error.__cause__ or error).split())) from error


_OF_THE_LOSS = ("temperature", "mismatch_weight", "negative_weight", "pooled_area")


def build_loss(options: Mapping[str, Any]) -> torch.nn.Module:
    """The loss of a training; UsageError for arguments that its class does not take."""
    for key in _OF_THE_LOSS:
        if key in options:
            raise UsageError(f"training.{key} is an option of the loss. Set training.loss.{key}.")
    name = options["loss"]["_target_"]
    try:
        loss = make(options["loss"])
    except InstantiationException as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        given = ", ".join(key for key in options["loss"] if key != "_target_") or "none"
        raise UsageError(
            f"training.loss: {name} does not take the arguments {given} ({error.__cause__}). A loss"
            " with arguments of its own is a file conf/training/loss/NAME.yaml in the folder of"
            " --config-dir, chosen by training/loss=NAME."
        ) from error
    if not isinstance(loss, torch.nn.Module):
        kind = type(loss).__name__
        raise UsageError(f"training.loss: {name} makes no torch.nn.Module, but a {kind}.")
    return loss

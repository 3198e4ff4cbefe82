"""Configuration to what vssl-localize needs: a localizer, its negatives, a threshold."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, open_dict

from vssl.commands.identity import (
    composed_config,
    network_hash,
    protocol_name,
    protocol_switches,
)
from vssl.commands.localize_threshold import Wanted, find_rates, find_threshold
from vssl.commands.options import check_options
from vssl.errors import UsageError
from vssl.types import AudioClip, AudioRequest

if TYPE_CHECKING:
    import torch

    from vssl.engine.localizer import Localizer
    from vssl.negatives.base import AudioCondition
    from vssl.records.error_rates import ErrorRates
    from vssl.records.localization import Localization
    from vssl.reporting.verdict import MapNumbers, Threshold

_log = logging.getLogger(__name__)
_FIXED = ("logger=none", "negatives=[silence,noise]")


@dataclass(frozen=True)
class Setup:
    """What pictures and sounds are localized with.

    Attributes:
        name: name of the model.
        localizer: the model with its front ends.
        recipe: how localization maps follow from native ones.
        conditions: the negatives; all make their sounds, of nothing or of the given one.
        made_length: length in samples of what they make; None for that of the given sound.
        seed: seed of their draws.
        batch_size: how many pictures go through the networks at once.
        threshold: the threshold; None where there is none to judge by.
        rates: how often a verdict is wrong in the calibration run; None without one.
        facts: where the numbers come from.
    """

    name: str
    localizer: Localizer
    recipe: Localization
    conditions: tuple[AudioCondition, ...]
    made_length: int | None
    seed: int
    batch_size: int
    threshold: Threshold | None
    rates: ErrorRates | None
    facts: dict[str, Any]

    @property
    def bounds(self) -> tuple[float, float]:
        """The range that maps are drawn in; infinite where none is declared."""
        prior = self.recipe.prior
        if prior is None:
            return self.recipe.value_range
        return (0.0, 1.0) if prior["scale"] == "corrected" else (-math.inf, math.inf)

    def negatives(self, clip: AudioClip) -> list[tuple[str, int, AudioClip]]:
        """The negatives of a sound: audio condition, draw and sound.

        Args:
            clip: the given sound at 16 kHz, which noise may be as loud as.
        """
        made = self.made_length or clip.samples.shape[1]

        def read(source: str) -> AudioClip:
            return clip

        return [
            (condition.name, draw, condition.make(self._request(condition, draw, made), read))
            for condition in self.conditions
            for draw in range(condition.draws)
        ]

    def _request(self, condition: AudioCondition, draw: int, length: int) -> AudioRequest:
        from vssl.types import Sample

        nobody = Sample("", Path(), Path(), "", (), "", (), (), length)
        return condition.request(nobody, draw=draw, seed=self.seed, length=length)


def encode_given(setup: Setup, clips: Sequence[AudioClip], path: Path) -> Any:
    """Encodings `[M, ...]` of the given sound's clips.

    Raises:
        UsageError: with the file's name, when they are too short.
    """
    try:
        return setup.localizer.encode_sounds(clips)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def encode_negatives(
    setup: Setup, clip: AudioClip, path: Path
) -> tuple[list[tuple[str, int]], list[Any]]:
    """(Audio condition, draw) pairs of the negatives of a sound, and their encodings.

    Raises:
        UsageError: with the sound's name, when they are too short, as it is.
    """
    made = setup.negatives(clip)
    pairings, vectors = [], []
    for condition in dict.fromkeys(name for name, _, _ in made):
        clips = [each for name, _, each in made if name == condition]
        try:
            vectors += list(setup.localizer.encode_sounds(clips, condition))
        except UsageError as error:
            raise UsageError(f"{path}: {condition} of its length: {error}") from error
        pairings += [(name, draw) for name, draw, _ in made if name == condition]
    return pairings, vectors


def measure_maps(
    setup: Setup,
    pairings: Sequence[tuple[str, int]],
    similarity: torch.Tensor,
    objects: torch.Tensor | None,
) -> tuple[torch.Tensor, list[MapNumbers]]:
    """Localization maps `[K, 224, 224]` of one image from its native maps, and their numbers.

    Args:
        setup: with the recipe of the maps and the threshold.
        pairings: the K (audio condition, draw) pairs.
        similarity: `[K, h, w]` native similarity maps.
        objects: `[g, g]` native object map; None without a prior.
    """
    from vssl.reporting.verdict import measure

    native = similarity.float().cpu()
    seen = None if objects is None else objects.float().cpu()
    return measure(setup.recipe, native, pairings, seen, setup.threshold)


def composed(wanted: Wanted) -> DictConfig:
    """The configuration `evaluate` with what the command line asks for.

    Raises:
        UsageError: for a folder of configuration that does not exist.
    """
    overrides = [*_FIXED, f"model={wanted.model}", *wanted.overrides]
    if wanted.config_dir is not None:
        if not wanted.config_dir.is_dir():
            raise UsageError(f"{wanted.config_dir}: no such folder (--config-dir)")
        folder = wanted.config_dir.absolute()
        overrides.insert(0, f"hydra.searchpath=[file://{folder}]")
    config = composed_config("evaluate", overrides)
    with open_dict(config):
        if wanted.weights is not None:
            config.model.weights = str(wanted.weights)
        if wanted.noise_draws is not None and "noise" in config.negatives:
            config.negatives.noise.draws = wanted.noise_draws
    return config


def _negatives_without_test_set(conditions: Sequence[AudioCondition]) -> list[AudioCondition]:
    """The negatives that need no test set; others are left out, which is said."""
    from vssl.types import SoundingObject

    kept = [
        condition
        for condition in conditions
        if condition.sounding_object == SoundingObject.NONE and not condition.plays_clips
    ]
    left_out = [condition.name for condition in conditions if condition not in kept]
    if left_out:
        _log.warning(
            "negatives: left out %s: only sounds that are made, of nothing in the picture, say"
            " here whether to trust a map",
            ", ".join(left_out),
        )
    return kept


def set_up(wanted: Wanted) -> Setup:
    """Build what the command line asks for.

    Raises:
        UsageError: for any fault in it.
    """
    import torch

    from vssl.commands import build, networks
    from vssl.commands.provenance import map_facts
    from vssl.engine.localizer import Localizer
    from vssl.models.baselines import Baseline
    from vssl.records.fingerprint import environment
    from vssl.records.localization import Localization

    config = composed(wanted)
    check_options(config)
    networks.check_network_options(config)
    model, report = networks.build_model(config)
    if isinstance(model, Baseline) and model.told:
        raise UsageError(
            f"--model {config.model.name}: it is told {model.told}, and here nobody knows that."
        )
    prior, prior_report = networks.build_prior(config, model)
    conditions = _negatives_without_test_set(build.build_conditions(config))
    names = [condition.name for condition in conditions]
    frontends = build.build_frontends(config, names)
    build.tell_windows(conditions, frontends)
    facts = map_facts(config, model, build.upsampling_rules(config, names), report, prior_report)
    recipe = Localization.of(facts)
    threshold = find_threshold(config, wanted, variant=recipe.variants[-1])
    judged = recipe.transform == "none"
    rates = find_rates(wanted, threshold, variant=recipe.variants[-1]) if judged else None
    networks.compile_model(config, model)
    networks.keep_float32(config)
    on_gpu = networks.on_gpu(config) and torch.cuda.is_available()
    transform, prior_transform = build.build_transforms(config)
    localizer = Localizer(
        model,
        name=str(config.model.name),
        transform=transform,
        frontends=frontends,
        prior=prior,
        prior_transform=prior_transform,
        device="cuda" if on_gpu else "cpu",
        precision=str(config.trainer.precision),
    )
    return Setup(
        name=str(config.model.name),
        localizer=localizer,
        recipe=recipe,
        conditions=tuple(conditions),
        made_length=build.made_length(config),
        seed=int(config.seed),
        batch_size=build.loader_options(config, on_gpu=on_gpu)["batch_size"],
        threshold=threshold,
        rates=rates,
        facts={
            "model": config.model.name,
            "protocol": protocol_name(config),
            "protocol_switches": protocol_switches(config),
            "map_variant": recipe.variants[-1],
            "seed": config.seed,
            "draws": {condition.name: condition.draws for condition in conditions},
            "precision": str(config.trainer.precision),
            "network_hash": network_hash(config),
            "environment": environment(),
            **facts,
        },
    )

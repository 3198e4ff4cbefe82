"""Set-up of vssl-localize by its command line: model, negatives and threshold."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict

from vssl.analysis.error_rates import ErrorRates
from vssl.config import build, networks
from vssl.config.compose import composed_config, whole_group
from vssl.config.provenance import map_facts
from vssl.config.settings import RunSettings
from vssl.core.checks import check_choice
from vssl.core.environment import environment
from vssl.core.errors import UsageError
from vssl.core.hashing import hash_text
from vssl.engine.localizer import Localizer
from vssl.localize.threshold import find_threshold
from vssl.localize.verdict import MapNumbers, Threshold, Verdict, judge
from vssl.negatives.base import AudioCondition
from vssl.records.localization import Localization
from vssl.types import POSITIVE, SAMPLE_RATE, AudioClip, Sample, SoundingObject

_log = logging.getLogger(__name__)
_FIXED = ("logger=none", "negatives=[silence,noise]")
LOCALIZE_POLICY = "universal_q3"


@dataclass(frozen=True)
class LocalizeOptions:
    """Options of the command line; None leaves the configuration as it is.

    At most one of `threshold`, `policy` and `false_alarms` is given, to choose the threshold.
    """

    model: str
    weights: Path | Mapping[str, Path] | None = None  # one file, or several by part
    threshold: float | None = None
    calibration: Path | None = None
    policy: str | None = None
    false_alarms: float | None = None
    noise_draws: int | None = None
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Setup:
    """A model with its negatives and threshold."""

    localizer: Localizer
    recipe: Localization
    conditions: tuple[AudioCondition, ...]
    made_length: int | None  # of the negatives, at `SAMPLE_RATE`; None for the given sound's
    batch_size: int
    threshold: Threshold | None
    rates: ErrorRates | None  # of verdicts, from the calibration run
    facts: dict[str, Any]  # sources of the numbers

    @property
    def rate(self) -> int:
        """Sample rate in Hz of the sounds that the model takes."""
        return self.localizer.frontend().rate if self.localizer.uses_audio else SAMPLE_RATE

    @property
    def bounds(self) -> tuple[float, float]:
        """Range of drawn values; infinite if none is declared."""
        prior = self.recipe.prior
        if prior is None:
            return self.recipe.value_range
        return (0.0, 1.0) if prior["scale"] == "corrected" else (-math.inf, math.inf)

    @property
    def sources(self) -> str:
        """Sources of the numbers in a line: model, weights, threshold, draws, seed."""
        facts, threshold = self.facts, self.threshold
        weights = hash_text((facts["weights"] or {}).get("sha256"), digits=8)
        parts = [
            f"model {facts['model']}",
            f"weights {weights}" if weights else "no weights",
            f"protocol {facts['protocol']}",
        ]
        if facts["prior"]:
            parts.append(f"object-guided maps, alpha {facts['prior']['alpha']:g}")
        if threshold is None:
            parts.append("no threshold")
        else:
            learnt = f", run {threshold.calibration_hash[:8]}" if threshold.calibration_hash else ""
            parts.append(f"threshold {threshold.value:.4f} ({threshold.words}{learnt})")
        parts += [f"{name} x {draws}" for name, draws in facts["draws"].items()]
        low, high = self.bounds
        finite = math.isfinite(low + high)
        drawn = f"in the range [{low:g}, {high:g}]" if finite else "between their own extremes"
        return "; ".join([*parts, f"seed {facts['seed']}", f"maps drawn {drawn}"])

    def judge(self, pictures: Sequence[Sequence[MapNumbers]], *, video: bool) -> Verdict:
        """Judge a picture, or the frames of a video, see `vssl.localize.verdict.judge`."""
        model, transform = self.localizer.name, self.recipe.transform
        return judge(
            pictures, self.threshold, model=model, transform=transform, rates=self.rates,
            video=video,
        )  # fmt: skip

    def negatives(self, clip: AudioClip) -> dict[str, list[AudioClip]]:
        """Make the negatives of a sound by audio condition, one for each draw."""
        own_length = round(clip.samples.shape[1] * SAMPLE_RATE / clip.rate)
        length, seed = self.made_length or own_length, self.facts["seed"]
        sample = Sample("", Path(), Path(), "", (), "", (), (), length)
        clips: dict[str, list[AudioClip]] = {}
        for condition in self.conditions:
            requests = (
                condition.request(sample, draw=draw, seed=seed, length=length)
                for draw in range(condition.draws)
            )
            clips[condition.name] = [condition.make(each, lambda _: clip) for each in requests]
        return clips

    def encode(
        self, clips: Sequence[AudioClip], path: Path, condition: str = POSITIVE
    ) -> list[torch.Tensor]:
        """Encode clips of a sound, or negatives of its length, as `[...]` each."""
        if not clips:
            return []
        try:
            return list(self.localizer.encode_sounds(clips, condition))
        except UsageError as error:
            whose = "" if condition == POSITIVE else f"{condition} of its length: "
            raise UsageError(f"{path}: {whose}{error}") from error

    def encode_negatives(
        self, clip: AudioClip, path: Path
    ) -> tuple[list[tuple[str, int]], list[torch.Tensor]]:
        """Encode the negatives, and list (audio condition, draw) pairs, the positive's first."""
        pairings, vectors = [(POSITIVE, 0)], []
        for condition, clips in self.negatives(clip).items():
            pairings += [(condition, draw) for draw in range(len(clips))]
            vectors += self.encode(clips, path, condition)
        return pairings, vectors


def read_settings(options: LocalizeOptions) -> RunSettings:
    """Read the settings of a run by the options of the command line."""
    overrides = [*_FIXED, f"model={options.model}", *options.overrides]
    config = composed_config("evaluate", [*overrides, whole_group("threshold")])
    policy = options.policy or LOCALIZE_POLICY
    check_choice(policy, sorted(config.threshold), name="--policy")
    with open_dict(config):
        config.threshold = {policy: config.threshold[policy]}
        if isinstance(options.weights, Mapping):
            known = config.model.weights if isinstance(config.model.weights, DictConfig) else {}
            given = {part: str(path) for part, path in options.weights.items()}
            config.model.weights = {**known, **given}
        elif options.weights is not None:
            config.model.weights = str(options.weights)
        if options.noise_draws is not None and "noise" in config.negatives:
            config.negatives.noise.draws = options.noise_draws
    return RunSettings.of(config)


def _negatives_without_test_set(conditions: Sequence[AudioCondition]) -> list[AudioCondition]:
    """Keep synthesized negatives, and warn of the others."""
    silent = [each for each in conditions if each.sounding_object == SoundingObject.NONE]
    kept = [each for each in silent if not each.reuses_clips]
    if left_out := [each.name for each in conditions if each not in kept]:
        _log.warning(
            "negatives: left out %s: vssl-localize plays synthesized negatives only (silence,"
            " noise); others need a test set",
            ", ".join(left_out),
        )
    return kept


def set_up(options: LocalizeOptions) -> Setup:
    """Build the model, its negatives and its threshold by the options of the command line."""
    settings = read_settings(options)
    networks.check_network_options(settings)
    conditions = _negatives_without_test_set(build.build_conditions(settings))
    on_gpu = networks.on_gpu(settings.trainer) and torch.cuda.is_available()
    localizer, reports = build.build_localizer(
        settings, conditions, device="cuda" if on_gpu else "cpu"
    )
    model = localizer.model
    if model.knows:
        raise UsageError(
            f"--model {settings.model.name}: it is told {model.knows}, and here nobody knows that."
        )
    rules = build.upsampling_rules(settings, [condition.name for condition in conditions])
    facts = map_facts(settings, model, rules, *reports)
    recipe = Localization.of(facts)
    threshold, rates = find_threshold(settings, options, recipe)
    networks.compile_model(settings.model, model)
    networks.keep_float32(settings.trainer)
    return Setup(
        localizer=localizer,
        recipe=recipe,
        conditions=tuple(conditions),
        made_length=build.made_length(settings),
        batch_size=build.loader_options(settings, on_gpu=on_gpu)["batch_size"],
        threshold=threshold,
        rates=rates,
        facts={
            "model": settings.model.name,
            "protocol": settings.protocol.full_name,
            "protocol_switches": settings.protocol.switches,
            "map_variant": recipe.variants[-1],
            "seed": settings.seed,
            "draws": {condition.name: condition.draws for condition in conditions},
            "precision": settings.trainer.precision,
            "network_hash": settings.network_hash,
            "environment": environment(),
            **facts,
        },
    )

"""Command line of vssl-localize to what it needs: a localizer, its negatives, a threshold."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import open_dict

from vssl.analysis.error_rates import WRONG_SOUND_LEVEL, ErrorRates, error_rates
from vssl.config import build, networks
from vssl.config.compose import composed_config
from vssl.config.provenance import map_facts
from vssl.config.settings import RunSettings
from vssl.core.checks import check_choice
from vssl.core.environment import environment
from vssl.core.errors import UsageError
from vssl.engine.localizer import Localizer
from vssl.localize.verdict import Threshold
from vssl.models.baselines import Baseline
from vssl.negatives.base import AudioCondition
from vssl.records.files import RUN_FILE, run_in
from vssl.records.fit import check_calibration, fit_policies
from vssl.records.localization import Localization
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.types import POSITIVE, AudioClip, Sample, SoundingObject

_log = logging.getLogger(__name__)
_FIXED = ("logger=none", "negatives=[silence,noise]")
LOCALIZE_POLICY = "universal_q3"


@dataclass(frozen=True)
class LocalizeOptions:
    """The command line, besides files; what is None is as the configuration has it.

    At most one of `threshold`, `policy` and `false_alarms` is given; it chooses the threshold.
    """

    model: str
    weights: Path | None = None
    threshold: float | None = None
    calibration: Path | None = None
    policy: str | None = None
    false_alarms: float | None = None
    noise_draws: int | None = None
    config_dir: Path | None = None
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Setup:
    """A model with all that pictures and sounds are localized with.

    `rates` says how often a verdict is wrong, `facts` where the numbers come from.
    """

    localizer: Localizer
    recipe: Localization
    conditions: tuple[AudioCondition, ...]
    made_length: int | None  # of the negatives, in samples; None for that of the given sound
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

    def negatives(self, clip: AudioClip) -> dict[str, list[AudioClip]]:
        """The negatives of a sound by audio condition, one for each draw."""
        length = self.made_length or clip.samples.shape[1]
        nobody = Sample("", Path(), Path(), "", (), "", (), (), length)

        def made(condition: AudioCondition, draw: int) -> AudioClip:
            request = condition.request(nobody, draw=draw, seed=self.facts["seed"], length=length)
            return condition.make(request, lambda source: clip)

        return {
            each.name: [made(each, draw) for draw in range(each.draws)] for each in self.conditions
        }

    def encode(
        self, clips: Sequence[AudioClip], path: Path, condition: str = POSITIVE
    ) -> list[torch.Tensor]:
        """Encodings `[...]` of clips of a sound, or of negatives as long as it."""
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
        """(Audio condition, draw) pairs, the positive's first, and the negatives encoded."""
        pairings, vectors = [(POSITIVE, 0)], []
        for condition, clips in self.negatives(clip).items():
            pairings += [(condition, draw) for draw in range(len(clips))]
            vectors += self.encode(clips, path, condition)
        return pairings, vectors


def read_settings(options: LocalizeOptions) -> RunSettings:
    """The settings of a run as the command line asks for it."""
    overrides = [*_FIXED, f"model={options.model}", *options.overrides]
    folders = [Path(str(files("vssl.conf")))]
    if options.config_dir is not None:
        if not options.config_dir.is_dir():
            raise UsageError(f"{options.config_dir}: no such folder (--config-dir)")
        folders.append(options.config_dir.absolute())
        overrides.insert(0, f"hydra.searchpath=[file://{folders[1]}]")
    paths = [path for folder in folders for path in sorted(folder.glob("threshold/*.yaml"))]
    lists = [path for path in paths if "defaults" in (yaml.safe_load(path.read_bytes()) or ())]
    policy = options.policy or LOCALIZE_POLICY
    check_choice(policy, [path.stem for path in paths if path not in lists], name="--policy")
    config = composed_config("evaluate", [*overrides, f"threshold=[{policy}]"])
    with open_dict(config):
        if options.weights is not None:
            config.model.weights = str(options.weights)
        if options.noise_draws is not None and "noise" in config.negatives:
            config.negatives.noise.draws = options.noise_draws
    return RunSettings.of(config)


def find_threshold(
    settings: RunSettings, options: LocalizeOptions, *, variant: str, judged: bool = True
) -> tuple[Threshold | None, ErrorRates | None]:
    """Find the threshold that the command line asks for, and how often a verdict at it is wrong.

    A calibration run is checked, whether or not the threshold is learnt from it. Error rates are
    left out with `judged=False`, for a model on whose maps no verdict is possible.

    Raises:
        UsageError: for a run or policy that cannot be used with this model, or a run of too few
            images for the stated rate of false alarms.
    """
    run = None if options.calibration is None else run_in(options.calibration)
    config_hash = None if run is None else _checked_hash(settings, run)
    stated, rate = None, options.false_alarms
    threshold: Threshold | None
    if options.threshold is not None:
        threshold = Threshold(options.threshold, "given", "given")
    else:
        if rate is None:
            policy: ThresholdPolicy = networks.make(next(iter(settings.scoring.threshold.values())))
        elif run is None:
            raise ThresholdError(
                "--false-alarms chooses a threshold from a run's negatives: give --calibration RUN."
            )
        else:
            policy = FalseAlarmThreshold(rate=rate, name=f"false_alarm_{100 * rate:g}")
        stated = policy.rate if isinstance(policy, FalseAlarmThreshold) else None
        threshold = _of_policy(settings, policy, run, config_hash, variant)
    if run is None or threshold is None or not judged:
        return threshold, None
    rates = error_rates(
        run,
        variant=variant,
        threshold=threshold.value,
        in_sample=threshold.calibration is not None,
        level=stated or WRONG_SOUND_LEVEL,
    )
    # images count, not maps: with fewer than 1 / rate - 1 not even their largest value is exceeded
    # as rarely as that
    needed = 0 if stated is None else math.ceil(round(1 / stated - 1, 6))
    for name, reach in rates.reach.items():
        if stated and reach.images < needed:
            possible = math.ceil(round(1e4 / (reach.images + 1), 6)) / 1e4
            raise ThresholdError(
                f"--calibration {options.calibration}: {100 * stated:g} % of false alarms needs at"
                f" least {needed} images, and its {name} has {reach.images}. State a rate of at"
                f" least {possible:g}, or calibrate on a larger test set."
            )
    return threshold, rates


def _of_policy(
    settings: RunSettings,
    policy: ThresholdPolicy,
    run: Path | None,
    config_hash: str | None,
    variant: str,
) -> Threshold | None:
    """The threshold of a policy; None for one that is learnt, without a run."""
    policy.check_model(settings.model.name)
    if policy.needs_fit:
        if run is None:
            return None
        for fitted in fit_policies([policy], run):
            value = fitted.policy.constant()
            if fitted.variant == variant and value is not None:
                return Threshold(value, policy.name, fitted.source, str(run), config_hash)
        raise ThresholdError(
            f"--calibration {run}: gives no threshold {policy.name} for {variant} maps."
        )
    value = policy.constant()
    if value is None:
        raise ThresholdError(
            f"--policy {policy.name} gives every map a threshold of its own, which always marks"
            " something: it cannot say that nothing sounds here. Choose universal_q3,"
            " universal_max, universal_max10, fixed or a released constant."
        )
    if policy.in_map_units and variant != "av" and settings.prior.scale == "corrected":
        raise ThresholdError(
            f"--policy {policy.name} is in units of the model's own map, which prior=object_guided"
            " rescales. Use --calibration RUN with a run that has this prior."
        )
    return Threshold(value, policy.name, policy.source)


def _checked_hash(settings: RunSettings, run: Path) -> str:
    """Configuration hash of a finished run, which must be of this network."""
    if not (run / RUN_FILE).is_file():
        raise ThresholdError(
            f"--calibration {run}: holds no finished run (no {RUN_FILE}). Make one: vssl-evaluate"
            f" model={settings.model.name} data=vggss data.root=FOLDER output_dir={run}"
        )
    return str(check_calibration(run, **settings.map_unit)["config_hash"])


def _negatives_without_test_set(conditions: Sequence[AudioCondition]) -> list[AudioCondition]:
    """The negatives that need no test set; others are left out, which is said."""
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


def set_up(options: LocalizeOptions) -> Setup:
    """Build what the command line asks for."""
    settings = read_settings(options)
    networks.check_network_options(settings)
    conditions = _negatives_without_test_set(build.build_conditions(settings))
    on_gpu = networks.on_gpu(settings.trainer) and torch.cuda.is_available()
    localizer, reports = build.build_localizer(
        settings, conditions, device="cuda" if on_gpu else "cpu"
    )
    model = localizer.model
    if isinstance(model, Baseline) and model.told:
        raise UsageError(
            f"--model {settings.model.name}: it is told {model.told}, and here nobody knows that."
        )
    rules = build.upsampling_rules(settings, [condition.name for condition in conditions])
    facts = map_facts(settings, model, rules, *reports)
    recipe = Localization.of(facts)
    threshold, rates = find_threshold(
        settings, options, variant=recipe.variants[-1], judged=recipe.transform == "none"
    )
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

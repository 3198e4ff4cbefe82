"""The one threshold of vssl-localize: given, learnt from a run, or a constant; and its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vssl.checks import check_choice
from vssl.commands.identity import identity, network_hash, prior_facts, protocol_switches
from vssl.commands.run_folder import run_in
from vssl.records.error_rates import WRONG_SOUND_LEVEL, ErrorRates, error_rates
from vssl.records.files import RUN_FILE
from vssl.reporting.verdict import Threshold
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold

DEFAULT_POLICY = "universal_q3"
POLICIES = (
    *("universal_q3", "universal_max", "universal_max10"),
    *("false_alarm_1", "false_alarm_5", "false_alarm_10", "fixed"),
    *("released_q3", "released_max", "released_max10", "half_image", "object_area"),
)
"""Threshold policies; the last two can give no verdict, which has its own error."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, besides files.

    Attributes:
        model: name of the model.
        weights: its checkpoint; None takes where the model's configuration looks.
        threshold: a number of the user's.
        calibration: a finished run to learn from, and to know from how often a verdict is wrong.
        policy: threshold policy.
        false_alarms: share of negatives in which anything may be marked; the policy, then.
        noise_draws: number of noises; None takes the configuration's.
        config_dir: folder with configuration of the user's own.
        overrides: further `key=value`.
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


def find_threshold(config: DictConfig, wanted: Wanted, *, variant: str) -> Threshold | None:
    """The threshold that the command line asks for; None where nothing gives one.

    A calibration run is checked, whether or not the threshold is learnt from it.

    Args:
        config: the composed configuration.
        wanted: the command line.
        variant: map variant that is judged.

    Raises:
        UsageError: for a run or policy that cannot be used with this model.
    """
    run = _calibration(wanted)
    facts = {} if run is None else _checked(config, run)
    if wanted.threshold is not None:
        return Threshold(wanted.threshold, "given", "given")
    policy = _policy(wanted)
    name = policy.name
    policy.check_model(str(config.model.name))
    if policy.needs_fit:
        return None if run is None else _fitted(policy, run, facts, variant)
    value = policy.constant()
    if value is None:
        raise ThresholdError(
            f"--policy {name} gives every map a threshold of its own, which always marks"
            " something: it cannot say that nothing sounds here. Choose universal_q3,"
            " universal_max, universal_max10, fixed or a released constant."
        )
    if policy.in_map_units and variant != "av" and config.prior.scale == "corrected":
        raise ThresholdError(
            f"--policy {name} is in units of the model's own map, which prior=object_guided"
            " rescales. Use --calibration RUN with a run that has this prior."
        )
    return Threshold(value, name, policy.source)


def find_rates(wanted: Wanted, threshold: Threshold | None, *, variant: str) -> ErrorRates | None:
    """How often a verdict is wrong in the calibration run; None without run or threshold.

    Args:
        wanted: the command line.
        threshold: what `find_threshold` gave.
        variant: map variant that is judged.

    Raises:
        ThresholdError: when the run has too few images for the stated rate of false alarms.
    """
    run = _calibration(wanted)
    if run is None or threshold is None:
        return None
    policy = None if wanted.threshold is not None else _policy(wanted)
    stated = policy.rate if isinstance(policy, FalseAlarmThreshold) else None
    rates = error_rates(
        run,
        variant=variant,
        threshold=threshold.value,
        in_sample=threshold.calibration is not None,
        level=stated or WRONG_SOUND_LEVEL,
    )
    if stated is not None:
        _check_enough(rates, stated, wanted)
    return rates


def _calibration(wanted: Wanted) -> Path | None:
    """The calibration run, also where a folder above it was given."""
    return None if wanted.calibration is None else run_in(wanted.calibration)


def _policy(wanted: Wanted) -> ThresholdPolicy:
    """The threshold policy that is asked for."""
    from vssl.commands.score import policies_named

    if wanted.false_alarms is not None:
        if wanted.calibration is None:
            raise ThresholdError(
                "--false-alarms chooses a threshold from a run's negatives: give --calibration RUN."
            )
        rate = wanted.false_alarms
        return FalseAlarmThreshold(rate=rate, name=f"false_alarm_{100 * rate:g}")
    name = wanted.policy or DEFAULT_POLICY
    check_choice(name, POLICIES, name="--policy")
    return policies_named([name])[0]


def _check_enough(rates: ErrorRates, rate: float, wanted: Wanted) -> None:
    """Check that every type of negatives has images enough for a stated rate.

    Images count, not maps: with fewer than 1 / rate - 1 not even their largest value is exceeded
    as rarely as that.
    """
    needed = math.ceil(round(1 / rate - 1, 6))
    for name, reach in rates.reach.items():
        if reach.images < needed:
            possible = math.ceil(round(1e4 / (reach.images + 1), 6)) / 1e4
            raise ThresholdError(
                f"--calibration {wanted.calibration}: {100 * rate:g} % of false alarms needs at"
                f" least {needed} images, and its {name} has {reach.images}. State a rate of at"
                f" least {possible:g}, or calibrate on a larger test set."
            )


def _checked(config: DictConfig, run: Path) -> dict[str, Any]:
    """Provenance of a finished run that is of this network."""
    from vssl.records.fit import check_calibration

    if not (run / RUN_FILE).is_file():
        raise ThresholdError(
            f"--calibration {run}: holds no finished run (no {RUN_FILE}). Make one: vssl-evaluate"
            f" model={config.model.name} data=vggss data.root=FOLDER output_dir={run}"
        )
    return check_calibration(
        run,
        model=str(config.model.name),
        weights_sha256=identity(config)["files_sha256"].get("model.weights"),
        protocol_switches=protocol_switches(config),
        prior=prior_facts(config),
        network_hash=network_hash(config),
    )


def _fitted(policy: ThresholdPolicy, run: Path, facts: dict[str, Any], variant: str) -> Threshold:
    from vssl.records.fit import fit_policies

    for fitted in fit_policies([policy], run):
        value = fitted.policy.constant()
        if fitted.variant == variant and value is not None:
            return Threshold(value, policy.name, fitted.source, str(run), facts["config_hash"])
    raise ThresholdError(
        f"--calibration {run}: gives no threshold {policy.name} for {variant} maps."
    )

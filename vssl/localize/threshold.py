"""Threshold of vssl-localize: a number, a policy, or a rate of false alarms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.analysis.error_rates import WRONG_SOUND_LEVEL, ErrorRates, error_rates
from vssl.config import networks
from vssl.config.settings import RunSettings
from vssl.localize.verdict import Threshold
from vssl.records.files import RUN_FILE, run_in
from vssl.records.fit import check_calibration, fit_policies
from vssl.records.localization import Localization
from vssl.thresholds.base import ThresholdError, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold

if TYPE_CHECKING:
    from vssl.localize.setup import LocalizeOptions


def find_threshold(
    settings: RunSettings, options: LocalizeOptions, recipe: Localization
) -> tuple[Threshold | None, ErrorRates | None]:
    """Find the threshold of the command line, and the error rates of verdicts at it.

    It is for the last map variant of the recipe. A calibration run is checked even if the threshold
    is not learnt from it. Maps that are transformed have no verdict, and so no error rates.

    Raises:
        UsageError: for a run or policy that cannot be used with this model, or a run of too few
            images for the stated rate of false alarms.
    """
    variant = recipe.variants[-1]
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
    if run is None or threshold is None or recipe.transform != "none":
        return threshold, None
    rates = error_rates(
        run,
        variant=variant,
        threshold=threshold.value,
        in_sample=threshold.calibration is not None,
        level=stated or WRONG_SOUND_LEVEL,
    )
    # with fewer than 1 / rate - 1 images, even their largest value is exceeded more often
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
    """Apply a policy; None if it is learnt and there is no run."""
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
    """Check that a finished run is of this network, and return its configuration hash."""
    if not (run / RUN_FILE).is_file():
        raise ThresholdError(
            f"--calibration {run}: holds no finished run (no {RUN_FILE}). Make one: vssl-evaluate"
            f" model={settings.model.name} data=vggss data.root=FOLDER output_dir={run}"
        )
    return str(check_calibration(run, **settings.map_unit)["config_hash"])

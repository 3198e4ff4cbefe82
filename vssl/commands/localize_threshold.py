"""The one threshold of vssl-localize: given, learnt from a run, or a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from vssl.checks import check_choice
from vssl.commands.identity import identity, network_hash, prior_facts, protocol_switches
from vssl.commands.run_folder import run_in
from vssl.records.files import RUN_FILE
from vssl.reporting.verdict import Threshold
from vssl.thresholds.base import ThresholdError

DEFAULT_POLICY = "universal_q3"
POLICIES = (
    *("universal_q3", "universal_max", "universal_max10", "fixed"),
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
        calibration: a finished run to learn from.
        policy: threshold policy.
        noise_draws: number of noises; None takes the configuration's.
        config_dir: folder with configuration of the user's own.
        overrides: further `key=value`.
    """

    model: str
    weights: Path | None = None
    threshold: float | None = None
    calibration: Path | None = None
    policy: str | None = None
    noise_draws: int | None = None
    config_dir: Path | None = None
    overrides: Sequence[str] = ()


def find_threshold(config: DictConfig, wanted: Wanted, *, variant: str) -> Threshold | None:
    """The threshold that the command line asks for; None where nothing gives one.

    Args:
        config: the composed configuration.
        wanted: the command line.
        variant: map variant that is judged.

    Raises:
        UsageError: for a run or policy that cannot be used with this model.
    """
    from vssl.commands.score import policies_named

    if wanted.threshold is not None:
        return Threshold(wanted.threshold, "given", "given")
    name = wanted.policy or DEFAULT_POLICY
    check_choice(name, POLICIES, name="--policy")
    policy = policies_named([name])[0]
    policy.check_model(str(config.model.name))
    if policy.needs_fit:
        return None if wanted.calibration is None else _fitted(config, wanted.calibration, name)
    if wanted.calibration is not None:
        raise ThresholdError(
            f"--policy {name} learns nothing from a run: leave --calibration out, or choose a"
            " universal policy."
        )
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


def _fitted(config: DictConfig, run: Path, name: str) -> Threshold:
    from vssl.commands.score import policies_named
    from vssl.records.fit import check_calibration, fit_policies

    run = run_in(run)
    if not (run / RUN_FILE).is_file():
        raise ThresholdError(
            f"--calibration {run}: holds no finished run (no {RUN_FILE}). Make one: vssl-evaluate"
            f" model={config.model.name} data=vggss data.root=FOLDER output_dir={run}"
        )
    facts = check_calibration(
        run,
        model=str(config.model.name),
        weights_sha256=identity(config)["files_sha256"].get("model.weights"),
        protocol_switches=protocol_switches(config),
        prior=prior_facts(config),
        network_hash=network_hash(config),
    )
    variant = "av" if config.prior.name == "none" else "ogl"
    for fitted in fit_policies(policies_named([name]), run):
        value = fitted.policy.constant()
        if fitted.variant == variant and value is not None:
            return Threshold(value, name, fitted.source, str(run), facts["config_hash"])
    raise ThresholdError(f"--calibration {run}: gives no threshold {name} for {variant} maps.")

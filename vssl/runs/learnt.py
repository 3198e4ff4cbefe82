"""What a run's fitted thresholds rest on, so that they can be fitted anew: `thresholds.json`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vssl.config.build import policies_named, policy_again
from vssl.config.identity import described
from vssl.config.settings import Recipe
from vssl.core.errors import UsageError
from vssl.core.files import write_text
from vssl.records.files import THRESHOLDS_FILE
from vssl.records.fit import FittedPolicy, fit_policies
from vssl.records.scores import Scores

_log = logging.getLogger(__name__)


def note_learnt(
    folder: Path,
    recipes: Mapping[str, Recipe],
    fitted: Sequence[FittedPolicy],
    calibration: Path | None,
) -> None:
    """Write settings and calibration run (None: the run itself) of fitted policies.

    Policies that were noted before and are not among these stay.
    """
    known = _noted(folder)
    for each in fitted:
        name, recipe = each.policy.name, recipes.get(each.policy.name)
        if (each.learnt_from or each.chosen_from) and recipe is not None:
            known[name] = {
                # an object that no class and arguments make again is not there any more
                "settings": described(recipe) if isinstance(recipe, Mapping) else None,
                "calibration": None if calibration is None else str(calibration.resolve()),
            }
    if known:
        write_text(folder / THRESHOLDS_FILE, json.dumps(known, indent=2) + "\n")


def policies_of(
    folder: Path, scores: Scores, *, known: Sequence[FittedPolicy] = ()
) -> list[FittedPolicy]:
    """Fit again the policies behind a run's fitted scores that are not among `known`.

    A policy that cannot be fitted again, or gives another threshold than the scores have, is left
    out with a warning.
    """
    there = {(each.variant, each.policy.name, each.source) for each in known}
    parts = [part for part in scores.parts() if part.is_fitted and tuple(part) not in there]
    noted, found = _noted(folder), []
    for name in dict.fromkeys(part.threshold_policy for part in parts):
        entry = noted.get(name)
        try:
            if entry is None:  # scored before this was noted
                again = fit_policies(policies_named([name]), folder)
            else:
                calibration = entry["calibration"] and Path(entry["calibration"])
                if entry["settings"] is None:
                    raise UsageError("it was an object of a Python program")
                policy = policy_again(entry["settings"])
                again = fit_policies([policy], folder, calibration=calibration)
        except (UsageError, OSError) as error:
            _log.warning("threshold %s of %s cannot be learnt again: %s", name, folder, error)
            continue
        for part in (part for part in parts if part.threshold_policy == name):
            threshold = np.float32(scores.threshold(part))
            alike = [
                each
                for each in again
                if (each.variant, each.source) == (part.map_variant, part.threshold_source)
                and np.float32(each.policy.constant()) == threshold
            ]
            found += alike
            if not alike:
                _log.warning(
                    "threshold %s of %s (%s): learnt again it is another one. Its numbers have"
                    " intervals for exactly this threshold alone; vssl-rescore makes them anew.",
                    name, folder, part.map_variant,
                )  # fmt: skip
    return found


def _noted(folder: Path) -> dict[str, Any]:
    path = folder / THRESHOLDS_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(
            f"{path}: not readable as JSON ({error}). Delete it and rescore: vssl-rescore"
            f" run={folder} threshold=standard."
        ) from error
    return found

"""The universal thresholds that the paper's authors pasted into their released code.

Source: xavijuanola/vssl_eval e8ebbc9, eval.py:main. One set for both test sets; what
they were learnt from is not stated (docs/protocols.md, R17).
"""

from __future__ import annotations

from typing import Literal

from vssl.core.checks import check_choice
from vssl.thresholds.base import ThresholdError, ThresholdPolicy

CONSTANTS = {
    "ezvsl": {"max": 0.6041, "max10": 0.6645, "q3": 0.6382},
    "slavc": {"max": 0.5201, "max10": 0.5721, "q3": 0.5450},
    "fnac": {"max": 0.5311, "max10": 0.5842, "q3": 0.5538},
    "lvs": {"max": 0.5527, "max10": 0.6080, "q3": 0.6077},
    "ssltie": {"max": 0.2641, "max10": 0.2906, "q3": 0.3338},
    "sslalign": {"max": 0.2660, "max10": 0.2926, "q3": 0.3175},
}
"""Model -> rule -> threshold, in units of the model's own similarity map."""

Rule = Literal["max", "max10", "q3"]
RULES: tuple[Rule, ...] = ("max", "max10", "q3")


class ReleasedThreshold(ThresholdPolicy):
    """A released constant of the model under test.

    Args:
        rule: `max`, `max10` or `q3` (the one behind the released F scores).

    Raises:
        ValueError: for an unknown rule.

    Example:
        >>> policy = ReleasedThreshold(rule="q3")
        >>> policy.check_model("ezvsl")
        >>> policy.constant()
        0.6382
    """

    source = "released code"
    in_map_units = True

    def __init__(self, *, rule: Rule) -> None:
        check_choice(rule, RULES, name="rule")
        self.rule = rule
        self.name = f"released_{rule}"
        self.value: float | None = None

    def check_model(self, model: str) -> None:
        """Look the constant up; a ThresholdError for a model without released constants."""
        if model not in CONSTANTS:
            raise ThresholdError(
                f"threshold {self.name} exists for {', '.join(CONSTANTS)}, but not for {model}."
            )
        self.value = CONSTANTS[model][self.rule]

    def constant(self) -> float:
        """The constant of the model; a ThresholdError when none was named yet."""
        if self.value is None:
            raise ThresholdError(f"threshold {self.name} was used before its model was named.")
        return self.value

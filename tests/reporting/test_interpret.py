"""What a sweep says in words: only what the numbers say."""

from __future__ import annotations

import pandas as pd
import pytest

from vssl.reporting.interpret import finding, in_words
from vssl.reporting.tables.model import fitted_sources

POLICIES = {
    "positives": "object_area",
    "marked": "fixed",
    "equal": "false_alarm_10",
    "universal": "universal_q3",
}
NUMBERS = {
    ("ciou", "positive", "object_area"): (0.5, 0.48, 0.52),
    ("ciou", "positive", "false_alarm_10"): (0.4, 0.38, 0.42),
    ("f_loc", "all", "universal_q3"): (0.57, 0.55, 0.59),
    ("auroc", "all", "none"): (0.985, 0.98, 0.99),
    ("swap_delta", "positive", "fixed"): (0.42, 0.4, 0.44),
    ("pia", "positive", "fixed"): (0.1, 0.09, 0.11),
    ("pia", "silence", "fixed"): (0.001, 0.0, 0.002),
    ("false_alarm_rate", "silence", "fixed"): (0.12, 0.1, 0.14),
    ("false_alarm_rate", "offscreen", "fixed"): (0.3, 0.28, 0.32),
    ("agreement", "positive-silence", "fixed"): (0.027, 0.01, 0.04),
}


def summary(**changes: tuple[float, float, float] | None) -> pd.DataFrame:
    """Numbers as a summary has them, some changed by their metric's name, or left out (None)."""
    numbers = {k: changes.get(k[0], v) if k[0] in changes else v for k, v in NUMBERS.items()}
    rows = [(*key, *number) for key, number in numbers.items() if number is not None]
    names = ["metric", "condition", "threshold_policy", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names)


def said(**changes: tuple[float, float, float] | None) -> str:
    return in_words(summary(**changes), **POLICIES)


def test_a_model_that_listens() -> None:
    assert said() == (
        "On positives, tested as usual: cIoU 50.0 (48.0 to 52.0). It listens: with the sound of the"
        " image's other object, the map moves there (swap delta 42.0 (40.0 to 44.0)). At `fixed` it"
        " marks 10.0 % of the image under its own sound, and something in 12.0 % of silence and"
        " 30.0 % of offscreen. Its map maxima tell positives from negatives with an AUROC of 98.5"
        " (98.0 to 99.0). At `false_alarm_10` it keeps 80 % of that cIoU; at `universal_q3` F_LOC"
        " is 57.0 (55.0 to 59.0)."
    )


@pytest.mark.parametrize(
    ("swap", "expected"),
    [
        ((0.004, -0.001, 0.009), "It does not listen: with the sound of the image's other object,"),
        ((-0.2, -0.3, -0.1), "It does not listen"),
        ((0.1, -0.1, 0.3), "Whether it listens is open"),
        ((0.02, 0.001, 0.03), "It listens"),
    ],
)
def test_listening_is_a_matter_of_the_interval(
    swap: tuple[float, float, float], expected: str
) -> None:
    assert expected in said(swap_delta=swap)


def test_where_listening_cannot_be_told_nothing_is_said_about_it() -> None:
    assert "listen" not in said(pia=(0.0004, 0.0, 0.001), swap_delta=(0.0, 0.0, 0.0))
    without_pairs = said(swap_delta=None)
    assert "listen" not in without_pairs
    assert "Its masks under the own sound and in silence agree by 2.7 %." in without_pairs


WORDS = {
    "f_loc": "F_LOC",
    "auroc": "AUROC",
    "ciou": "cIoU",
    "pia": "marks",
    "false_alarm_rate": "something in",
}


def test_what_is_not_known_is_not_said() -> None:
    for missing, words in WORDS.items():
        text = said(**{missing: None})
        assert words not in text
        assert said(**{missing: (float("nan"),) * 3}) == text
    assert in_words(summary().iloc[:0], **POLICIES) == ""


def found(**models: dict[str, tuple[float, float, float]]) -> list[str]:
    return finding({name: summary(**changes) for name, changes in models.items()}, **POLICIES)


def test_the_finding_of_several_models() -> None:
    deaf = {"false_alarm_rate": (0.9, 0.6, 1.0), "auroc": (0.6, 0.5, 0.7)}
    deaf |= {"ciou": (0.3, 0.2, 0.4)}
    assert found(san={}, deaf=deaf, near={"false_alarm_rate": (0.6, 0.5, 0.7)}) == [
        "Though nothing in the picture sounds, 1 of 3 models mark something in more than half of"
        " the images with silence, 1 of 3 with a sound from another video (95 % intervals above"
        " half, threshold fixed).",
        "No model alone tells positives from negatives best: san has the highest AUROC, 98.5 (98.0"
        " to 99.0), and its interval overlaps with that of near.",
    ]
    universal = {("ciou", "positive", "universal_q3"): (0.1, 0.0, 0.2)}
    left = pd.concat([summary(), summary().iloc[:1].assign(threshold_policy="universal_q3")])
    left.iloc[-1, left.columns.get_loc("value")] = universal.popitem()[1][0]
    assert finding({"san": left, "av": left}, **POLICIES)[-1] == (
        "One threshold for all sounds (universal_q3) leaves 20 % of the cIoU that the models reach"
        " when tested as usual, on positives alone (object_area)."
    )


def test_best_is_said_only_where_intervals_lie_apart() -> None:
    best = "san tells positives from negatives best: AUROC 98.5 (98.0 to 99.0), above"
    assert found(san={}, deaf={"auroc": (0.6, 0.5, 0.7)})[1].startswith(best)
    touching = found(san={}, deaf={"auroc": (0.9, 0.8, 0.98)})[1]
    assert touching.startswith("No model alone")
    assert touching.endswith("overlaps with that of deaf.")
    assert finding({"san": summary().iloc[:0], "deaf": summary().iloc[:0]}, **POLICIES) == []


def test_a_caption_names_thresholds_of_one_kind_once() -> None:
    sources = [f"fit on other (silence, run {run})" for run in ("0123abcd", "4567cdef")]
    several = pd.DataFrame({"threshold_source": [*sources, "constant", "fit on own (noise)"]})
    assert fitted_sources(several) == [
        "fit on other (silence, another run for each model)",
        "fit on own (noise)",
    ]
    assert fitted_sources(several.iloc[:1]) == sources[:1]

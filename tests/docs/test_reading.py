"""docs/reading.md and docs/false-alarms.md: kept numbers, and claims that hold."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.test_docs_metrics import leaves

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NAMES = ("reading.md", "false-alarms.md")
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in NAMES}
SCRIPT = runpy.run_path(str(DOCS / "reading_tables.py"))
KEPT: pd.DataFrame = SCRIPT["read"]()
SEEDS = sorted(KEPT.index.get_level_values("seed").unique())
DEAF, NEGATIVES = ("tiny_deaf", "audio_blind", "deaf_best"), ("silence", "noise", "offscreen")
KB = 1000


class Numbers:
    """The numbers of one seed, by model and key; `own/...` is of positives."""

    def __init__(self, seed: int) -> None:
        self.rows = KEPT.loc[seed]

    def __call__(self, model: str, key: str) -> float:
        return float(self.rows.loc[re.sub("^own/", "positive/", key), model])

    def deaf(self, key: str) -> list[float]:
        return [self(model, key) for model in DEAF]


Claim = Callable[[Numbers], bool]
CLAIMS: dict[str, Claim] = {
    # reading.md
    "Under `object_area`, `deaf_best` beats `tiny_san`, which listens, and `tiny_deaf` has about"
    " half of what `tiny_san` has": lambda n: (
        n("deaf_best", "own/ciou/object_area") > n("tiny_san", "own/ciou/object_area")
        and 0.4
        < n("tiny_deaf", "own/ciou/object_area") / n("tiny_san", "own/ciou/object_area")
        < 0.6
    ),
    "At one threshold (`fixed`), `deaf_best` has more successes than `tiny_san`": lambda n: (
        n("deaf_best", "own/success_rate/fixed") > n("tiny_san", "own/success_rate/fixed")
    ),
    "AUC is within 0.025 of the mean cIoU": lambda n: all(
        abs(n(m, "own/auc/object_area") - n(m, "own/ciou/object_area")) <= 0.025
        for m in (*DEAF, "tiny_san")
    ),
    "At one threshold all three have less than `tiny_san`": lambda n: (
        max(n.deaf("own/iiou/fixed")) < n("tiny_san", "own/iiou/fixed")
    ),
    "0 at one threshold: the mask is the same under both sounds": lambda n: (
        max(map(abs, n.deaf("own/swap_delta/fixed"))) < 0.001
    ),
    "which tells the object's size, deaf models rise above it": lambda n: (
        min(n.deaf("own/swap_delta/object_area")) > 0.05
    ),
    "Close to 1 under every threshold that marks something": lambda n: (
        min(n.deaf("positive-silence/agreement/fixed")) > 0.95
        and n("tiny_san", "positive-silence/agreement/fixed") < 0.05
    ),
    "A deaf model marks as much in silence as under the own sound": lambda n: all(
        abs(n(m, "own/pia/fixed") - n(m, "silence/pia/fixed")) < 0.02 for m in DEAF
    ),
    "AUC_N is within 0.025 of 1 - pIA": lambda n: all(
        abs(n(m, "silence/auc_n/fixed") - 1 + n(m, "silence/pia/fixed")) <= 0.025
        for m in (*DEAF, "tiny_san")
    ),
    "every negative is a false alarm": lambda n: all(
        min(n.deaf(f"{c}/false_alarm_rate/fixed")) == 1 for c in NEGATIVES
    ),
    "less than one percent of cIoU is left": lambda n: (
        max(n.deaf("own/ciou/false_alarm_10")) < 0.01
    ),
    "At `fixed`, F_LOC prefers `deaf_best`, which marks both objects in every negative, to"
    " `tiny_san`": lambda n: n("deaf_best", "all/f_loc/fixed") > n("tiny_san", "all/f_loc/fixed"),
    "(`universal_q3`) all three have almost 0": lambda n: (
        max(n.deaf("all/f_loc/universal_q3")) < 0.02
    ),
    "A map that takes no sound has exactly chance": lambda n: all(
        round(n(m, "all/auroc/none"), 3) == 0.5 and n(m, "all/overlap/none") > 0.999
        for m in ("audio_blind", "deaf_best")
    ),
    "tells silence from a sound by the height of its map, but neither noise nor an offscreen"
    " sound": lambda n: (
        n("tiny_deaf", "silence/auroc/none") > 0.8
        and all(abs(n("tiny_deaf", f"{c}/auroc/none") - 0.5) < 0.06 for c in NEGATIVES[1:])
    ),
    "All three have less than half of what `tiny_san` has": lambda n: all(
        2 * max(n.deaf(f"{c}/detection_ap/object_area"))
        < n("tiny_san", f"{c}/detection_ap/object_area")
        for c in ("silence", "offscreen", "all")
    ),
    "so its G-mIoU is 2a(1 - a): never above one half": lambda n: (
        max(n.deaf("all/g_miou/fixed")) <= 0.5 + 1e-6 < n("tiny_san", "all/g_miou/fixed")
    ),
    "Their mIoU in silence is that of the own sound": lambda n: all(
        abs(n(m, "own/avs_miou/fixed") - n(m, "silence/avs_miou/fixed")) < 0.01 for m in DEAF
    ),
    "all three deaf ones have more than `tiny_san`": lambda n: (
        min(n.deaf("all/g_fpr/fixed")) > n("tiny_san", "all/g_fpr/fixed")
    ),
    "one that knows both objects is right about half of the time": lambda n: (
        abs(n("deaf_best", "own/pointing_game/none") - 0.5) < 0.1
    ),
    # false-alarms.md
    "For every model on this page every negative is then a false alarm": lambda n: all(
        n(m, "silence/false_alarm_rate/object_area") == 1 for m in ("tiny_av", "tiny_san", *DEAF)
    ),
    "`tiny_av` and `tiny_san` differ by less than three points": lambda n: (
        abs(n("tiny_av", "own/ciou/object_area") - n("tiny_san", "own/ciou/object_area")) < 0.03
    ),
    "Of tiny_san the fewest own sounds lie below q3, of tiny_deaf most": lambda n: (
        n("tiny_san", "own/misses/universal_q3")
        < n("tiny_av", "own/misses/universal_q3")
        < n("tiny_deaf", "own/misses/universal_q3")
        and n("tiny_deaf", "own/misses/universal_q3") > 0.5
    ),
    "At `false_alarm_10`, `tiny_san` misses less than a quarter of the own sounds, but has less"
    " than half of its cIoU under `universal_max`": lambda n: (
        n("tiny_san", "own/misses/false_alarm_10") < 0.25
        and 2 * n("tiny_san", "own/ciou/false_alarm_10") < n("tiny_san", "own/ciou/universal_max")
    ),
    "keeps more than three times the cIoU of `tiny_av`, and for both most of the cIoU of"
    " `object_area` is gone. `tiny_deaf` has nothing left": lambda n: (
        n("tiny_san", "own/ciou/false_alarm_10") > 3 * n("tiny_av", "own/ciou/false_alarm_10")
        and 2 * n("tiny_san", "own/ciou/false_alarm_10") < n("tiny_san", "own/ciou/object_area")
        and n("tiny_deaf", "own/ciou/false_alarm_10") < 0.001
    ),
    "Silence is the most frequent false alarm of `tiny_av`, which was never shown any. For"
    " `tiny_san` it is the offscreen sound": lambda n: all(
        n(m, f"{worst}/false_alarm_rate/false_alarm_10")
        == max(n(m, f"{c}/false_alarm_rate/false_alarm_10") for c in NEGATIVES)
        for m, worst in (("tiny_av", "silence"), ("tiny_san", "offscreen"))
    ),
    "On others it is another one": lambda n: all(
        n(m, "worst/learnt_on/universal_q3") != n(m, "worst/false_alarm_rate/universal_q3")
        for m in ("tiny_san", "tiny_deaf")
    ),
    "`universal_q3` lets up to a quarter of the worst type through *by construction*": lambda n: (
        all(0.15 < n(m, "worst/learnt_on/universal_q3") <= 0.25 for m in ("tiny_san", "tiny_deaf"))
    ),
    "hardly matter: less than one point of AUC": lambda n: all(
        n(m, "price/auc/test") - n(m, "price/auc/halves") < 0.01 for m in ("tiny_av", "tiny_san")
    ),
    "up to three points of success rate": lambda n: all(
        -0.005 < n(m, "price/success_rate/test") - n(m, "price/success_rate/halves") < 0.03
        for m in ("tiny_av", "tiny_san")
    ),
    "The large difference is to a threshold that is learnt from negatives": lambda n: all(
        n(m, "price/auc/test") - n(m, "price/auc/universal_q3") > 0.05
        for m in ("tiny_av", "tiny_san")
    ),
    "At 0.25 `tiny_av` and `tiny_san` have the same F_LOC within two points, while `tiny_av` marks"
    " something in more than three times as many silences": lambda n: (
        abs(n("tiny_av", "all/f_loc/fixed") - n("tiny_san", "all/f_loc/fixed")) < 0.02
        and n("tiny_av", "silence/false_alarm_rate/fixed")
        > 3 * n("tiny_san", "silence/false_alarm_rate/fixed")
    ),
    "The best F_LOC of both is at a threshold with a false alarm in most negatives of the worst"
    " type": lambda n: all(
        n(m, "worst/false_alarm_rate/best") > 0.5 for m in ("tiny_av", "tiny_san")
    ),
    "which marks something in every negative, has a higher F_LOC at 0.25 than either": lambda n: (
        n("deaf_best", "silence/false_alarm_rate/fixed") == 1
        and all(
            n("deaf_best", "all/f_loc/fixed") > n(m, "all/f_loc/fixed")
            for m in ("tiny_av", "tiny_san")
        )
    ),
    "`tiny_san` before `tiny_av` before `deaf_best`": lambda n: (
        n("tiny_san", "all/f_loc/universal_q3")
        > n("tiny_av", "all/f_loc/universal_q3")
        > n("deaf_best", "all/f_loc/universal_q3")
    ),
}
"""What the pages say of the models, and whether a seed's numbers bear it out."""


def plain(text: str) -> str:
    """Prose on one line, without emphasis."""
    return re.sub(r"\s+", " ", text.replace("**", ""))


PROSE = plain(" ".join(PAGES.values()))


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_is_said_holds_on_every_set_of_scenes(claim: str) -> None:
    assert plain(claim) in PROSE
    assert len(SEEDS) == 3
    assert [CLAIMS[claim](Numbers(seed)) for seed in SEEDS] == [True] * 3


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_kept_numbers(name: str) -> None:
    assert SCRIPT["page"](PAGES[name]) == PAGES[name], "run docs/reading_tables.py"
    assert {key for page in PAGES.values() for key in SCRIPT["shown"](page)} == {
        key for _, key in KEPT.index
    }


def test_the_kept_numbers_are_the_demo_s() -> None:
    """Of the file that the first pages are compared with, tests/docs/test_first_pages.py."""
    demo = pd.read_csv(ROOT / "experiments" / "results" / "synthetic_corrected.csv")
    assert set(demo["n"].dropna()) == {240, 480}  # images and samples, as the pages say
    keys = demo["condition"] + "/" + demo["metric"] + "/" + demo["threshold_policy"]
    compared = 0
    for model, key, value in zip(demo["model"], keys, demo["value"], strict=True):
        if model in KEPT and (0, key) in KEPT.index:
            assert KEPT.loc[(0, key), model] == pytest.approx(value, abs=1e-5), (model, key)
            compared += 1
    assert compared > 50


def test_numbers_in_prose_are_definitions_or_tested() -> None:
    """What was measured stands in tables and pictures, which a script makes."""
    prose = re.sub(
        r"```.*?```|(?:^\|.*\n)+|<!--.*?-->", "", "\n".join(PAGES.values()), flags=re.S | re.M
    )
    prose = re.sub(r"\]\([^)]*\)|`[^`]*`|!\[[^\]]*\]|^\d\. ", "", prose, flags=re.M)
    prose = plain(prose)
    for claim in CLAIMS:
        prose = prose.replace(plain(re.sub(r"`[^`]*`", "", claim)), "")
    known = {
        *("0", "1", "0.5"),  # bounds, the level of a success
        *("95", "5", "10"),  # intervals and FPR95, rates in the names of policies
        *("99", "19"),  # negatives that a rate wants: 1 / rate - 1
        *("240", "480", "120", "0.25"),  # the demo's scenes, samples and threshold
        *("3", "2"),  # SLAVC's and IS3's names
    }
    assert set(re.findall(r"\d+(?:\.\d+)?", prose)) <= known


def test_every_metric_is_there() -> None:
    words = {
        "auc_n": "AUC_N", "g_f_batch": "G-F", "avs_f_batch": "F,", "alignment": None,
        "separability": None, "avs_fpr": "FPR",
    }  # fmt: skip
    for metric in leaves("metrics"):
        word = words.get(metric, SCRIPT["NAMES"].get(metric, "missing").rstrip(" ↑↓"))
        assert word is None or word.lower() in PROSE.lower(), metric


def test_pictures_are_small_and_described() -> None:
    used = {}
    for page in PAGES.values():
        used |= {name: alt for alt, name in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", page)}
    assert min(len(alt) for alt in used.values()) > 40
    files = {f"images/reading/{path.name}": path for path in (DOCS / "images/reading").iterdir()}
    assert files.keys() == used.keys()
    sizes = [path.stat().st_size for path in files.values()]
    assert max(sizes) < 60 * KB
    assert sum(sizes) < 800 * KB

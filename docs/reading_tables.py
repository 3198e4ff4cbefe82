"""Write docs/numbers.csv from finished demo runs, and the tables of the pages that show it.

    make demo
    vssl-evaluate -m experiment=demo_validation paths.outputs=outputs/7 data.seed=7
    vssl-evaluate -m experiment=demo paths.outputs=outputs/7 data.seed=7
    python docs/reading_tables.py outputs/demo outputs/7/demo outputs/11/demo

Without folders, only the tables are written anew.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import vssl
from vssl.analysis.price import price_choices
from vssl.analysis.threshold_curves import threshold_curves
from vssl.config.build import policies_named
from vssl.types import POSITIVE

DOCS = Path(__file__).parent
PAGES = (DOCS / "reading.md", DOCS / "false-alarms.md")
KEPT = DOCS / "numbers.csv"
MODELS = ("tiny_deaf", "audio_blind", "deaf_best", "tiny_av", "tiny_san")
UNIVERSAL = ("universal_max", "universal_max10", "universal_q3")
RATES = ("false_alarm_1", "false_alarm_5", "false_alarm_10")
POLICIES = ("half_image", "object_area", "fixed", *UNIVERSAL, *RATES)
BEST = "best"
"""The threshold with the highest F_LOC on the test set itself."""

NAMES = {
    "ciou": "cIoU ↑", "success_rate": "success rate ↑", "auc": "AUC ↑", "pia": "pIA",
    "auc_n": "AUC_N ↑", "false_alarm_rate": "false alarms ↓", "f_loc": "F_LOC ↑",
    "f_auc": "F_AUC ↑", "iiou": "IIoU ↑", "iauc": "IAUC ↑", "swap_delta": "swap delta ↑",
    "agreement": "agreement", "pointing_game": "pointing game ↑", "auroc": "AUROC ↑", "ap": "AP ↑",
    "fpr95": "FPR95 ↓", "overlap": "overlap ↓", "detection_ap": "detection AP ↑",
    "max_f1": "max-F1 ↑", "avs_miou": "mIoU", "avs_f": "F", "g_miou": "G-mIoU ↑", "g_f": "G-F ↑",
    "g_fpr": "G-FPR ↑", "avs_fpr": "FPR", "threshold": "threshold", "misses": "misses ↓",
}  # fmt: skip
LABELS = {
    "worst/learnt_on": "false alarms ↓ where learnt, worst",
    "price/auc/test": "AUC, `best_of_19`",
    "price/auc/halves": "AUC, `best_of_19` chosen on half of the images",
    "price/auc/half_range": "AUC, `half_range`",
    "price/auc/universal_q3": "AUC, `universal_q3`",
    "price/success_rate/test": "success rate, `best_of_20`",
    "price/success_rate/halves": "success rate, `best_of_20` chosen on half of the images",
}
_TABLE = re.compile(r"(<!-- (models|policies|report): ([^>]*?) -->\n)(?:\|.*\n)*")


def scored(demo: Path, model: str, work: Path, split: str = "test") -> vssl.Run:
    """A copy of a demo run in `work`, with all numbers under all policies."""
    folder = work / demo.absolute().as_posix().strip("/") / split / model
    if not folder.exists():
        shutil.copytree(vssl.load_run(demo / split / model).folder, folder)
        settings = ["threshold.fixed.value=0.25", "bootstrap.resamples=2", "subsets=[]"]
        calibration = demo / "validation" / model if split == "test" else None
        vssl.score(
            folder, threshold=POLICIES, metrics=["all", "avsbench"], overrides=settings,
            calibration=calibration,
        )  # fmt: skip
    return vssl.load_run(folder)


def numbers(demo: Path, model: str, work: Path) -> dict[str, float]:
    """A model's numbers by `condition/metric/policy`: fractions, and thresholds."""
    run, learnt_on = scored(demo, model, work), scored(demo, model, work, "validation")
    rows = run.summary[run.summary["map_variant"] == "av"]
    keys = rows["condition"] + "/" + rows["metric"] + "/" + rows["threshold_policy"]
    found = dict(zip(keys, rows["value"], strict=True))
    policies = rows.dropna(subset="threshold").groupby("threshold_policy")["threshold"].first()
    found |= {f"{POSITIVE}/threshold/{policy}": value for policy, value in policies.items()}
    own = run.scores[run.scores["audio_condition"] == POSITIVE].query("threshold_policy != 'none'")
    misses = (own["pia"] == 0).groupby(own["threshold_policy"]).mean()
    found |= {f"{POSITIVE}/misses/{policy}": value for policy, value in misses.items()}
    curves = threshold_curves(run.folder, "av", resamples=2)
    best = int(np.nanargmax(curves.f_loc))
    found |= {f"{c}/{metric}/{BEST}": v[best] for (metric, c), v in curves.values.items()}
    found[f"worst/false_alarm_rate/{BEST}"] = max(
        values[best] for (metric, _), values in curves.values.items()
        if metric == "false_alarm_rate"
    )  # fmt: skip
    for name, each in (("false_alarm_rate", run), ("learnt_on", learnt_on)):
        alarms = each.summary[each.summary["metric"] == "false_alarm_rate"]
        worst = alarms.groupby("threshold_policy")["value"].max()
        found |= {f"worst/{name}/{policy}": value for policy, value in worst.items()}
    return found | prices(run)


def prices(run: vssl.Run) -> dict[str, float]:
    """Numbers at thresholds that the ground truth of the test set chose, and what they rest on."""
    if run.provenance["model"] not in ("tiny_av", "tiny_san"):
        return {}
    chosen, rules = (
        policies_named(names)
        for names in (("best_of_19", "best_of_20"), ("half_range", "universal_q3"))
    )
    rows = price_choices([run.folder], chosen, rules, resamples=100)
    one, classes = (rows[rows["priced"] == name] for name in ("best_of_19", "best_of_20"))
    names = ("test", "halves", "half_range", "universal_q3")
    auc, success = one["auc"].to_list(), classes["success_rate"].to_list()
    found = {f"price/auc/{name}": value for name, value in zip(names, auc, strict=True)}
    return found | dict(
        zip([f"price/success_rate/{n}" for n in names[:2]], success[:2], strict=True)
    )


def shown(text: str) -> list[str]:
    """Keys of the numbers in a page's tables."""
    return [key for _, kind, spec in _TABLE.findall(text) for key in _keys(kind, spec)[2]]


def _keys(kind: str, spec: str) -> tuple[list[str], list[str], list[str]]:
    """First and second list of a table's comment, and the keys of its cells."""
    first, second = (part.split() for part in spec.split("|"))
    if kind == "policies":
        return first, second, [f"{number}/{policy}" for policy in first[1:] for number in second]
    return first, second, second


def label(key: str) -> str:
    """A number's name for people, its audio condition and its threshold policy."""
    if key in LABELS:
        return LABELS[key]
    condition, metric, *policy = key.split("/")
    own = condition == POSITIVE and metric not in ("pia", "avs_miou", "avs_f", "avs_fpr")
    words = [NAMES[metric], *([] if own else ["own sound" if condition == POSITIVE else condition])]
    if policy and policy != ["none"]:
        words.append("best F_LOC" if policy == [BEST] else f"`{policy[0]}`")
    return ", ".join(words)


def table(kind: str, spec: str, kept: pd.DataFrame) -> str:
    """A Markdown table: numbers by model, or one model's numbers by threshold policy."""
    first, second, _ = _keys(kind, spec)
    if kind == "models":
        header = ["", *(f"`{model}`" for model in first)]
        rows = [[label(key), *(_cell(kept, key, model) for model in first)] for key in second]
    elif kind == "report":
        header = ["", *map(_short, second)]
        rows = [[f"`{model}`", *(_cell(kept, key, model) for key in second)] for model in first]
    else:
        header = [f"`{first[0]}`", *map(label, second)]
        rows = [
            [f"`{policy}`",
             *(_cell(kept, f"{key}/{policy}", first[0]) for key in second)]
            for policy in first[1:]
        ]  # fmt: skip
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _short(key: str) -> str:
    """A number's name in a narrow column."""
    condition, metric, _ = key.split("/")
    name, better = {**NAMES, "false_alarm_rate": "FA ↓"}[metric].rsplit(" ", 1)
    return (
        f"{name} {better}" if condition == POSITIVE else f"{name} {condition[0].upper()} {better}"
    )


def _cell(kept: pd.DataFrame, key: str, model: str) -> str:
    value = kept.loc[(0, key), model] if (0, key) in kept.index else float("nan")
    if pd.isna(value):
        return "own" if "/threshold/" in key else "–"
    return f"{value:.3f}" if "/threshold/" in key else f"{round(100 * value, 1) + 0:.1f}"


def read() -> pd.DataFrame:
    """The kept numbers: rows by seed of the scenes and key, a column for each model."""
    return pd.read_csv(KEPT).set_index(["seed", "number"])


def page(text: str) -> str:
    """A page with the tables of the kept numbers."""
    kept = read()
    return _TABLE.sub(lambda found: found[1] + table(found[2], found[3], kept), text)


def keep(demos: list[Path], work: Path) -> None:
    """Write numbers.csv: what the pages show, for the scenes of each seed."""
    keys = dict.fromkeys(key for path in PAGES for key in shown(path.read_text("utf-8")))
    parts = []
    for demo in demos:
        frame = pd.DataFrame({model: numbers(demo, model, work) for model in MODELS})
        settings = (scored(demo, MODELS[0], work).folder / "run.json").read_text("utf-8")
        frame = frame.reindex([*keys]).assign(seed=json.loads(settings)["config"]["data"]["seed"])
        parts.append(frame.rename_axis("number").reset_index())
    columns = ["seed", "number", *MODELS]
    pd.concat(parts)[columns].to_csv(KEPT, index=False, float_format="%.6g")


if __name__ == "__main__":
    if demos := [Path(word) for word in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            keep(demos, Path(folder))
    for each in PAGES:
        each.write_text(page(each.read_text("utf-8")), "utf-8")

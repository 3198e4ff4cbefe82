"""The first pages: what they say of the small models, and the options of docs/evaluate.md.

The tables of `make demo` are compared with one another, with the kept results, and with a number of
trained models that is counted again; that of the first evaluation with its command.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.running import run, run_settings
from vssl.config.build import build_localizer
from vssl.data.synthetic.generate import SceneSet
from vssl.maps import upsample
from vssl.negatives.silence import Silence
from vssl.reporting.interpret import in_words
from vssl.types import AudioClip

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "demo_results.py"))
README, BENCHMARK, START = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/benchmark.md", "docs/start.md")
)
DEMO = SCRIPT["table_of"](BENCHMARK).map(lambda cell: float(cell.split(" ")[0]))
OTHER_SCENES = BENCHMARK[BENCHMARK.index("## On other scenes") :]
KEPT = pd.read_csv(ROOT / "experiments" / "results" / "synthetic_corrected.csv")
COLUMNS = {
    "cIoU ↑ object_area": ("ciou", "positive", "object_area"),
    "FA fixed silence ↓": ("false_alarm_rate", "silence", "fixed"),
    "FA fixed noise ↓": ("false_alarm_rate", "noise", "fixed"),
    "FA fixed offscreen ↓": ("false_alarm_rate", "offscreen", "fixed"),
    "swap ↑ fixed": ("swap_delta", "positive", "fixed"),
    "AUROC ↑": ("auroc", "all", "none"),
    "cIoU ↑ false_alarm_10": ("ciou", "positive", "false_alarm_10"),
    "F_LOC ↑ universal_q3": ("f_loc", "all", "universal_q3"),
}
"""Of the overview: header, and metric, condition and threshold policy."""

OVERVIEW = {
    "positives": "object_area",
    "marked": "fixed",
    "equal": "false_alarm_10",
    "universal": "universal_q3",
}


def test_the_options_are_those_of_the_help() -> None:
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    text = (ROOT / "conf/hydra/help/vssl_evaluate.yaml").read_text(encoding="utf-8")
    told = set(re.findall(r"^    ([a-z_.]+)=", text[text.index("Usual options") :], re.MULTILINE))
    assert told <= set(re.findall(r"`([a-z_.]+)=", page))


def percent(summary: pd.DataFrame, metric: str, condition: str, policy: str) -> float:
    rows = summary[
        (summary["metric"] == metric)
        & (summary["condition"] == condition)
        & (summary["threshold_policy"] == policy)
    ]
    assert len(rows) == 1
    return float(100 * rows["value"].iloc[0])


def test_readme_s_table_is_a_part_of_the_whole() -> None:
    part = SCRIPT["readme_table"](SCRIPT["table_of"](BENCHMARK))
    assert SCRIPT["filled"](README, {"readme": part}) == README, "run docs/demo_results.py"


@pytest.mark.parametrize("name", DEMO.index)
def test_the_whole_table_has_the_kept_numbers(name: str) -> None:
    kept = KEPT[KEPT["model"] == name]
    for header in ("AUROC ↑", "F_LOC ↑ universal_q3"):
        assert DEMO.loc[name, header] == pytest.approx(percent(kept, *COLUMNS[header]), abs=0.0501)


@pytest.mark.parametrize("name", ["tiny_deaf", "audio_blind", "deaf_best", "tiny_av", "tiny_san"])
def test_the_whole_table_has_the_numbers_of_the_other_pages(name: str) -> None:
    """Of docs/reading.md, and the thresholds that were learnt."""
    told = pd.read_csv(ROOT / "docs" / "numbers.csv").query("seed == 0").set_index("number")
    for header, (metric, condition, policy) in COLUMNS.items():
        number = 100 * told.loc[f"{condition}/{metric}/{policy}", name]
        assert DEMO.loc[name, header] == pytest.approx(number, abs=0.0501), header
    learnt = [told.loc[f"positive/threshold/{p}", name] for p in ("universal_q3", "false_alarm_10")]
    for shown in re.findall(rf"`{name}` ([\d.]+), ([\d.]+)[.;]", BENCHMARK):
        assert [*map(float, shown)] == pytest.approx(learnt, abs=0.000051)


@pytest.mark.slow
def test_false_alarms_of_the_demo_are_counted_again() -> None:
    """In silence: the sounds of the scenes would take five times as long as their pictures."""
    drawn = [SceneSet().draw(number).image for number in range(240)]
    clip = AudioClip(np.zeros((1, 160_000), np.float32))
    for name in ("tiny_san", "tiny_av"):
        localizer, _ = build_localizer(run_settings(f"model={name}"), [Silence()])
        sound = localizer.encode_sounds([clip], "silence")
        alarms = []
        for image in drawn:
            pictures = [localizer.prepare(image, name)]
            found = localizer.localize(pictures, sound[None], [("silence", 0)])
            alarms.append(bool((upsample(found.similarity[:, 0]) > 0.25).any()))
        # roundings of another processor may move a map across the threshold
        number = 100 * np.mean(alarms)
        assert DEMO.loc[name, "FA fixed silence ↓"] == pytest.approx(number, abs=0.5)


def test_other_scenes_begin_with_those_of_the_demo() -> None:
    (block,) = re.findall(r"(?:^\|.*\n)+", OTHER_SCENES, re.MULTILINE)[:1]
    _, _, *lines = [
        [c.strip() for c in line.strip("|\n").split("|")] for line in block.splitlines()
    ]
    rows = pd.DataFrame(lines).iloc[:, :4].replace("", pd.NA).ffill()
    first = {tuple(row[:3]): [*map(float, row[3].split(", "))] for row in rows.to_numpy()}
    for name in ("tiny_san", "tiny_av"):
        offscreen = percent(KEPT[KEPT["model"] == name], "auroc", "offscreen", "none")
        for number, policy, headers, *more in (
            ("cIoU", "`object_area`", ["cIoU ↑ object_area"]),
            ("cIoU", "`false_alarm_10`", ["cIoU ↑ false_alarm_10"]),
            ("F_LOC", "`universal_q3`", ["F_LOC ↑ universal_q3"]),
            ("AUROC: all, offscreen", "none", ["AUROC ↑"], offscreen),
            ("false alarms: silence, noise, offscreen", "0.25", [*DEMO.columns[1:4]]),
        ):
            expected = [*DEMO.loc[name, headers], *more]
            shown = first[number, policy, f"`{name}`"]
            assert shown == pytest.approx(expected, abs=0.0501), number


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_san", "tiny_av", "tiny_deaf"])
def test_the_first_evaluation(name: str, tmp_path: Path) -> None:
    """Its command, its table, and the numbers of its sentences."""
    (command,) = re.findall(
        r"^    vssl-evaluate -m model=tiny_deaf,tiny_av,tiny_san (.*)", START, re.M
    )
    summary = run(
        tmp_path / "run", f"model={name}", *command.split(), "bootstrap.resamples=200",
        "metrics=[ciou,pia,false_alarm_rate,swap_delta,auroc,f_loc]", "subsets=[]",
    )  # fmt: skip
    header, _, *lines = re.findall(r"^\|(.*)\|$", START, re.MULTILINE)
    column = header.split("|").index(f" `{name}` ")
    row = [line.split("|")[column].strip() for line in lines]
    for shown, place in zip(row, COLUMNS.values(), strict=True):
        assert float(shown) == pytest.approx(percent(summary, *place), abs=0.5), place
    says = in_words(summary, **OVERVIEW)
    assert ("It does not listen" if name == "tiny_deaf" else "It listens") in says
    if name == "tiny_deaf":
        first, alarm, _, _, swap, _, left, _ = row
        text = " ".join(START.split())
        assert f"scores {float(first):.0f} on the usual test" in text
        for sentence in (
            f"{first} is lower than its neighbours",
            f"something that is not there: {alarm} in each",
            f"One that stays has {swap}:",
            f"Of the first row {left} remains",
        ):
            assert sentence in text


def test_silence_and_noise_in_training_give_a_usable_threshold() -> None:
    """What the pages say of the three."""
    deaf, plain, trained = (DEMO.loc[name] for name in ("tiny_deaf", "tiny_av", "tiny_san"))
    best = DEMO.loc["deaf_best", "cIoU ↑ object_area"]
    first = "cIoU ↑ object_area"
    assert best > plain[first] > trained[first] > plain[first] - 3
    for sound in ("silence", "noise"):
        column = f"FA fixed {sound} ↓"
        assert deaf[column] == 100
        assert 45 < plain[column] < 65
        assert trained[column] < plain[column] / 2
    left = "cIoU ↑ false_alarm_10"
    assert 3 * plain[left] < trained[left] < trained[first] / 2
    found = KEPT[KEPT["condition"].eq("all")].set_index(["model", "metric", "threshold_policy"])
    for metric, policy in (("f_loc", "universal_q3"), ("auroc", "none")):
        low = found.loc[("tiny_san", metric, policy), "ci_low"]
        assert low > found.loc[("tiny_av", metric, policy), "ci_high"], metric

"""docs/metrics.md: its example, reckoned by hand, by vssl's functions; its tables."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from tests.helpers.running import composed, run_settings, scoring_settings
from tests.helpers.running import run as evaluate
from vssl.config.build import build_policies, configured_sounding_objects
from vssl.maps import binarize, consensus_map
from vssl.metrics.auc import area_of_rejection, area_of_success
from vssl.metrics.ciou import consensus_iou
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import image_area
from vssl.metrics.swap import SwapDelta
from vssl.records.aggregate import summary_key
from vssl.records.pooled import POOLED, POOLED_POLICIES
from vssl.records.schema import NO_POLICY, SUBSETS, SUMMARY
from vssl.thresholds.base import EACH_MAP, ThresholdPolicy
from vssl.types import EVALUATION_SIZE, POSITIVE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
NEGATIVES = ("silence", "noise", "offscreen")
CONDITIONS = (POSITIVE, *NEGATIVES)
SOUNDING = configured_sounding_objects(
    run_settings("negatives=[silence,noise,offscreen,mixed,reversed,gain,swapped]")
)
MODELS = ("deaf", "listening")
POLICIES = ("half_image", "object_area", "universal_max", "universal_q3")
SAMPLES = ("1A", "1B", "2A", "2B")
SIDE, ABSENT = 5, "–"
Grid = list[list[int]]
"""A map in hundredths."""

STANDARD = scoring_settings("threshold=standard")


# The page


def tables() -> list[list[dict[str, str]]]:
    """The page's tables: rows as header to cell, without backticks."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        lines = [[c.strip() for c in line.strip("|\n").split("|")] for line in block.splitlines()]
        header = [c.replace("`", "") for c in lines[0]]
        assert all(len(line) == len(header) for line in lines), lines
        found.append(
            [dict(zip(header, (c.replace("`", "") for c in line), strict=True))
             for line in lines[2:]]
        )  # fmt: skip
    return found


def table(*headers: str) -> list[dict[str, str]]:
    """The page's one table with these columns first."""
    (found,) = (t for t in tables() if list(t[0])[: len(headers)] == list(headers))
    return found


@cache
def grids() -> dict[tuple[str, str, str], Grid]:
    """Maps of the example by model, sample and audio condition, as the page's table gives them."""
    found: dict[tuple[str, str, str], Grid] = {}
    for row in table("model", "sample", "audio condition"):
        grid = [[10] * SIDE for _ in range(SIDE)]
        for name in "AB":
            high, low = (int(n) for n in re.findall(r"\.(\d\d)", row[f"on object {name}"]))
            values = range(high, low - 1, -1)
            for (y, x), value in zip(pixels(name), values, strict=True):
                grid[y][x] = value
        heard = CONDITIONS if row["audio condition"] == "every" else [row["audio condition"]]
        for sample, condition in product(row["sample"].split(", "), heard):
            assert (row["model"], sample, condition) not in found
            found[row["model"], sample, condition] = grid
    return found


def pixels(name: str) -> list[tuple[int, int]]:
    """Pixels of an object in reading order, as the page draws it."""
    (drawn,) = re.findall(r"((?:^    [AB.](?: [AB.]){4}\n){5})", PAGE, re.MULTILINE)
    letters = [line.split() for line in drawn.splitlines()]
    return [(y, x) for y in range(SIDE) for x in range(SIDE) if letters[y][x] == name]


# The example by vssl's functions

Key = tuple[str, str]
Found = dict[Key, float]


def maps(model: str, condition: str) -> torch.Tensor:
    """`[4, 5, 5]` maps of the samples under a condition."""
    return torch.tensor([grids()[model, s, condition] for s in SAMPLES]).float() / 100


def truth(names: Iterable[str]) -> torch.Tensor:
    """Ground truths of objects, `[N, 5, 5]`."""
    found = []
    for name in names:
        rows, columns = zip(*pixels(name), strict=True)
        box = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        found.append(consensus_map([box], [1.0], size=SIDE))
    return torch.stack(found)


OWN = "ABAB"


def policies() -> dict[str, ThresholdPolicy]:
    found = build_policies(STANDARD, model="deaf", negatives=True)
    return {policy.name: policy for policy in found}


@cache
def fitted(model: str) -> dict[str, ThresholdPolicy]:
    """The policies, learnt from the model's negatives."""
    found = policies()
    heights = {c: maps(model, c).amax(dim=(1, 2)).double().numpy() for c in NEGATIVES}
    for policy in found.values():
        policy.fit(np.concatenate(list(heights.values())), np.repeat(NEGATIVES, len(SAMPLES)))
    return found


def by_functions(model: str, policy: ThresholdPolicy) -> Found:
    """The example's numbers under a policy."""
    own = truth(OWN)
    heard = {c: maps(model, c) for c in CONDITIONS}
    masks = {c: binarize(each, policy.threshold(each, own)) for c, each in heard.items()}
    ciou = consensus_iou(masks[POSITIVE], own)
    pia = {c: image_area(masks[c]) for c in CONDITIONS}
    columns: dict[Key, torch.Tensor] = {
        ("ciou", POSITIVE): ciou,
        ("ciou", "offscreen"): consensus_iou(masks["offscreen"], own),
        ("auc", POSITIVE): area_of_success(ciou),
        **{("pia", c): pia[c] for c in CONDITIONS},
        **{("auc_n", c): area_of_rejection(pia[c]) for c in NEGATIVES},
    }
    found = {key: column.mean().item() for key, column in columns.items()}
    constant = policy.constant()
    if constant is not None:
        found["threshold", ""] = constant
        for metric in (FLoc, FAuc):
            negatives = {c: np.array(found[metric.negative, c]) for c in NEGATIVES}
            positive = np.array(found[metric.positive, POSITIVE])
            found[metric.name, "all"] = float(metric.combine(positive, negatives))
    return found


def agree(cell: str, number: float) -> bool:
    shown = re.fullmatch(r"-?\d\.\d{3}", cell) is not None
    return shown and float(cell) == pytest.approx(number, abs=0.000501)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_numbers_under_policies(model: str, policy: str) -> None:
    numbers = by_functions(model, fitted(model)[policy])
    for row in table("number", "condition", "half_image deaf"):
        key, cell = (row["number"], row["condition"]), row[f"{policy} {model}"]
        if key in numbers:
            assert agree(cell, numbers[key]), (key, cell, numbers[key])
        else:
            assert fitted(model)[policy].source == EACH_MAP
            assert cell == ("own" if key[0] == "threshold" else ABSENT)


def test_what_the_example_says_of_the_deaf_model() -> None:
    deaf, ground_truth = maps("deaf", POSITIVE)[:1], truth("A")
    for policy, marked in (("half_image", 12), ("object_area", 5), ("universal_q3", 0)):
        mask = binarize(deaf, fitted("deaf")[policy].threshold(deaf, ground_truth))
        assert mask.sum() == marked


# The rest of the page


def leaves(group: str) -> set[str]:
    """Configurations of a group that name one thing, rather than listing others."""
    found = set()
    for path in (ROOT / "conf" / group).glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "defaults" not in content:
            assert list(content) == [path.stem]
            found.add(path.stem)
    return found


def test_the_first_table_is_made_from_the_classes() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "metrics_table.py"))
    assert script["page"](PAGE) == PAGE, "run docs/metrics_table.py"


def test_every_metric_is_described() -> None:
    names = {row["number"] for row in table("number", "column in scores.parquet")}
    assert names == leaves("metrics")
    assert names <= set(re.findall(r"^(?:- )?\*\*`(\w+)`\*\*: ", PAGE, re.MULTILINE))


def test_every_audio_condition_is_described() -> None:
    rows = {row["condition"]: row for row in table("condition", "what plays")}
    # of `gain` there is a condition for each level
    assert rows.keys() == {name.partition("_")[0] for name in SOUNDING}
    words = {"own": "the own object", "other": "another object in the picture", "none": "nothing"}
    for name, sounding in SOUNDING.items():
        row = rows[name.partition("_")[0]]
        assert row["what sounds in the picture"].startswith(words[sounding])
    for name, row in rows.items():
        options = composed(f"negatives={name}").negatives[name] if name != POSITIVE else {}
        assert set(re.findall(r"\w+", row["options"])) == set(options) - {"_target_"}, name


def test_every_threshold_policy_is_described() -> None:
    rows = {name: row for row in table("policy", "threshold") for name in row["policy"].split(", ")}
    assert rows.keys() == leaves("threshold") | {NO_POLICY, POOLED}
    pooled = rows[POOLED]["threshold"]
    assert all(name in pooled for name in POOLED_POLICIES if not name.startswith("released"))
    assert "three released_*" in pooled


def test_how_much_size_aware_policies_mark() -> None:
    side = EVALUATION_SIZE
    area = 40 * 50
    distinct = torch.randperm(side**2, generator=torch.Generator().manual_seed(0)).float()
    ground_truth = consensus_map([(0, 0, 40, 50)], [1.0])[None]
    for name, marked in (("half_image", 25_087), ("object_area", area - 1)):
        one_map = distinct.view(1, side, side)
        mask = binarize(one_map, policies()[name].threshold(one_map, ground_truth))
        assert mask.sum() == marked
        flat = torch.full_like(one_map, 0.5)
        assert not binarize(flat, policies()[name].threshold(flat, ground_truth)).any()
    assert f"{25_087:,} of {side**2:,} pixels" in re.sub(r"\s+", " ", PAGE)


def test_where_a_deaf_model_has_no_swap_delta() -> None:
    small, large = truth("A"), truth("AB").amax(dim=0, keepdim=True)
    large = large - small
    large[0, 2] = 1  # five pixels more
    deaf = maps("deaf", POSITIVE)[:1]
    swaps = {}
    for name, policy in fitted("deaf").items():
        masks = [binarize(deaf, policy.threshold(deaf, own)) for own in (small, large)]
        pairs = zip(masks, (small, large), (large, small), strict=True)
        swaps[name] = sum(SwapDelta.measure(*each).item() for each in pairs) / 2
    assert swaps.pop("object_area") != pytest.approx(0, abs=0.01)
    assert all(swap == 0 for swap in swaps.values())


def test_the_columns_and_keys_that_are_named() -> None:
    section = PAGE.split("## Where numbers stand")[1].split("\n## ")[0]
    summary = re.search(r"- `summary.parquet`:(.*?)- `subsets.parquet`", section, re.S)
    assert summary is not None
    assert set(re.findall(r"`(\w+)`", summary[1])) <= set(SUMMARY.names)
    assert "`subset_kind=category`" in section
    assert "subset_kind" in SUBSETS.names
    row = {"condition": "<condition>", "metric": "<metric>", "threshold_policy": "<policy>"}
    assert f"`{summary_key({**row, 'map_variant': 'av'})}[.ogl]`" in section


@pytest.mark.parametrize("name", ["compare", "audit", "thresholds"])
def test_the_options_of_the_commands(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(rf"^\*\*`(vssl-{name} .*?)(?=\n\n|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit):
        import_module(f"vssl.cli.{name}").main()
    option = r"--[a-z]+(?:-[a-z]+)*"
    shown = re.findall(option, capsys.readouterr().out)
    assert set(re.findall(option, text)) == set(shown) - {"--help"}


def test_the_trace_of_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    overrides = ["model=audio_blind", "data.scenes=6", f"paths.cache={tmp_path}"]
    overrides += ["negatives.noise.draws=2", "negatives.offscreen.draws=2"]
    overrides += ["threshold=universal_q3", "metrics=pia", "subsets=[category]"]
    summary = evaluate(folder, *overrides)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {"run": folder}
    exec(code, names)  # the page's own example
    (number,) = summary.query(
        "condition == 'offscreen' and map_variant == 'av' and metric == 'pia'"
        " and threshold_policy == 'universal_q3'"
    )["value"]
    assert number > 0
    assert names["value"] == pytest.approx(number, abs=1e-12)
    assert str(names["record"]["image_path"]) in capsys.readouterr().out
    assert pq.read_schema(folder / "subsets.parquet").names == SUBSETS.names

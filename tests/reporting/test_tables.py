"""The report's tables, from summaries made by hand: the same numbers in text, csv and LaTeX."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.helpers.reporting_runs import compile_latex, on_a_wide_page
from vssl.core.errors import UsageError
from vssl.records.schema import NO_POLICY, SUMMARY
from vssl.records.summary import completed
from vssl.reporting.collection import Collection, Group, ReportRun
from vssl.reporting.run_labels import PAPER_MODELS
from vssl.reporting.tables.model import BASELINES_GROUP, Cell, Column, Row, Table
from vssl.reporting.tables.paper import build_tables, check_policy, ranked, write_tables
from vssl.reporting.tables.render import show_table

NEGATIVES = ("silence", "noise", "offscreen")
UNIVERSAL = "universal_q3"
DETECTION = ("detection_ap", "max_f1")
LOWER = ("pia", "false_alarm_rate", "fpr95", "overlap", "agreement")
BOLD, UNDERLINE = r"\textbf", r"\underline"


def places(negatives: Sequence[str]) -> list[tuple[str, str, str]]:
    """Metric, condition and policy of the numbers that a run with these negatives has."""
    together = ["all"] if set(negatives) == set(NEGATIVES) else []
    at_threshold = {
        "positive": ("ciou", "auc", "pia", "swap_delta", "iiou", "iauc"),
        **dict.fromkeys(negatives, ("pia", "auc_n", "false_alarm_rate")),
        **{f"positive-{c}": ("agreement",) for c in negatives},
        **dict.fromkeys(together, ("f_loc", "f_auc")),
    }
    field = [(p, m) for p in ("half_image", "object_area") for m in ("success_rate", "auc")]
    return [
        *((metric, c, UNIVERSAL) for c, metrics in at_threshold.items() for metric in metrics),
        *((metric, "positive", policy) for policy, metric in field),
        *(
            (m, c, NO_POLICY)
            for c in (*negatives, *together)
            for m in ("auroc", "fpr95", "overlap")
        ),
    ]


def make_run(
    model: str,
    *,
    variants: Sequence[str] = ("av",),
    negatives: Sequence[str] = NEGATIVES,
    values: Mapping[tuple[str, str], float] | None = None,
    more: Sequence[tuple[str, str, str]] = (),
    **provenance: Any,
) -> ReportRun:
    """A run whose numbers are drawn, but for `values` by metric and condition."""
    draw = np.random.default_rng([0, *model.encode()])
    rows = []
    for variant in variants:
        for metric, condition, policy in [*places(negatives), *more]:
            value = (values or {}).get((metric, condition), draw.random())
            rows.append({
                "model": model, "dataset": "vggss", "protocol": "corrected",
                "condition": condition, "map_variant": variant, "threshold_policy": policy,
                "threshold_source": "fit on vggss" if policy == UNIVERSAL else "each map's own",
                "threshold": 0.25 if policy == UNIVERSAL else None,
                "metric": metric, "value": value, "std_over_draws": 0.01,
                "ci_low": value - 0.02, "ci_high": value + 0.02, "n": 7, "n_undefined": 0,
                "ci_low_at_threshold": value - 0.01, "ci_high_at_threshold": value + 0.01,
                **dict.fromkeys(("share_images", "share_sounds", "share_threshold"), 0.3),
                "draws": 1 if condition in ("positive", "silence") else 10,
                "higher_is_better": metric not in LOWER,
                "seed": 3, "coverage": 0.5, "manifest_hash": "ab" * 32, "config_hash": "cd" * 32,
            })  # fmt: skip
    pairings = [["positive", 0], *([c, d] for c in negatives for d in range(10))]
    facts = {
        "seed": 3, "coverage": 0.5, "config_hash": "cd" * 32, "evaluated": 7,
        "pairings": pairings, "negatives": {"noise": {"level": 1.0}},
        "negatives_manifest_sha256": "same", "value_range": [-1.0, 1.0], "map_transform": "none",
        "weights": {"sha256": f"sha of {model}"}, "model": model,
    } | provenance  # fmt: skip
    summary = completed(pd.DataFrame(rows))[SUMMARY.names]
    return ReportRun(Path("/runs") / model, model, facts, summary)


def group_of(*runs: ReportRun) -> Group:
    return Group("vggss", "corrected", "ab" * 32, "a_group", runs)


def table(group: Group, name: str) -> Table:
    return next(each for each in build_tables(group) if each.name == name)


def test_the_papers_table_has_the_papers_columns() -> None:
    paper = table(group_of(make_run("lvs")), "paper")
    negatives = [f"{m}/{c}" for c in NEGATIVES for m in ("pia", "auc_n", "false_alarm_rate")]
    assert [f"{c.metric}/{c.condition}" for c in paper.columns] == [
        *("ciou/positive", "auc/positive", *negatives, "f_loc/all", "f_auc/all")
    ]
    assert {c.policy for c in paper.columns} == {UNIVERSAL}
    assert [c.higher_is_better for c in paper.columns[:4]] == [True, True, False, True]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (
            "equal_rates",
            [
                *(("ciou", "positive", f"false_alarm_{rate}") for rate in (1, 10)),
                *(("false_alarm_rate", c, "false_alarm_10") for c in NEGATIVES),
            ],
        ),
        ("detection", [(m, c, UNIVERSAL) for c in ("noise", "all") for m in DETECTION]),
        (
            "avsbench",
            [
                *(("avs_miou", c, UNIVERSAL) for c in ("positive", "noise")),
                *(("avs_f", c, NO_POLICY) for c in ("positive", "noise")),
                *(("g_miou", "all", UNIVERSAL), ("g_f", "all", NO_POLICY)),
            ],
        ),
    ],
)
def test_what_runs_have_besides_has_tables_of_its_own(
    name: str, more: Sequence[tuple[str, str, str]]
) -> None:
    run = make_run("lvs", more=more)
    group = group_of(run, make_run("ezvsl"))
    found = table(group, name)
    assert {column.place for column in found.columns} == set(more)
    for row in found.rows:
        for column, cell in zip(found.columns, row.cells, strict=True):
            number = run.number(*column.place)
            assert number is not None
            assert (cell and cell.value) == (number["value"] if row.label == "lvs" else None)
    for metric, condition, policy in more:
        (column,) = (c for c in found.columns if c.place == (metric, condition, policy))
        lower = metric in LOWER or (metric.startswith("avs") and condition in NEGATIVES)
        assert column.higher_is_better != lower
    names = [each.name for each in build_tables(group)]
    assert not {"equal_rates", "detection", "avsbench", "other", "flags"} & {*names} - {name}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.5, 0.4, 0.3), (1, 2, None)),
        ((0.5, 0.5001, 0.3), (1, 1, None)),  # look the same
        ((0.5, 0.4, 0.4), (1, 2, 2)),
        ((0.5, 0.5, 0.5), (None, None, None)),
        ((0.5, None, 0.4), (1, None, 2)),
        ((0.5,), (None,)),
    ],
)
def test_best_and_second_are_marked_among_models(
    values: Sequence[float | None], expected: Sequence[int | None]
) -> None:
    column = Column(("cIoU",), "ciou", higher_is_better=True)
    rows = [Row("own", (Cell(value),)) for value in values]
    found = ranked([*rows, Row("oracle", (Cell(1.0),), group=BASELINES_GROUP)], [column])
    assert tuple(cell.rank for row in found for cell in row.cells if cell) == (*expected, None)


@pytest.mark.parametrize(
    ("metric", "condition", "name", "worst", "better"),
    [
        ("auroc", "noise", "separation", 0.5004, 0.6),  # shown as 50.0
        ("fpr95", "all", "separation", 0.95, 0.9),
        ("overlap", "noise", "separation", 0.9996, 0.9),
        ("pia", "silence", "paper", 1.0, 0.4),
        ("ciou", "positive", "paper", 0.0004, 0.4),
        ("swap_delta", "positive", "listening", -0.2, 0.1),
    ],
)
def test_what_a_model_that_knows_nothing_reaches_is_not_marked(
    metric: str, condition: str, name: str, worst: float, better: float
) -> None:
    """Not even as the second of two."""
    place = (metric, condition)
    step = 0.1 if better > worst else -0.1
    values = {"lvs": better + step, "ezvsl": worst, "slavc": worst}
    runs = [make_run(model, values={place: value}) for model, value in values.items()]
    found = table(group_of(*runs), name)
    at = [(c.metric, c.condition) for c in found.columns].index(place)
    ranks = {row.label: cell.rank for row in found.rows if (cell := row.cells[at])}
    assert ranks == {"lvs": 1, "ezvsl": None, "slavc": None}


def test_a_model_that_marks_nothing_is_not_marked() -> None:
    """Its pIA is 0 and its AUC_N 1, which says nothing of what it hears."""
    nothing = {("pia", c): 0.0 for c in ("positive", *NEGATIVES)}
    nothing |= {("auc_n", c): 1.0 for c in NEGATIVES}
    runs = [make_run("lvs", values=nothing), make_run("ezvsl"), make_run("slavc")]
    found = table(group_of(*runs), "paper")
    ranks = {row.label: [cell.rank for cell in row.cells if cell] for row in found.rows}
    assert set(ranks["lvs"]) == {None}
    assert {rank for label in ("ezvsl", "slavc") for rank in ranks[label]} == {1, 2}
    assert f"are marked at {UNIVERSAL} by lvs, so" in found.complete_caption


def test_expected_models_without_run_are_gaps() -> None:
    models = ("ezvsl", "rcgrad_raw", "mine", "random")
    group = group_of(*(make_run(model) for model in models))
    tables = build_tables(group, expected=PAPER_MODELS)
    paper = next(each for each in tables if each.name == "paper")
    expected = ["rcgrad", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign"]
    assert [row.label for row in paper.rows if row.label in PAPER_MODELS] == expected
    assert [row.label for row in paper.rows][-2:] == ["mine", "random"]
    for row in paper.rows:
        assert bool(row.reason) == (row.label in set(expected) - {"ezvsl"})
        assert row.reason == "" or row.cells == (None,) * len(paper.columns)
    assert "no finished run of rcgrad, lvs, slavc, fnac, ssltie, sslalign" in paper.complete_caption
    assert {row.label for row in table(group, "paper").rows} == set(models), "none is expected"


def test_gaps_have_their_reason() -> None:
    run = make_run("lvs")
    group = group_of(run, make_run("ezvsl", negatives=("silence", "noise")))
    paper = table(group, "paper")
    row = next(row for row in paper.rows if row.label == "ezvsl")
    empty = [c.condition for c, cell in zip(paper.columns, row.cells, strict=True) if cell is None]
    assert empty == ["offscreen"] * 3 + ["all"] * 2
    assert "ezvsl: no offscreen among its negatives" in paper.complete_caption
    # what no run has is no column
    tables = build_tables(group_of(make_run("lvs", negatives=("silence",))))
    for each in tables:
        assert all(any(row.cells[at] for row in each.rows) for at in range(len(each.columns)))
    assert "all runs: no noise among its negatives" in tables[0].complete_caption
    kept = run.summary[run.summary["threshold_policy"] != "half_image"].reset_index(drop=True)
    caption = table(group_of(replace(run, summary=kept)), "field").complete_caption
    assert "half_image was not scored (vssl-rescore threshold=half_image adds it)" in caption


def test_every_caption_says_what_the_numbers_rest_on() -> None:
    for each in build_tables(group_of(make_run("lvs"), make_run("ezvsl"))):
        for said in ("Data vggss", "protocol corrected", "N = 7", "coverage 50 %", "seed 3",
                     "list abababab", "95 % intervals"):  # fmt: skip
            assert said in each.complete_caption, each.name
        for said in ("N = 7", "seed 3", "95 % intervals"):
            assert said in each.caption, each.name
        if each.name == "paper":
            assert "Learnt thresholds: fit on vggss" in each.details[3]
            assert "noise x 10" in each.details[1]


LOUD = {"negatives": {"noise": {"level": 2.0}}, "negatives_manifest_sha256": "x"}
AT_THE_TOP = f"ezvsl: {UNIVERSAL} is at the top of the maps' range"


@pytest.mark.parametrize(
    ("facts", "threshold", "said"),
    [
        (LOUD, 0.25, "Runs differ in level of noise: lvs 1.0, ezvsl 2.0"),
        (LOUD, 0.25, "The negatives of lvs, ezvsl were not drawn alike"),
        ({"value_range": [0.0, 0.25]}, 0.25, AT_THE_TOP),
        ({"map_transform": "stretch_and_clip"}, 1.0, AT_THE_TOP),
    ],
)
def test_what_is_odd_about_a_run_is_said(
    facts: dict[str, Any], threshold: float, said: str
) -> None:
    odd = make_run("ezvsl")
    odd.provenance.update(facts)
    odd.summary.loc[odd.summary["threshold_policy"] == UNIVERSAL, "threshold"] = threshold
    assert said in table(group_of(make_run("lvs"), odd), "paper").complete_caption
    plain = table(group_of(make_run("lvs"), make_run("ezvsl")), "paper").complete_caption
    assert said not in plain
    assert "differ" not in plain.lower()


def test_published_figures_stand_beside_ours() -> None:
    run = make_run("ezvsl", variants=("av", "ogl"))
    found = table(group_of(run, make_run("lvs")), "published")
    rows = [row for row in found.rows if row.label == "ezvsl"]
    assert {row.variant for row in rows} == {"ogl"}, "published with object-guided maps only"
    row = next(row for row in rows if row.note == "published as AV+OGL, VGG-Sound 144k")
    own = run.number("success_rate", "positive", "half_image", "ogl")
    assert own is not None
    cell = row.cells[[column.metric for column in found.columns].index("success_rate")]
    assert cell is not None
    assert (cell.figure["published"], cell.figure["tier"]) == (0.3885, "A")
    assert cell.figure["difference"] == own["value"] - 0.3885
    assert "stoneMo/EZ-VSL README.md (A)" in found.complete_caption


def test_cells_without_a_source_stay_empty() -> None:
    """Of several figures none is more this checkpoint's than another: they have their own table."""
    tables = build_tables(group_of(*(make_run(m, variants=("av", "ogl")) for m in PAPER_MODELS)))
    cells = [c for t in tables if t.name in ("paper", "field") for r in t.rows for c in r.cells]
    assert not any(cell and cell.figure for cell in cells)


@pytest.mark.parametrize("intervals", [False, True])
def test_text_csv_latex_and_cells_have_the_same_numbers(tmp_path: Path, intervals: bool) -> None:
    runs = [make_run(m, variants=("av", "ogl")) for m in ("lvs", "ezvsl", "mine")]
    runs.append(make_run("random", values={("ciou", "positive"): float("nan")}))
    tables = write_tables(group_of(*runs), tmp_path, intervals=intervals)
    long = iter(pd.read_csv(tmp_path / "paper_a_group.csv").to_dict("records"))
    markdown = (tmp_path / "paper_a_group.md").read_text().split("\n**")
    latex = on_a_wide_page(tmp_path / "paper_a_group.tex").split(r"\begin{table*}")[1:]
    assert len(tables) == len(markdown) == len(latex) == 5
    for each, text, tex in zip(tables, markdown, latex, strict=True):
        lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
        lines = [line for line in lines if not line.startswith("| *baselines*")]
        body = tex.split(r"\midrule", 1)[1].split(r"\bottomrule")[0].replace(r"\midrule", "")
        body = re.sub(
            r"\\begin\{tabular\}\[t\]\{@\{\}r@\{\}\}(.*?)\\\\.*?\\end\{tabular\}", r"\1", body
        )
        rows = [row for row in re.split(r"\\\\(?:\[2pt\])?\n", body) if row.strip()]
        for row, line, tex_row in zip(each.rows, lines, rows, strict=True):
            shown = [part.strip() for part in line.strip("| ").split(" | ")][-len(row.cells) :]
            in_latex = [part.strip() for part in tex_row.split("&")][-len(row.cells) :]
            for column, cell, texts in zip(
                each.columns, row.cells, zip(shown, in_latex, strict=True), strict=True
            ):
                if cell is None and row.note:
                    assert texts == ("–", "--")
                    continue
                written = next(long)
                places = ("table", "run_label", "map_variant", "metric", "condition")
                assert [written[name] for name in places] == [
                    each.name, row.label, row.variant, column.metric, column.condition
                ]  # fmt: skip
                if cell is None or cell.value is None:
                    assert texts == (("–", "--") if cell is None else ("n/a", "n/a"))
                    assert pd.isna(written["value"])
                    continue
                assert written["value"] == pytest.approx(cell.value, abs=1e-15)
                numbers = [re.search(r"-?\d+\.\d", text) for text in texts]
                assert {float(n[0]) for n in numbers if n} == {round(100 * cell.value, 1)}
                marks = [cell.rank == rank for rank in (1, 2, 1, 2)]
                assert marks == [
                    mark in text[: len(mark)]
                    for text, both in zip(texts, (("**", "<u>"), (BOLD, UNDERLINE)), strict=True)
                    for mark in both
                ]


def test_the_csv_has_all_settings_as_columns(tmp_path: Path) -> None:
    group = group_of(make_run("lvs"), make_run("ezvsl"))
    write_tables(group, tmp_path / "report", expected=PAPER_MODELS)
    long = pd.read_csv(tmp_path / "report" / "paper_a_group.csv", dtype=str, keep_default_na=False)
    row = long[(long["run_label"] == "lvs") & (long["condition"] == "noise")].iloc[0]
    run = make_run("lvs").number("pia", "noise", UNIVERSAL)
    assert run is not None
    expected = {
        "table": "paper", "model": "lvs", "map_variant": "av", "dataset": "vggss",
        "protocol": "corrected", "threshold_policy": UNIVERSAL, "threshold": "0.25",
        "threshold_source": "fit on vggss", "metric": "pia", "n": "7", "draws": "10", "seed": "3",
        "coverage": "0.5", "manifest_hash": "ab" * 32, "config_hash": "cd" * 32,
        "weights_sha256": "sha of lvs", "std_over_draws": "0.01", "published": "", "gap": "",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert float(row["value"]) == run["value"]
    assert float(row["ci_low"]) == run["ci_low"]
    assert (tmp_path / "report" / row["run"]).resolve() == Path("/runs/lvs")
    gaps = long[long["run_label"] == "slavc"]
    assert set(gaps["gap"]) == {"no finished run"}
    assert set(gaps["value"]) == {""}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("half_image", "gives every map a threshold of its own"),
        ("universal_max", rf"no run was scored with it. There are {UNIVERSAL}"),
    ],
)
def test_policies_that_cannot_be_are_refused(policy: str, said: str) -> None:
    collection = Collection((group_of(make_run("lvs")),), {})
    check_policy(collection, UNIVERSAL)
    with pytest.raises(UsageError, match=said):
        check_policy(collection, policy)


ARTICLE = r"\documentclass{article}"
TWO_COLUMNS = r"""\documentclass[twocolumn]{article}
\usepackage[letterpaper,textwidth=178mm,textheight=229mm]{geometry}"""
ODD = r"own_model 100% & <b> #1 {x} $\alpha$ ~^| of a long name"


@pytest.mark.parametrize(
    ("models", "intervals", "page"),
    [
        (PAPER_MODELS[:1], True, ARTICLE),
        ((*PAPER_MODELS, ODD), False, TWO_COLUMNS),
        ((*PAPER_MODELS, ODD), True, ARTICLE),
        ((*PAPER_MODELS, ODD), True, TWO_COLUMNS),
    ],
)
def test_latex_compiles_and_fits_the_page(
    tmp_path: Path, models: Sequence[str], intervals: bool, page: str
) -> None:
    runs = [make_run(m, variants=("av", "ogl")) for m in models]
    write_tables(group_of(*runs, make_run("random")), tmp_path, intervals=intervals)
    body = "\\input{paper_a_group.tex} Table~\\ref{tab:a_group_paper}."
    said = compile_latex(tmp_path, body, page=page)
    for fault in ("undefined", "Overfull", "too large"):
        assert fault not in said


def test_a_page_of_two_columns_has_the_papers_table_in_one_piece(tmp_path: Path) -> None:
    runs = [make_run(model) for model in PAPER_MODELS]
    write_tables(group_of(*runs), tmp_path, intervals=True)
    assert "continued" not in on_a_wide_page(tmp_path / "paper_a_group.tex")


@pytest.mark.parametrize(
    ("width", "count", "text", "blocks", "intervals"),
    [
        (None, 20, False, 2, True),
        (80, 20, False, 4, False),
        (200, 20, False, 2, True),
        (None, 20, True, 1, True),  # texts are never cut, and so neither is what is beside them
    ],
)
def test_a_table_in_the_terminal(
    width: int | None, count: int, text: bool, blocks: int, intervals: bool
) -> None:
    columns = [Column(("success", "rate"), higher_is_better=True) for _ in range(count)]
    columns[-1] = replace(columns[-1], text=text)
    cells = [Cell(0.125 + at / 100, 0.1, 0.2) for at in range(count)]
    file = io.StringIO()
    console = Console(file=file, force_terminal=width is not None, width=width, no_color=True)
    show_table(
        console, Table("title", tuple(columns), (Row("[bold]run", tuple(cells)),), "caption")
    )
    said = file.getvalue()
    assert said.count("[bold]run") == blocks
    assert ("10.0–20.0" in said) == intervals
    assert ("Intervals are shown from 132 columns on" in said) != intervals
    assert said.count("rate ↑") == said.count("success") == count
    assert all(f" {cell.shown} " in said for cell in cells)

"""Published figures: the installed file, and a run's numbers beside it."""

from __future__ import annotations

import math
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import guided_by, run
from vssl.cli.compare import main
from vssl.core.errors import UsageError
from vssl.records.files import SUMMARY_FILE
from vssl.reporting.published import (
    DEFINITIONS,
    NO_SOURCE,
    OWN_RULES,
    PUBLISHED_MODELS,
    TEST_SETS,
    beside_published,
    read_published,
    report_published,
)

CONF = Path(__file__).resolve().parents[2] / "conf"
COLUMNS = ["model", "variant", "training_set", "test_set", "metric", "value", "unit", "source"]
COLUMNS += ["tier", "note"]


def rows_of(path: Path) -> list[dict[str, str]]:
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")


@pytest.fixture(scope="module")
def installed() -> list[dict[str, str]]:
    return rows_of(Path(str(files("vssl.experiments") / "reference_values.csv")))


def test_every_figure_is_the_collected_one(shared: Path, installed: list[dict[str, str]]) -> None:
    collected = rows_of(shared / "reference_values.csv")
    citable = [row for row in collected if row["note"].startswith(("tier=A ", "tier=B "))]
    assert len(citable) > 100
    expected = []
    for row in citable:
        tier, _, note = row.pop("note").removeprefix("tier=").partition(" ")
        source = row.pop("source_url_or_repo_file")
        expected.append({**row, "source": source, "tier": tier, "note": note})
    assert [row for row in installed if row["source"] != NO_SOURCE] == expected


def test_what_is_not_at_hand_is_missing_and_never_made_up(installed: list[dict[str, str]]) -> None:
    assert list(installed[0]) == COLUMNS
    for row in installed:
        assert (row["value"] == "") == (row["source"] == NO_SOURCE) == (row["tier"] == "")
        if row["value"]:
            assert row["tier"] in ("A", "B")
            assert math.isfinite(float(row["value"]))
            assert re.match(r"(https://|README\.md of )github\.com/\w", row["source"])
    missing = [row for row in installed if row["source"] == NO_SOURCE]
    assert len(missing) == 7 * 2 * (2 + 3 + 3 + 2)
    paper = {"LVS", "EZ-VSL", "SLAVC", "FNAC", "SSL-TIE", "SSL-Align", "RCGrad"}
    assert {row["model"] for row in missing} == paper
    assert paper < set(PUBLISHED_MODELS)
    assert {row["test_set"] for row in missing} == {"VGG-SS", "IS3"}
    assert {row["metric"] for row in missing} < set(DEFINITIONS)
    assert all("ICASSP 2025" in row["note"] for row in missing)


def test_names_are_ours() -> None:
    for group, names in (("model", PUBLISHED_MODELS), ("data", TEST_SETS)):
        assert {f"{name}.yaml" for name in names.values()} <= {
            path.name for path in (CONF / group).iterdir()
        }
    for definition in DEFINITIONS.values():
        assert (CONF / "metrics" / f"{definition.metric}.yaml").is_file()
        assert (CONF / "threshold" / f"{definition.policy}.yaml").is_file()
    for model, policy in OWN_RULES.items():
        assert model in PUBLISHED_MODELS
        assert (CONF / "threshold" / f"{policy}.yaml").is_file()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prior_file: Path) -> Path:
    """A weightless model under a published one's name, with the prior, and one as itself."""
    root = tmp_path_factory.mktemp("runs")
    on = ("model=center", "data=vggss", f"data.root={draw_vggss(root / 'vggss')}")
    rules = "threshold=[half_image,universal_q3,half_range]"
    few = (rules, "metrics=[paper,detection_ap,max_f1]")
    few += ("negatives.noise.draws=1", "negatives.offscreen.draws=1")
    run(root / "ezvsl", *on, "model.name=ezvsl", *few, *guided_by(prior_file))
    run(root / "center", *on, "negatives=none", "threshold=fixed", "metrics=ciou")
    return root


def summary(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / SUMMARY_FILE)


def own(folder: Path, *place: str) -> float:
    """Value of a metric, condition, policy and map variant."""
    keys = ["metric", "condition", "threshold_policy", "map_variant"]
    return float(summary(folder).set_index(keys).sort_index().loc[place, "value"])


def figure(test_set: str, metric: str, value: str, unit: str = "%") -> list[str]:
    return ["EZ-VSL", "AV", "x", test_set, metric, value, unit, "https://a", "B", ""]


def csv_of(folder: Path, figures: list[list[str]]) -> Path:
    path = folder / "figures.csv"
    pd.DataFrame(figures, columns=COLUMNS).to_csv(path, index=False)
    return path


def test_a_run_beside_what_was_published(runs: Path) -> None:
    rows = beside_published(summary(runs / "ezvsl"), read_published())
    readme = rows[rows["source"] != NO_SOURCE]
    assert set(readme["map_variant"]) == {"ogl"}, "EZ-VSL's README has AV+OGL"
    assert set(readme["tier"]) == {"A"}
    figures = {
        name: dict(zip(group["training_set"], group["published"], strict=True))
        for name, group in readme.groupby("metric")
    }
    assert figures == {
        "success_rate": {
            "VGG-Sound 10k": 0.3718, "VGG-Sound 144k": 0.3885, "VGG-Sound Full": 0.3934
        },
        "auc": {"VGG-Sound 10k": 0.3875, "VGG-Sound 144k": 0.3954, "VGG-Sound Full": 0.3978},
    }  # fmt: skip
    for row in readme.to_dict("records"):
        ours = own(runs / "ezvsl", row["metric"], "positive", "half_image", "ogl")
        assert (row["value"], row["difference"]) == (ours, ours - row["published"])
        assert row["margin"] == pytest.approx(0.003 + 0.00005)  # 38.85 is printed to 0.01 %
    missing = rows[rows["source"] == NO_SOURCE]
    assert missing["published"].isna().all()
    assert missing["within"].isna().all()
    of_paper = missing[missing["threshold_policy"] == "universal_q3"]
    assert len(of_paper) == 2 * 10
    cell = of_paper[(of_paper["metric"] == "f_loc") & (of_paper["map_variant"] == "av")].iloc[0]
    assert cell["value"] == own(runs / "ezvsl", "f_loc", "all", "universal_q3", "av")


def test_a_variant_that_was_not_stated_stands_beside_both(runs: Path) -> None:
    rows = beside_published(summary(runs / "ezvsl").assign(model="fnac"), read_published())
    rows = rows[rows["published_metric"] == "cIoU@0.5"]
    assert rows["map_variant"].value_counts().to_dict() == {"av": 4, "ogl": 4}
    assert set(rows["published"]) == {0.3527, 0.3393, 0.3729, 0.3950}


@pytest.mark.parametrize(
    ("dataset", "images", "figures"),
    [
        ("vggss", 4692, {"success_rate": {0.36, 0.38}, "auc": {0.397, 0.4}}),
        ("flickr", 249, {"success_rate": {0.815, 0.851}, "auc": {0.623}}),
    ],
)
def test_sacl_stands_beside_its_own_rule_and_is_judged_on_its_own_images(
    runs: Path, dataset: str, images: int, figures: dict[str, set[float]]
) -> None:
    of_sacl = summary(runs / "ezvsl").assign(model="sacl", dataset=dataset)
    of_sacl = of_sacl[of_sacl["map_variant"] == "av"]
    rows = beside_published(of_sacl, read_published())
    rows = rows[rows["source"] != NO_SOURCE]
    assert set(rows["threshold_policy"]) == {"half_range"}
    assert set(rows["training_set"]) == {
        "vggss": {"VGG-Sound 10k", "VGG-Sound 144k"}, "flickr": {"Flickr 10k", "Flickr 144k"}
    }[dataset]  # fmt: skip
    assert {m: set(group["published"]) for m, group in rows.groupby("metric")} == figures
    for row in rows.to_dict("records"):
        assert row["value"] == own(runs / "ezvsl", row["metric"], "positive", "half_range", "av")
    assert rows["within"].isna().all(), "six images are not those of the figure"
    judged = beside_published(of_sacl.assign(n=images), read_published())
    assert judged.loc[judged["source"] != NO_SOURCE, "within"].notna().all()


def test_definitions_and_sets(runs: Path, tmp_path: Path) -> None:
    """Figures made up here, to see which cells they reach."""
    given = {"AUC": ("auc", "39.5"), "LocAcc": ("success_rate", "50"), "F_LOC": ("f_loc", "12.5"),
             "AP": ("detection_ap", "32.95"), "max-F1": ("max_f1", "40")}  # fmt: skip
    figures = [figure("VGG-SS", name, value) for name, (_, value) in given.items()]
    figures += [figure(name, "AUC", "1") for name in ("Extended VGG-SS", "VGG-SS Heard 110", "IS3")]
    figures.append(figure("VGG-SS", "universal threshold (max)", "1"))
    rows = beside_published(summary(runs / "ezvsl"), read_published(csv_of(tmp_path, figures)))
    found = rows[rows["published"].notna()].set_index("published_metric")
    assert set(found["map_variant"]) == {"av"}
    assert found["metric"].to_dict() == {name: metric for name, (metric, _) in given.items()}
    assert found["published"].to_dict() == {n: float(v) / 100 for n, (_, v) in given.items()}
    assert found.loc["F_LOC", "threshold_policy"] == "universal_q3"
    # what is always shown, where no figure is
    left = rows[rows["published"].isna()]
    shown = set(zip(left["published_metric"], left["map_variant"], strict=True))
    assert shown == {("cIoU@0.5", "av"), ("cIoU@0.5", "ogl"), ("AUC", "ogl")}
    assert set(left["source"]) == {NO_SOURCE}


@pytest.mark.parametrize(
    ("printed", "unit", "ours", "coverage", "within"),
    [
        ("38.85", "%", 0.39155, 1.0, True),  # 0.3 points and half of 0.01
        ("38.85", "%", 0.38543, 1.0, False),
        ("39", "%", 0.3979, 1.0, True),  # printed without decimals: half a point
        ("39", "%", 0.3981, 1.0, False),
        ("0.388", "", 0.3914, 1.0, True),
        ("0.388", "", 0.3916, 1.0, False),
        ("38.85", "%", 0.3885, 0.9, None),  # of other images
        ("38.85", "%", float("nan"), 1.0, None),
    ],
)
def test_a_reproduction_is_judged_by_a_margin_and_not_by_an_interval_over_images(
    runs: Path, tmp_path: Path, printed: str, unit: str, ours: float, coverage: float,
    within: bool | None,
) -> None:  # fmt: skip
    path = csv_of(tmp_path, [figure("VGG-SS", "AUC", printed, unit)])
    known = summary(runs / "ezvsl").assign(coverage=coverage)
    place = (known["metric"] == "auc") & (known["threshold_policy"] == "half_image")
    known.loc[place & (known["condition"] == "positive"), ["value", "ci_low", "ci_high"]] = ours
    found = beside_published(known, read_published(path))
    (row_of,) = found[found["published"].notna()].to_dict("records")
    assert row_of["within"] is within


def test_the_command(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [str(runs / "ezvsl"), "--published", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["vssl-compare", *options])
    main()
    text = " ".join(capsys.readouterr().out.split())
    for fact in (
        "ezvsl on vggss beside published figures", "protocol corrected", "missing",
        "N = 6 samples (coverage 100 %", "stoneMo/EZ-VSL README.md (A)",
        "cIoU@0.5 = success_rate positive half_image ogl AV+OGL VGG-Sound 144k 38.85",
    ):  # fmt: skip
        assert fact in text, fact
    assert set(pd.read_csv(tmp_path / "published.csv")["run"]) == {str(runs / "ezvsl")}
    markdown = (tmp_path / "published.md").read_text()
    assert "| 38.85 | stoneMo/EZ-VSL README.md (A) |" in markdown
    assert "list " in markdown


def test_what_cannot_be_set_beside_figures(runs: Path, tmp_path: Path) -> None:
    twice = pd.concat([summary(runs / "ezvsl")] * 2)
    with pytest.raises(ValueError, match="Expected one number per cell"):
        beside_published(twice, read_published())
    assert beside_published(summary(runs / "center"), read_published()).empty
    with pytest.raises(UsageError, match=r"no published figures for .*center: center on vggss"):
        report_published([runs / "ezvsl", runs / "center"])
    with pytest.raises(UsageError, match=r"summary\.parquet: no such file"):
        report_published([tmp_path])

"""Whole runs with sounds that are no negatives: what counts as what, and what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.helpers.drawn import draw_is3
from tests.helpers.reporting_runs import change_provenance, copy_run
from tests.helpers.running import HEARS, records, run, run_settings, scoring_settings
from vssl.analysis.threshold_curves import threshold_curves
from vssl.analysis.threshold_study import study_thresholds
from vssl.config import build
from vssl.records.conditions import condition_settings, sounding_objects, true_negatives
from vssl.records.files import SUBSETS_FILE, SUMMARY_FILE
from vssl.records.store import read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.collection import collect
from vssl.reporting.figures.curves import success_pia
from vssl.reporting.figures.data import parts_of
from vssl.reporting.page.gallery import choose
from vssl.reporting.tables.paper import build_tables
from vssl.reporting.tables.run import announce
from vssl.runs.evaluate import check_request
from vssl.runs.score import score_run
from vssl.thresholds.base import ThresholdError
from vssl.types import POSITIVE, SoundingObject

QUICK = ("bootstrap.resamples=20", "threshold=standard", "logger=none")
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
NEGATIVES = ["silence", "noise", "offscreen"]
OWN = ["mixed", "reversed", "gain_0", "halved"]
MORE = (
    "negatives=[silence,noise,offscreen,mixed,swapped,reversed,gain]",
    "+negatives.halved._target_=tests.helpers.running.Halved",
    "negatives.mixed.draws=2",
    "negatives.gain.decibels=[0]",
)
KEY = ["metric", "condition", "threshold_policy", "map_variant"]


class Runs:
    """One network on one test set: on the paper's negatives, and on more than these."""

    def __init__(self, folder: Path) -> None:
        self.root = draw_is3(folder / "is3")
        self.data = ("data=is3", f"data.root={self.root}")
        self.paper, self.more = folder / "paper", folder / "more"
        options = (*HEARS, *self.data, *QUICK, *DRAWS, "subsets=[category]")
        run(self.paper, *options)
        run(self.more, *options, *MORE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def summary_of(folder: Path) -> pd.DataFrame:
    return read_summary(folder / SUMMARY_FILE).set_index(KEY).sort_index()


def test_no_number_of_the_paper_s_changes(runs: Runs) -> None:
    """Thresholds, F_LOC over the three, separation: bit for bit, spread and interval included."""
    paper, more = summary_of(runs.paper), summary_of(runs.more)
    same = more.loc[paper.index]
    left = ["config_hash"]
    pd.testing.assert_frame_equal(same.drop(columns=left), paper.drop(columns=left))
    assert {("f_loc", "all", "universal_q3", "av"), ("auroc", "all", "none", "av")} <= set(
        same.index
    )
    fitted = same.loc[same["threshold_source"].str.startswith("fit"), "threshold_source"]
    assert set(fitted) == {"fit on is3 (silence+noise+offscreen)"}
    parts = [pd.read_parquet(f / SUBSETS_FILE).drop(columns=left) for f in (runs.paper, runs.more)]
    keys = ["subset_kind", "subset", *KEY]
    one, two = (part.set_index(keys).sort_index() for part in parts)
    pd.testing.assert_frame_equal(two.loc[one.index], one)


def test_threshold_curves_are_of_positives_and_negatives(runs: Runs) -> None:
    one, two = (threshold_curves(f, "av", points=20, resamples=10) for f in (runs.paper, runs.more))
    assert two.together == one.together
    assert [name for metric, name in two.values if metric == "pia"] == NEGATIVES
    np.testing.assert_array_equal(two.f_loc, one.f_loc)
    np.testing.assert_array_equal(two.thresholds, one.thresholds)


def test_which_numbers_there_are_where_an_object_sounds(runs: Runs) -> None:
    summary = read_summary(runs.more / SUMMARY_FILE)
    found = {
        name: set(rows["metric"])
        for name, rows in summary[~summary["condition"].str.contains("-")].groupby("condition")
    }
    of_positives = found[POSITIVE]
    assert of_positives == {
        "ciou", "success_rate", "auc", "iiou", "iauc", "swap_delta", "pia", "pointing_game",
        "alignment",
    }  # fmt: skip
    for name in OWN:
        assert found[name] == of_positives
    assert found["swapped"] == {"ciou", "pia"}
    assert found["offscreen"] - found["silence"] == {"ciou"}
    assert {"auc_n", "f_loc", "f_auc", "auroc", "ap", "fpr95", "overlap", "separability",
            "detection_ap", "max_f1"} <= found["silence"]  # fmt: skip
    sounding = summary.groupby("condition")["sounding_object"].first()
    expected = {POSITIVE: "own", **dict.fromkeys(OWN, "own"), "swapped": "other", "all": "none"}
    expected |= dict.fromkeys(NEGATIVES, "none")
    assert sounding.dropna().to_dict() == expected
    pairs = summary[summary["condition"].str.contains("-")]
    assert pairs["sounding_object"].isna().all()
    assert len(pairs["condition"].unique()) == 9 * 8 / 2


def test_what_is_not_changed_gives_the_positive_s_numbers(runs: Runs) -> None:
    """A gain of 0 dB is the positive."""
    summary = summary_of(runs.more)
    for metric in ("ciou", "success_rate", "auc", "pia", "iiou", "swap_delta", "pointing_game",
                   "alignment"):  # fmt: skip
        own, gained = (summary.loc[metric, name] for name in (POSITIVE, "gain_0"))
        columns = ["value", "ci_low", "ci_high", "n", "n_undefined"]
        pd.testing.assert_frame_equal(gained[columns], own[columns])
    assert (summary.loc["agreement", "positive-gain_0"]["value"] == 1).all()


def test_the_oracle_is_told_what_sounds(runs: Runs, tmp_path: Path) -> None:
    """Whatever else is in its batch."""
    options = ("model=oracle", *runs.data, *QUICK, *DRAWS, *MORE, "loader.batch_size=5")
    few = ("threshold=[fixed,universal_q3]", "metrics=[ciou,pia,swap_delta]")
    run(tmp_path / "run", *options, *few)
    summary = summary_of(tmp_path / "run")["value"]
    for name in (POSITIVE, *OWN):
        assert summary["ciou", name, "universal_q3", "av"] == 1
    for name in NEGATIVES:
        assert summary["pia", name, "fixed", "av"] == 0
    assert summary["ciou", "swapped", "fixed", "av"] == 0
    assert summary["pia", "swapped", "fixed", "av"] == summary["pia", POSITIVE, "fixed", "av"]
    assert summary["swap_delta", "mixed", "fixed", "av"] == 1
    frame = records(tmp_path / "run")
    own = frame[frame["audio_condition"] == POSITIVE].set_index("sample_id")
    for row in frame[frame["audio_condition"] == "swapped"].itertuples():
        np.testing.assert_array_equal(
            row.similarity_map, own.loc[row.audio_source_id, "similarity_map"]
        )


class TestNoNegatives:
    options = ("model=audio_blind", "negatives=[gain,swapped]", "negatives.gain.decibels=[-20,10]",
               *QUICK[::2])  # fmt: skip

    def test_universal_thresholds_want_negatives(self) -> None:
        words = ("model=audio_blind", "negatives=[gain]", "threshold=universal_q3")
        message = "universal_q3 is learnt from negatives, but there are none"
        with pytest.raises(ThresholdError, match=message):
            check_request(run_settings(*words))

    def test_the_rest_is_there_and_what_lacks_is_said(
        self, runs: Runs, tmp_path: Path, caplog: Any, capsys: Any
    ) -> None:
        with caplog.at_level("INFO"):
            run(tmp_path / "run", *runs.data, *self.options, show=True)
        assert "left out, not possible for this run (negatives: none" in caplog.text
        summary = read_summary(tmp_path / "run" / SUMMARY_FILE)
        assert not set(summary["metric"]) & {"f_loc", "auc_n", "auroc", "ap", "max_f1"}
        assert not summary["threshold_policy"].str.startswith("universal").any()
        assert {"gain_down20", "gain_up10", "swapped", "positive-gain_up10"} <= set(
            summary["condition"]
        )
        shown = capsys.readouterr().out
        assert "does the map withstand altered sound?" in shown
        assert "F_LOC" not in shown
        assert "tell positives from negatives" not in shown

        with pytest.raises(ThresholdError, match="learnt from negatives, but there are none"):
            score_run(scoring_settings("threshold=universal_q3"), tmp_path / "run")
        with pytest.raises(Exception, match="has no negatives, so it has no F_LOC"):
            study_thresholds([tmp_path / "run"], [])

        (group,) = collect([tmp_path / "run"]).groups
        (found,) = group.runs
        assert found.negatives == ()
        assert found.sounding.besides_positive(SoundingObject.OWN) == [
            "gain_down20", "gain_up10",
        ]  # fmt: skip
        assert found.sounding.besides_positive(SoundingObject.OTHER) == ["swapped"]
        first = build_tables(group)[0]
        assert "no negatives, from which a universal threshold is learnt" in first.complete_caption


class TestReports:
    def test_tables_and_arrows(self, runs: Runs, capsys: Any) -> None:
        announce(runs.more)
        shown = capsys.readouterr().out
        for text in ("swapped ↓", "own, swapped ↓", "own, silence ↓", "own, mixed ↑",
                     "own, halved ↑", "swapped x 1, reversed x 1, gain_0 x 1"):  # fmt: skip
            assert text in shown, text
        assert "…" not in shown
        (group,) = collect([runs.more]).groups
        tables = {table.name: table for table in build_tables(group)}
        arrows = {
            (name, c.metric, c.condition): c.higher_is_better
            for name, table in tables.items() for c in table.columns
        }  # fmt: skip
        assert arrows["listening", "ciou", "swapped"] is False
        assert arrows["listening", "agreement", "positive-swapped"] is False
        for name in OWN:
            assert arrows["altered", "ciou", name] is True
            assert arrows["altered", "agreement", f"positive-{name}"] is True
        assert not [key for key in arrows if key[0] == "listening" and "mixed" in key[2]]
        row = next(row for row in tables["altered"].rows if row.label == "loudness")
        places = [column.place for column in tables["altered"].columns]
        cell = row.cells[places.index(("ciou", "mixed", "universal_q3"))]
        assert cell is not None
        expected = summary_of(runs.more).loc["ciou", "mixed", "universal_q3", "av"]
        assert cell.value == expected["value"]
        (plain,) = collect([runs.paper]).groups
        assert "altered" not in {table.name for table in build_tables(plain)}

    def test_curves_and_gallery(self, runs: Runs) -> None:
        (group,) = collect([runs.more]).groups
        (found,) = group.runs
        (part,) = parts_of(group)
        drawing = success_pia(part)
        curves = {line.get_label().split()[0] for line in drawing.canvas.axes[0].lines}
        others = found.sounding.besides_positive(SoundingObject.OTHER)
        assert curves == set(found.conditions) - {*others} >= {POSITIVE, *OWN}
        reasons = " ".join(choose(group, 5, policy="universal_q3")["why"])
        assert "lowest cIoU (universal_q3)" in reasons


class TestEarlierRuns:
    """Runs of schema version 2 say nothing of what sounds."""

    @pytest.fixture
    def earlier(self, runs: Runs, tmp_path: Path) -> Path:
        folder = copy_run(runs.paper, tmp_path / "earlier")
        facts = read_provenance(folder / "records.parquet")
        noise = {"_target_": "vssl.negatives.noise.Noise", "draws": 2, "level": 1.0, "per": "draw",
                 "file": None}  # fmt: skip
        negatives = {**facts["negatives"], "noise": noise}
        change_provenance(folder, schema_version="2", sounding_objects=None, negatives=negatives)
        for name in (SUMMARY_FILE, SUBSETS_FILE):
            table = pq.read_table(folder / name)
            pq.write_table(table.drop_columns(["sounding_object"]), folder / name)
        return folder

    def test_they_can_be_read(self, earlier: Path, runs: Runs) -> None:
        facts = read_provenance(earlier / "records.parquet")
        assert facts["schema_version"] == "2"
        assert true_negatives(facts) == NEGATIVES
        assert sounding_objects(facts)[POSITIVE] == "own"
        pd.testing.assert_frame_equal(summary_of(earlier), summary_of(runs.paper))
        (group,) = collect([earlier]).groups
        assert group.runs[0].negatives == tuple(NEGATIVES)
        announce(earlier, quiet=True)
        settings = [condition_settings(read_provenance(f / "records.parquet"))["noise"]
                    for f in (earlier, runs.paper)]  # fmt: skip
        old, new = ({k: v for k, v in each.items() if v is not None} for each in settings)
        assert old == new

    def test_they_can_be_scored_anew(self, earlier: Path, runs: Runs) -> None:
        found = (
            score_run(scoring_settings(*QUICK[:2]), earlier, keep=True).set_index(KEY).sort_index()
        )
        pd.testing.assert_frame_equal(found, summary_of(runs.paper))


def test_the_released_protocol_prepares_them_as_the_positive() -> None:
    mix = "negatives=[silence,noise,offscreen,mixed,swapped,reversed,gain]"
    for model in ("fnac", "lvs"):
        settings = run_settings(f"model={model}", "protocol=released", mix)
        names = [condition.name for condition in build.build_conditions(settings)]
        assert names[6:] == ["gain_down20", "gain_down10", "gain_up10", "gain_up20"]
        assert list(build.configured_sounding_objects(settings)) == [POSITIVE, *names]
        frontends = build.build_frontends(settings, names)
        assert set(frontends) <= {POSITIVE, *NEGATIVES}
        positive = build.frontend_recipe(settings, POSITIVE)
        for name in names[3:]:
            assert build.frontend_recipe(settings, name) == positive
        rules = build.upsampling_rules(settings, names)
        assert {rules[name] for name in names} <= {"opencv", "half_pixel"}
        assert len({rules[name] for name in names}) == 1


def test_folders_are_named_by_the_mix_and_never_shared() -> None:
    mixes = {"[silence,noise,mixed]": "silence+noise+mixed", "altered": "mixed+reversed+gain"}
    for mix, name in mixes.items():
        assert run_settings("model=center", f"negatives={mix}").negatives.name == name
    changes = ((), ("negatives.mixed.over=clip",), ("negatives.gain.decibels=[3]",))
    hashes = {run_settings("negatives=altered", *change).identity_hash for change in changes}
    assert len(hashes) == 3

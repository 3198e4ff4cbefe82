"""vssl-audit: every departure against runs and summaries of its own."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from omegaconf import OmegaConf

from tests.helpers.drawn import draw_is3, write_tone
from tests.helpers.running import LEAN, Tilted, command, composed, guided_by, run, small
from tests.reference import formulas
from vssl.analysis.protocol_audit import CORRECTED, HEADLINE, TOGETHER
from vssl.config.build import policies_named
from vssl.config.settings import ProtocolSettings
from vssl.core.errors import UsageError
from vssl.metrics.auc import AUC
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import MANIFEST_FILE, RECORDS_FILE, RUN_FILE, SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.score import score_records
from vssl.records.scores import Samples
from vssl.runs.audit import audit, saved_config, what_changes
from vssl.types import POSITIVE

Array = npt.NDArray[Any]
Numbers = Mapping[tuple[str, str, str, str], float]  # by variant, policy, metric, condition

NETWORK = ("antialias", "log_missing", "made_audio", "offscreen_window")
LOCALIZATION = ("upsampling", "object_map")
NOTHING = ("positive_window", "standardization")  # of FNAC and RCGrad
POLICIES = ["universal_max", "released_q3"]
POOLED = ["half_image", "fixed", "released_max", "released_max10", "released_q3"]
METRICS = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc")
RESAMPLES = 40
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
LABELS = ["map_variant", "threshold_policy", "metric", "condition"]


def draw_short_clips(root: Path) -> Path:
    """`draw_is3`, but clips shorter than 1.5 s, than the 3 s and 10 s of windows, and longer."""
    entries = json.loads((draw_is3(root) / "IS3_annotation.json").read_text())
    for number, seconds in enumerate((0.7, 1.9, 2.6, 1.2, 11.0, 3.3)):
        path = root / "audio_wav" / entries[number]["audio"]
        write_tone(path, hertz=300.0 * (1 + number // 2 + 3 * (number % 2)), seconds=seconds)
    return root


def under(name: str, data: Path) -> tuple[str, ...]:
    """The small model under a name, on drawn data, scored with what an audit looks at."""
    return (
        *small(Tilted, name),
        "data=is3", f"data.root={data}", *DRAWS, "subsets=[]",
        "threshold=[fixed,half_image,released,universal_max]", "metrics=paper",
        f"bootstrap.resamples={RESAMPLES}",
    )  # fmt: skip


def numbers(summary: pd.DataFrame, column: str = "value") -> dict[tuple[str, str, str, str], float]:
    """A column of a summary by label, and its half-image numbers as the headline too."""
    rows = summary[summary["metric"].isin(METRICS)].set_index(LABELS)[column].astype(float)
    found = rows.to_dict()
    for (variant, policy, metric, condition), value in rows.items():  # type: ignore[misc]
        if policy == "half_image" and metric in ("success_rate", "auc"):
            found[variant, HEADLINE, metric, condition] = value
    return {key: value for key, value in found.items() if key[1] in (*POLICIES, HEADLINE)}


def pooled(folder: Path) -> dict[tuple[str, str, str, str], float]:
    """Success rate and AUC over five thresholds in one list, from a scores file."""
    scores = pd.read_parquet(folder / SCORES_FILE)
    rows = scores[scores["audio_condition"] == POSITIVE]
    found = {}
    for variant, group in rows.groupby("map_variant", observed=True):
        if set(POOLED) <= set(group["threshold_policy"]):
            ciou = group[group["threshold_policy"].isin(POOLED)]["ciou"].to_numpy()
            assert not np.isnan(ciou).any()
            key = (str(variant), HEADLINE)
            found[*key, "success_rate", POSITIVE] = formulas.success_rate(ciou)
            found[*key, "auc", POSITIVE] = formulas.auc(ciou)
    return found


@dataclass
class Audits:
    """Runs under both protocols and with single switches, and an audit of the first two."""

    data: Path
    runs: dict[str, Path]
    output: Path
    table: pd.DataFrame
    printed: str
    before: dict[Path, int]

    def given(self, *names: str) -> list[Path]:
        return [self.runs[name] for name in names]

    def departure(self, name: str) -> pd.DataFrame:
        rows = self.table[self.table["departure"] == name]
        return rows.set_index(LABELS).sort_index()

    def summary(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.runs[name] / SUMMARY_FILE)

    def expected(self, departure: str) -> Numbers:
        """A departure's numbers, from the run that was evaluated directly."""
        name = {"pooled_ciou": "corrected", TOGETHER: "released"}.get(departure, departure)
        found = numbers(self.summary(name))
        if departure in ("pooled_ciou", TOGETHER):
            found = {key: value for key, value in found.items() if key[1] != HEADLINE}
            found |= pooled(self.runs[name])
        return found


def silently(folders: Sequence[Path], output: Path, **options: Any) -> tuple[pd.DataFrame, str]:
    """An audit's table, and the text that it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        table = audit(folders, output, **{"policies": POLICIES, "resamples": RESAMPLES} | options)
    return table, text.getvalue()


def written(*folders: Path) -> dict[Path, int]:
    """When the files of some folders were written."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def audited(prior_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Audits:
    root = tmp_path_factory.mktemp("audited")
    data = draw_short_clips(root / "data")
    runs = {}
    switches = {name: f"protocol=switch/{name}" for name in NETWORK}
    switches |= {name: f"protocol.{name}=released" for name in LOCALIZATION}
    protocols = {"corrected": "protocol=corrected", "released": "protocol=released"}
    for name, override in (protocols | switches).items():
        runs[name] = root / name
        # the two are evaluated with relative paths, which mean nothing where they are audited
        given, weights = (data, prior_file)
        if name in protocols:
            given, weights = (Path(os.path.relpath(path, root)) for path in (data, prior_file))
        with contextlib.chdir(root):
            run(runs[name], *under("ezvsl", given), *guided_by(weights), override)
    before = written(*runs.values())
    output = root / "audit"
    # the order of runs does not matter
    table, printed = silently([runs["released"], runs["corrected"]], output)
    return Audits(data, runs, output, table, printed, before)


DEPARTURES = (CORRECTED, *NETWORK, *LOCALIZATION, "pooled_ciou", TOGETHER)


class TestNumbers:
    def test_given_runs_stay_and_a_second_audit_evaluates_nothing(self, audited: Audits) -> None:
        files = [audited.output / "ezvsl" / "is3" / name / RECORDS_FILE for name in NETWORK]
        before = [path.stat().st_mtime_ns for path in files]
        table, _ = silently(audited.given("corrected", "released"), audited.output)
        assert [path.stat().st_mtime_ns for path in files] == before
        pd.testing.assert_frame_equal(table, audited.table)
        assert written(*audited.runs.values()) == audited.before
        facts = json.loads((audited.runs["corrected"] / RUN_FILE).read_text())
        facts["config"]["force"] = True
        assert saved_config(facts).force is False, "nor where the given runs were forced"

    @pytest.mark.parametrize("departure", DEPARTURES)
    def test_differences_are_those_of_two_summaries(self, audited: Audits, departure: str) -> None:
        rows = audited.departure(departure)
        before, after = audited.expected(CORRECTED), audited.expected(departure)
        # constants have no meaning on corrected object-guided maps, so there is no difference
        both = {key for key in after if key in before}
        assert set(rows.index) == both
        assert {"av", "ogl"} == {key[0] for key in both}
        for key, row in rows.iterrows():
            assert row["corrected"] == pytest.approx(before[key], abs=1e-12), key
            assert row["value"] == pytest.approx(after[key], abs=1e-12), key
            assert row["difference"] == pytest.approx(after[key] - before[key], abs=1e-12), key
        summary = audited.summary({TOGETHER: "released", "pooled_ciou": "corrected"}.get(
            departure, departure
        ))  # fmt: skip
        thresholds, counts = (numbers(summary, column) for column in ("threshold", "n"))
        learnt = rows[rows.index.get_level_values("threshold_policy") != HEADLINE]
        assert learnt["threshold"].to_dict() == {key: thresholds[key] for key in learnt.index}
        assert learnt["n"].to_dict() == {key: counts[key] for key in learnt.index}
        assert rows.drop(learnt.index)["threshold"].isna().all()

    def test_every_departure_changes_a_number_in_the_order_of_the_runs(
        self, audited: Audits
    ) -> None:
        by_departure = audited.table.groupby("departure", sort=False)
        largest = by_departure["difference"].agg(lambda d: d.abs().max())
        assert tuple(largest.index) == DEPARTURES
        assert largest[CORRECTED] == 0
        assert (largest.drop(CORRECTED) > 1e-3).all()
        kinds = "given", *["network"] * 4, *["localization"] * 2, "scores", "given"
        assert tuple(by_departure["kind"].first()) == kinds

    def test_intervals_are_of_the_difference_on_the_same_images(self, audited: Audits) -> None:
        departure = "offscreen_window"
        samples = Samples.of(audited.runs["corrected"])
        bootstrap = ImageBootstrap(samples.image_groups, resamples=RESAMPLES, seed=0)
        weights = bootstrap.weights[:, bootstrap.image]

        def resampled(run: str, condition: str, column: str) -> Array:
            scores = pd.read_parquet(audited.runs[run] / SCORES_FILE)
            chosen = scores[
                (scores["map_variant"] == "av")
                & (scores["threshold_policy"] == "universal_max")
                & (scores["audio_condition"] == condition)
            ].astype({"sample_id": str})
            values = chosen.pivot(index="sample_id", columns="draw", values=column)
            values = values.loc[samples.ids].to_numpy()
            return (weights @ values / weights.sum(axis=1, keepdims=True)).mean(axis=1)

        for condition, column in ((POSITIVE, "ciou"), ("noise", "pia"), ("offscreen", "pia")):
            difference = resampled(departure, condition, column)
            difference -= resampled("corrected", condition, column)
            key = ("av", "universal_max", column, condition)
            found = audited.departure(departure).loc[key, ["ci_low", "ci_high"]]
            expected = np.quantile(difference, [0.025, 0.975])
            np.testing.assert_allclose(found.astype(float), expected, rtol=0, atol=1e-12)


CHANGES_NOTHING = "changes nothing for this model, test set and prior"
NOT_POOLED = {
    "pooled_ciou of object-guided maps": (
        "the released constants mean nothing on maps that were rescaled"
    )
}


def reasons(text: str) -> list[dict[str, str]]:
    """For each model and test set, in the notes below its tables: switch -> why it has no row."""
    found = []
    for line in text.splitlines():
        if line.startswith("N = "):
            behind = line.split("resamples)", 1)[1].strip("; ")
            parts = [part.split(": ") for part in behind.split("; ") if part]
            found.append({name: why for names, why in parts for name in names.split(", ")})
    return found


class TestTables:
    def test_files_hold_the_table(self, audited: Audits) -> None:
        parquet = pd.read_parquet(audited.output / "audit.parquet")
        pd.testing.assert_frame_equal(parquet, audited.table)
        read = pd.read_csv(audited.output / "audit.csv")
        pd.testing.assert_frame_equal(read, audited.table, check_exact=False)

    def test_numbers_are_in_points_with_their_intervals(self, audited: Audits) -> None:
        markdown = (audited.output / "audit.md").read_text()
        part = markdown.split("**ezvsl on is3, threshold universal_max")[1].split("**ezvsl")[0]
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()]
        cells = {line[0]: line[1:] for line in lines if len(line) == 10}
        assert set(DEPARTURES) <= set(cells)
        for departure in DEPARTURES:
            rows = audited.departure(departure).loc[("av", "universal_max")]
            for key, place in {("f_loc", "all"): 0, ("ciou", POSITIVE): 2}.items():
                row = rows.loc[key]
                shown = [float(n) for n in re.split(r" \[| to |\]", cells[departure][place]) if n]
                names = ["value"] if departure == CORRECTED else ["difference", "ci_low", "ci_high"]
                assert shown == [round(100 * row[name], 1) for name in names[: len(shown)]]
                if len(shown) < len(names):
                    assert (row[names] == 0).all()

    def test_every_variant_and_policy_has_a_table_and_every_switch_a_row_or_a_reason(
        self, audited: Audits
    ) -> None:
        assert set(SWITCHES) == {*NETWORK, *LOCALIZATION, "pooled_ciou", *NOTHING}
        learnt = audited.table.query("map_variant == 'av' and threshold_policy == 'universal_max'")
        low, high = learnt["threshold"].min(), learnt["threshold"].max()
        for text in (audited.printed, (audited.output / "audit.md").read_text()):
            assert reasons(text) == [dict.fromkeys(NOTHING, CHANGES_NOTHING) | NOT_POOLED]
            for title in (
                f"ezvsl on is3, threshold universal_max ({low:.4f} to {high:.4f}, learnt",
                "ezvsl on is3, threshold released_q3 (0.6382)",
                "ezvsl on is3, object-guided maps, threshold universal_max (",
                "ezvsl on is3, headline CIoU (share of cIoU >= 0.5) and AUC",
            ):
                assert title in text
            assert "object-guided maps, threshold released_q3" not in text
            assert "N = 6 samples; differences from the corrected protocol in points, " in text
            assert f"({RESAMPLES} resamples)" in text


class TestChoices:
    @pytest.mark.parametrize("single", [(), ("antialias", "offscreen_window", "upsampling")])
    def test_without_evaluation(
        self, audited: Audits, tmp_path: Path, single: tuple[str, ...]
    ) -> None:
        """Given runs with one switch are taken, and nothing is evaluated or derived for them."""
        folders = audited.given(*single, "released", "corrected")
        table, printed = silently(folders, tmp_path / "audit", evaluate=False)
        missing = [name for name in NETWORK if name not in single]
        kept = ~audited.table["departure"].isin(missing)
        pd.testing.assert_frame_equal(table, audited.table[kept].reset_index(drop=True))
        assert reasons(printed) == [
            dict.fromkeys(missing, "needs the network again (--no-evaluate)")
            | dict.fromkeys(NOTHING, CHANGES_NOTHING)
            | NOT_POOLED
        ]
        made = {path.name for path in (tmp_path / "audit" / "ezvsl" / "is3").iterdir()}
        assert made == {*LOCALIZATION, "scores"} - set(single)

    def test_the_command_with_other_policies(self, audited: Audits, tmp_path: Path) -> None:
        """Also those under which every map has its own threshold."""
        folders = [str(path) for path in audited.given("corrected", "released")]
        options = ["--no-evaluate", "--threshold", "fixed", "--threshold", "half_image"]
        done = command("vssl-audit", *folders, *options, "--resamples", "7", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        text = " ".join(done.stdout.split())
        assert "threshold fixed (0.5000)" in text
        assert "threshold half_image" in text
        assert "(7 resamples)" in text
        assert "nan" not in text
        table = pd.read_parquet(tmp_path / "audit" / "audit.parquet")
        assert set(table["threshold_policy"]) == {"half_image", "fixed", HEADLINE}
        half = table[table["threshold_policy"] == "half_image"]
        assert not set(half["metric"]) & {"f_loc", "f_auc"}
        summary = audited.summary("corrected").set_index(LABELS)["value"]
        before = half[half["departure"] == CORRECTED].set_index(LABELS)["value"]
        assert before.to_dict() == summary[before.index].to_dict()


class TestModels:
    def test_several_in_one_audit(self, audited: Audits, tmp_path: Path) -> None:
        """One has no released constants: nothing is pooled, and its headline stays at half."""
        own = {name: tmp_path / name for name in ("corrected", "released")}
        for protocol, folder in own.items():
            run(folder, *under("tonal", audited.data), f"protocol={protocol}")
        output = tmp_path / "audit"
        folders = [*own.values(), *audited.given("corrected", "released")]
        table, printed = silently(folders, output, evaluate=False)
        assert list(dict.fromkeys(table["model"])) == ["tonal", "ezvsl"]
        (tonal, ezvsl) = (
            table[table["model"] == name].reset_index(drop=True) for name in ("tonal", "ezvsl")
        )
        kept = ~audited.table["departure"].isin(NETWORK)
        pd.testing.assert_frame_equal(ezvsl, audited.table[kept].reset_index(drop=True))
        assert set(tonal["map_variant"]) == {"av"}
        assert set(tonal["threshold_policy"]) == {"universal_max", HEADLINE}
        unchanged = {
            switch for switch, why in reasons(printed)[0].items() if why == CHANGES_NOTHING
        }
        assert unchanged == {*NOTHING, "object_map", "pooled_ciou"}
        rows = tonal[(tonal["threshold_policy"] == HEADLINE) & (tonal["metric"] == "auc")]
        values = rows.set_index("departure")["value"]
        for protocol, departure in (("corrected", CORRECTED), ("released", TOGETHER)):
            summary = pd.read_parquet(own[protocol] / SUMMARY_FILE).set_index(LABELS)["value"]
            assert values[departure] == summary["av", "half_image", "auc", POSITIVE]

    def test_the_threshold_rule_of_a_model_s_authors_is_a_departure(
        self, audited: Audits, tmp_path: Path
    ) -> None:
        """Its headline is at that rule, chosen on each run itself; a run's identity has no rule."""
        own = {name: tmp_path / name for name in ("corrected", "released")}
        rule, hashes = "++model.released.threshold=best_of_19", []
        for protocol, folder in own.items():
            run(folder, *under("tonal", audited.data), f"protocol={protocol}", rule)
            hashes.append(json.loads((folder / RUN_FILE).read_text())["identity"]["model"])
        assert all("threshold" not in model.get("released", {}) for model in hashes)
        table, printed = silently([*own.values()], tmp_path / "audit", evaluate=False)
        rows = table[(table["threshold_policy"] == HEADLINE) & (table["metric"] == "auc")]
        values = rows.set_index("departure")["value"]
        summary = pd.read_parquet(own["released"] / SUMMARY_FILE).set_index(LABELS)
        place = ("av", "best_of_19", "auc", POSITIVE)
        assert values[TOGETHER] == summary.loc[place, "value"]
        assert summary.loc[place, "threshold_source"] == "chosen on the test set"
        corrected = pd.read_parquet(own["corrected"] / SUMMARY_FILE).set_index(LABELS)["value"]
        assert values[CORRECTED] == corrected["av", "half_image", "auc", POSITIVE]
        assert "best_of_19" not in corrected.index.get_level_values("threshold_policy")
        fitted = fit_policies(policies_named(["best_of_19"]), own["corrected"])
        scores = tmp_path / SCORES_FILE
        score_records(own["corrected"], fitted, [AUC()], output=scores)
        column = pd.read_parquet(scores).query("audio_condition == 'positive'")
        column = column[column["threshold_policy"] == "best_of_19"]["ciou"].to_numpy()
        assert values["threshold best_of_19"] == pytest.approx(formulas.auc(column), abs=1e-12)
        assert "at best_of_19 under threshold best_of_19 and all together" in printed

    @pytest.mark.parametrize(
        ("models", "expected"),
        [
            ("ezvsl slavc", "antialias log_missing made_audio offscreen_window"),
            ("fnac", "antialias log_missing made_audio offscreen_window positive_window"),
            ("lvs sslalign", "antialias made_audio"),
            ("ssltie", "antialias log_missing made_audio"),
            # its images are Pillow's in either case, and its clips go in whole
            ("rcgrad rcgrad_raw", "standardization"),
        ],
    )
    def test_what_a_switch_changes_for_each_model(self, models: str, expected: str) -> None:
        """As the table in docs/protocols.md has it."""
        kinds = {"network": set(expected.split()), "localization": {"upsampling"}}
        kinds["scores"] = set() if "rcgrad" in models else {"pooled_ciou"}
        for model, data in itertools.product(models.split(), ("vggss", "is3")):
            config = composed(f"model={model}", "model.weights=null", *LEAN)
            config.data = composed(f"data={data}", *LEAN).data
            found = what_changes(config, SWITCHES)
            for kind, switches in kinds.items():
                assert {name for name, (what, _) in found.items() if what == kind} == switches

    def test_an_object_prior_adds_what_object_maps_depend_on(self, prior_file: Path) -> None:
        """Its images are shrunk as the protocol says, even where the model's are not.

        Object maps are the prior's before they are mixed, so they need its network again.
        """
        for model in ("ezvsl", "rcgrad"):
            guided = ("model.weights=null", *LEAN, *guided_by(prior_file))
            config = composed(f"model={model}", *guided)
            found = what_changes(config, {"object_map": "released", "antialias": False})
            assert [kind for kind, _ in found.values()] == ["localization", "network"], model


def switches_of(protocol: str) -> Mapping[str, Any]:
    """The switches of a protocol."""
    group: Any = OmegaConf.to_container(composed(f"protocol={protocol}", name="models").protocol)
    return ProtocolSettings.of(group).switches


SWITCHES = switches_of("released")


class TestRefusals:
    @pytest.mark.parametrize(
        ("key", "value", "reason"),
        [
            ("config.seed", 1, "seed"),
            ("config.negatives.noise.level", 0.1, "negatives"),
            ("config.prior.alpha", 0.9, "prior"),
            ("config.model.image.mean", [0.4, 0.4, 0.4], "model"),
            ("config.model.frontend.floor", 1e-3, "model"),
            ("provenance.manifest_hash", "0" * 64, "samples"),
            ("provenance.weights", {"sha256": "0" * 64}, "weights"),
            ("identity.files_sha256", {}, "files_sha256"),
            ("", None, "negatives"),
        ],
    )
    def test_runs_that_differ_in_more_than_their_protocol(
        self, audited: Audits, tmp_path: Path, key: str, value: Any, reason: str
    ) -> None:
        other = shutil.copytree(audited.runs["released"], tmp_path / "other")
        if key:
            facts = OmegaConf.create(json.loads((other / RUN_FILE).read_text()))
            OmegaConf.update(facts, key, value, merge=False)
            (other / RUN_FILE).write_text(json.dumps(OmegaConf.to_container(facts)))
        else:
            with (other / MANIFEST_FILE).open("a") as file:
                file.write("another,noise,0,,1\n")
        message = rf"other: differs from .*corrected in {reason}; an audit compares runs that"
        with pytest.raises(UsageError, match=message):
            audit([audited.runs["corrected"], other], tmp_path / "audit", policies=POLICIES)
        assert not (tmp_path / "audit").exists()

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["corrected"], "one run of ezvsl on is3 under protocol=released, but got 0"),
            (["released", "antialias"], "under protocol=corrected, but got 0"),
            (["corrected", "released", "released"], "under protocol=released, but got 2"),
        ],
    )
    def test_a_counterpart_is_missing(
        self, audited: Audits, tmp_path: Path, names: list[str], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            audit(audited.given(*names), tmp_path / "audit", policies=POLICIES)

    def test_files_in_another_place_are_the_same_files(
        self, audited: Audits, prior_file: Path, tmp_path: Path
    ) -> None:
        """Runs of two machines; and what the second ran on need not be there any more."""
        data, weights = tmp_path / "data", tmp_path / prior_file.name
        shutil.copytree(audited.data, data)
        shutil.copy(prior_file, weights)
        run(tmp_path / "run", *under("ezvsl", data), *guided_by(weights), "protocol=released")
        weights.unlink()
        folders = [*audited.given("corrected"), tmp_path / "run"]
        table, _ = silently(folders, tmp_path / "audit", evaluate=False)
        together = table[table["departure"] == TOGETHER].reset_index(drop=True)
        expected = audited.departure(TOGETHER).reset_index()[table.columns]
        pd.testing.assert_frame_equal(
            together.sort_values(LABELS, ignore_index=True), expected, check_like=True
        )


def test_relative_paths_are_those_of_where_a_run_was_made() -> None:
    files = ("data.ids", "data.flags", "negatives.noise.file", "negatives.offscreen.exclude")
    config = composed("data=vggss", *(f"{key}=file" for key in files), *LEAN)
    facts = {"config": OmegaConf.to_container(config), "identity": {"data": {}}}
    saved = saved_config({**facts, "working_directory": "/there"})
    assert {OmegaConf.select(saved, key) for key in files} == {"/there/file"}


def test_the_experiment_s_sweep_is_over_the_switches() -> None:
    path = Path(__file__).resolve().parents[2] / "conf" / "experiment" / "protocol_audit.yaml"
    swept = str(OmegaConf.load(path).hydra.sweeper.params.protocol).split(",")
    corrected = switches_of("corrected")
    assert swept[:2] == ["corrected", "released"]
    for choice in swept[2:]:
        switch = choice.removeprefix("switch/")
        found = switches_of(choice)
        assert found == {**corrected, switch: SWITCHES[switch]}

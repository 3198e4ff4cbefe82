"""vssl-audit: every departure against runs and summaries of its own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from tests.conftest import write_picture, write_tone
from tests.reference import formulas, study
from tests.running import HEARS, KEY, composed, maps, records, run
from tests.test_localization import guided_by
from vssl.commands.audit import audit, main
from vssl.commands.departures import DESCRIPTIONS, saved_config, what_changes
from vssl.errors import UsageError
from vssl.models.base import LocalizationModel
from vssl.records.audit import CORRECTED, HEADLINE, TOGETHER
from vssl.records.files import RECORDS_FILE, RUN_FILE, SCORES_FILE, SUMMARY_FILE
from vssl.records.released import released_metrics
from vssl.records.scores import Samples
from vssl.records.uncertainty import ImageBootstrap
from vssl.types import POSITIVE

Array = npt.NDArray[Any]
Numbers = Mapping[tuple[str, str, str, str], float]  # by variant, policy, metric, condition

CONDITIONS = ("positive", "silence", "noise", "offscreen")
NETWORK = {
    # switch -> the released value, and the sounds whose maps it changes
    "antialias": ("false", set(CONDITIONS)),
    "log_missing": ("released", {"silence", "noise"}),
    "made_audio": ("released", {"noise"}),  # silence is silence at any length
    "offscreen_window": ("released", {"offscreen"}),
}
LOCALIZATION = ("upsampling", "object_map")
NOTHING = ("positive_window", "standardization")  # of FNAC and RCGrad
POLICIES = ["universal_max", "released_q3"]
POOLED = ["half_image", "fixed", "released_max", "released_max10", "released_q3"]
METRICS = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc")
RESAMPLES = 40
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
LABELS = ["map_variant", "threshold_policy", "metric", "condition"]


class Tonal(LocalizationModel):
    """A small model that hears: tones light up the image, low ones on the left, high ones right."""

    map_size = (7, 7)
    value_range = (0.0, 1.0)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return (2 * torch.nn.functional.avg_pool2d(images.mean(1), 4)).sigmoid()

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        spectrogram = inputs[:, 0]
        mean, peak = spectrogram.mean((1, 2)), spectrogram.amax((1, 2))
        tonal = (6 * (peak - mean - 0.1) + 0.5 * (mean + 1.343)).sigmoid()
        high = (spectrogram.mean(2).argmax(1) - 33).float().div(4).sigmoid()
        across = torch.linspace(0, 1, 7)
        sides = high[:, None] * across + (1 - high[:, None]) * (1 - across)
        return (tonal[:, None] * (0.3 + 0.7 * sides))[:, None, :]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return image_features[:, None] * audio_features


def draw_short_clips(root: Path) -> Path:
    """Three pictures of two classes each, like `is3_folder`, but sounds of other lengths.

    Shorter than 1.5 s, than the 3 s and the 10 s of windows, and longer.
    """
    (root / "images").mkdir(parents=True)
    (root / "audio_wav").mkdir()
    entries = []
    seconds = iter((0.7, 1.9, 2.6, 1.2, 11.0, 3.3))
    for number, pair in enumerate((("dog", "bell"), ("bell", "train"), ("train", "dog"))):
        for side, sounding in enumerate(pair):
            box = (4 + 112 * side, 10 + 25 * number, 104 + 112 * side, 214 - 15 * number)
            name = f"{pair[0]}_{pair[1]}_{number}_{sounding}"
            write_picture(root / "images" / f"{name}.jpg", box, seed=number)
            wav = root / "audio_wav" / f"{name}.wav"
            write_tone(wav, hertz=300.0 * (1 + number + 3 * side), seconds=next(seconds))
            entries.append({"image": f"{name}.jpg", "audio": wav.name, "gt_box": list(box)})
    (root / "IS3_annotation.json").write_text(json.dumps(entries))
    return root


def under(name: str, data: Path) -> tuple[str, ...]:
    """The small model under a name, on drawn data, scored with what an audit looks at."""
    return (
        *HEARS, f"model.name={name}", f"model._target_={__name__}.Tonal", "model.image.size=28",
        "data=is3", f"data.root={data}", *DRAWS, "subsets=[]",
        "threshold=[fixed,half_image,released,universal_max]", "metrics=paper",
        f"bootstrap.resamples={RESAMPLES}",
    )  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    """What is in every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
    before: dict[str, dict[str, str]]

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
    """An audit's table, and what it printed."""
    given = {"policies": POLICIES, "resamples": RESAMPLES, **options}
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        table = audit(folders, output, **given)
    return table, text.getvalue()


@pytest.fixture(scope="module")
def audited(prior_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Audits:
    root = tmp_path_factory.mktemp("audited")
    data = draw_short_clips(root / "data")
    runs = {}
    switches = {name: f"protocol.{name}={value}" for name, (value, _) in NETWORK.items()}
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
    before = {name: hashes(folder) for name, folder in runs.items()}
    output = root / "audit"
    # the order of runs does not matter
    table, printed = silently([runs["released"], runs["corrected"]], output)
    return Audits(data, runs, output, table, printed, before)


DEPARTURES = (CORRECTED, *NETWORK, *LOCALIZATION, "pooled_ciou", TOGETHER)


class TestRunsBehindTheDepartures:
    @pytest.mark.parametrize("switch", NETWORK)
    def test_similarity_maps_are_those_of_a_direct_run(self, audited: Audits, switch: str) -> None:
        found = records(audited.output / "ezvsl" / "is3" / switch)
        pd.testing.assert_frame_equal(found, records(audited.runs[switch]))

    @pytest.mark.parametrize("switch", NETWORK)
    def test_a_switch_changes_what_it_is_about(self, audited: Audits, switch: str) -> None:
        """So that an equality above is not one of runs in which nothing happened."""
        found = records(audited.output / "ezvsl" / "is3" / switch)
        before = records(audited.runs["corrected"])
        differs = (maps(found) != maps(before)).any(axis=1)
        _, expected = NETWORK[switch]
        assert set(found["audio_condition"][differs]) == expected

    @pytest.mark.parametrize("switch", LOCALIZATION)
    def test_scores_are_those_of_a_direct_run(self, audited: Audits, switch: str) -> None:
        derived = audited.output / "ezvsl" / "is3"
        found, direct, corrected = (
            comparable(folder / SCORES_FILE)
            for folder in (
                derived / "scores" / switch, audited.runs[switch], audited.runs["corrected"]
            )
        )  # fmt: skip
        asked = set(found.index.get_level_values("threshold_policy"))
        assert asked == {*POLICIES, *POOLED}
        pd.testing.assert_frame_equal(found, direct[lambda rows: rows.index.isin(asked, level=1)])
        changed = found.ne(corrected.reindex(found.index)).any(axis=1)
        variants = set(found.index.get_level_values("map_variant")[changed])
        assert variants == ({"av", "ogl"} if switch == "upsampling" else {"ogl"})
        # the maps before localization are the corrected run's
        pd.testing.assert_frame_equal(records(derived / switch), records(audited.runs["corrected"]))

    def test_the_runs_that_were_given_are_left_as_they_were(self, audited: Audits) -> None:
        assert {name: hashes(folder) for name, folder in audited.runs.items()} == audited.before

    def test_a_second_audit_evaluates_nothing_again(self, audited: Audits) -> None:
        files = [audited.output / "ezvsl" / "is3" / name / RECORDS_FILE for name in NETWORK]
        before = [path.stat().st_mtime_ns for path in files]
        table, _ = silently(audited.given("corrected", "released"), audited.output)
        assert [path.stat().st_mtime_ns for path in files] == before
        pd.testing.assert_frame_equal(table, audited.table)

    def test_nor_where_the_given_runs_were_forced(self, audited: Audits) -> None:
        facts = json.loads((audited.runs["corrected"] / RUN_FILE).read_text())
        facts["config"]["force"] = True
        assert saved_config(facts).force is False


def comparable(scores: Path) -> pd.DataFrame:
    """cIoU, pIA and threshold of every row under a policy, in an order of their own."""
    frame = pd.read_parquet(scores).query("threshold_policy != 'none'")
    labels = ["map_variant", "threshold_policy", *KEY]
    frame = frame.astype(dict.fromkeys(labels[:-1], str))
    return frame.set_index(labels)[["threshold", "ciou", "pia"]].sort_index()


class TestNumbers:
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

    def test_every_departure_changes_a_number(self, audited: Audits) -> None:
        """But for the corrected run itself."""
        largest = audited.table.groupby("departure")["difference"].agg(lambda d: d.abs().max())
        assert set(largest.index) == set(DEPARTURES)
        assert largest[CORRECTED] == 0
        assert (largest.drop(CORRECTED) > 1e-3).all()

    def test_rows_are_in_the_order_of_the_runs(self, audited: Audits) -> None:
        assert list(dict.fromkeys(audited.table["departure"])) == list(DEPARTURES)
        kinds = dict(zip(audited.table["departure"], audited.table["kind"], strict=True))
        assert kinds == {
            CORRECTED: "given",
            **dict.fromkeys(NETWORK, "network"),
            **dict.fromkeys(LOCALIZATION, "localization"),
            "pooled_ciou": "scores",
            TOGETHER: "given",
        }

    @pytest.mark.parametrize("departure", [*NETWORK, *LOCALIZATION, TOGETHER])
    def test_thresholds_and_counts(self, audited: Audits, departure: str) -> None:
        rows = audited.departure(departure)
        summary = audited.summary("released" if departure == TOGETHER else departure)
        thresholds, counts = (numbers(summary, column) for column in ("threshold", "n"))
        for key, row in rows.iterrows():
            if key[1] == HEADLINE:
                assert np.isnan(row["threshold"])
            else:
                assert row["threshold"] == thresholds[key]
                assert row["n"] == counts[key]

    @pytest.mark.parametrize("departure", ["antialias", "offscreen_window", TOGETHER])
    def test_intervals_are_of_the_difference_on_the_same_images(
        self, audited: Audits, departure: str
    ) -> None:
        rows = audited.departure(departure)
        name = "released" if departure == TOGETHER else departure
        samples = Samples.of(audited.runs["corrected"])
        bootstrap = ImageBootstrap(samples.image_groups, resamples=RESAMPLES, seed=0)
        weights = bootstrap.weights[:, bootstrap.image]

        def resampled(folder: Path, condition: str, column: str) -> Array:
            scores = comparable(folder / SCORES_FILE).loc[("av", "universal_max")]
            chosen = scores.xs(condition, level="audio_condition")[column].unstack("draw")
            values = chosen.loc[samples.ids].to_numpy()
            return np.array([study.resampled_mean(values, row) for row in weights])

        for condition, column in ((POSITIVE, "ciou"), ("noise", "pia"), ("offscreen", "pia")):
            one, two = (
                resampled(audited.runs[each], condition, column) for each in ("corrected", name)
            )
            row = rows.loc[("av", "universal_max", column, condition)]
            found = [row["ci_low"], row["ci_high"]]
            np.testing.assert_allclose(found, study.percentiles(two - one), rtol=0, atol=1e-12)

    @pytest.mark.parametrize(("variant", "suffix"), [("av", ""), ("ogl", "_OGL")])
    def test_the_pooled_headline_is_that_of_the_authors_file(
        self, audited: Audits, variant: str, suffix: str
    ) -> None:
        """`pooled` counts a list from the scores file; theirs is in percent."""
        theirs = released_metrics(audited.runs["released"])
        rows = audited.departure(TOGETHER).loc[(variant, HEADLINE)]["value"]
        assert 100 * rows["success_rate", POSITIVE] == pytest.approx(theirs[f"CIoU{suffix}"])
        assert 100 * rows["auc", POSITIVE] == pytest.approx(theirs[f"AUC{suffix}"])

    def test_pooling_alone_is_the_mean_over_five_policies(self, audited: Audits) -> None:
        scores = pd.read_parquet(audited.runs["corrected"] / SCORES_FILE)
        rows = scores.query("audio_condition == 'positive' and map_variant == 'av'")
        lists = [rows[rows["threshold_policy"] == name]["ciou"].to_numpy() for name in POOLED]
        found = audited.departure("pooled_ciou").loc[("av", HEADLINE)]["value"]
        for metric, formula in (("success_rate", formulas.success_rate), ("auc", formulas.auc)):
            expected = sum(formula(values) for values in lists) / len(POOLED)
            assert found[metric, POSITIVE] == pytest.approx(expected, abs=1e-12)
        assert found["auc", POSITIVE] != pytest.approx(formulas.auc(lists[0]), abs=0.01)


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
        pd.testing.assert_frame_equal(
            pd.read_parquet(audited.output / "audit.parquet"), audited.table
        )
        read = pd.read_csv(audited.output / "audit.csv")
        pd.testing.assert_frame_equal(read, audited.table, check_exact=False)

    def test_what_changes_nothing_is_listed_with_the_reason(self, audited: Audits) -> None:
        for text in (audited.printed, (audited.output / "audit.md").read_text()):
            (found,) = reasons(text)
            assert found == dict.fromkeys(NOTHING, CHANGES_NOTHING) | NOT_POOLED
        # every switch has numbers or a reason
        assert set(DESCRIPTIONS) == {*NETWORK, *LOCALIZATION, "pooled_ciou", *NOTHING}

    def test_numbers_are_in_points_with_their_intervals(self, audited: Audits) -> None:
        markdown = (audited.output / "audit.md").read_text()
        (part,) = (
            part
            for part in re.split(r"^\*\*", markdown, flags=re.MULTILINE)
            if part.startswith("ezvsl on is3, threshold universal_max")
        )
        lines = {
            cells[0]: cells[1:]
            for line in part.splitlines()
            if len(cells := [cell.strip() for cell in line.strip("| ").split("|")]) == 10
        }
        assert set(DEPARTURES) <= set(lines)
        places = {("f_loc", "all"): 0, ("ciou", POSITIVE): 2, ("pia", "offscreen"): 5}
        for departure in DEPARTURES:
            rows = audited.departure(departure).loc[("av", "universal_max")]
            for key, place in places.items():
                row, cell = rows.loc[key], lines[departure][place]
                if departure == CORRECTED:
                    assert cell == f"{100 * row['value']:.1f}"
                elif row["difference"] == row["ci_low"] == row["ci_high"] == 0:
                    assert cell == "0"
                else:
                    # +0.0 and -0.0 are shown without a sign
                    low, high = (float(f"{100 * row[end]:.1f}") for end in ("ci_low", "ci_high"))
                    shown = [float(number) for number in re.split(r" \[| to |\]", cell)[:3]]
                    assert shown == [float(f"{100 * row['difference']:.1f}"), low, high]

    def test_all_model_variants_and_policies_have_a_table(self, audited: Audits) -> None:
        low, high = (f"{end(audited.table.query(LEARNT)['threshold']):.4f}" for end in (min, max))
        for text in (audited.printed, (audited.output / "audit.md").read_text()):
            assert f"ezvsl on is3, threshold universal_max ({low} to {high}, learnt" in text
            assert "ezvsl on is3, threshold released_q3 (0.6382)" in text
            assert "ezvsl on is3, object-guided maps, threshold universal_max (" in text
            assert "object-guided maps, threshold released_q3" not in text
            assert "ezvsl on is3, headline CIoU (share of cIoU >= 0.5) and AUC" in text
            assert "N = 6 samples" in text
            assert f"({RESAMPLES} resamples)" in text


LEARNT = "map_variant == 'av' and threshold_policy == 'universal_max'"


class TestChoices:
    def test_without_evaluation(self, audited: Audits, tmp_path: Path) -> None:
        output = tmp_path / "audit"
        table, printed = silently(audited.given("corrected", "released"), output, evaluate=False)
        kept = ~audited.table["departure"].isin(NETWORK)
        pd.testing.assert_frame_equal(table, audited.table[kept].reset_index(drop=True))
        assert reasons(printed) == [
            dict.fromkeys(NETWORK, "needs the network again (--no-evaluate)")
            | dict.fromkeys(NOTHING, CHANGES_NOTHING)
            | NOT_POOLED
        ]
        assert sorted(path.name for path in (output / "ezvsl" / "is3").iterdir()) == sorted(
            [*LOCALIZATION, "scores"]
        )

    def test_given_runs_with_one_switch_are_taken(self, audited: Audits, tmp_path: Path) -> None:
        """Of every kind; and nothing is evaluated or derived for them."""
        names = ("antialias", "offscreen_window", "upsampling")
        output = tmp_path / "audit"
        folders = audited.given("antialias", "released", "upsampling", "corrected", names[1])
        table, _ = silently(folders, output, evaluate=False)
        missing = set(NETWORK) - set(names)
        kept = ~audited.table["departure"].isin(missing)
        pd.testing.assert_frame_equal(table, audited.table[kept].reset_index(drop=True))
        assert sorted(path.name for path in (output / "ezvsl" / "is3").iterdir()) == [
            "object_map", "scores"
        ]  # fmt: skip

    def test_other_policies(
        self, audited: Audits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Also those under which every map has its own threshold."""
        folders = audited.given("corrected", "released")
        asked = {"policies": ["half_image", "fixed"], "resamples": 5, "evaluate": False}
        table = audit(folders, tmp_path / "audit", **asked)  # type: ignore[arg-type]
        assert set(table["threshold_policy"]) == {"half_image", "fixed", HEADLINE}
        half = table[table["threshold_policy"] == "half_image"]
        assert not set(half["metric"]) & {"f_loc", "f_auc"}
        summary = audited.summary("corrected").set_index(LABELS)["value"]
        for row in half[half["departure"] == CORRECTED].to_dict("records"):
            assert row["value"] == summary[tuple(row[label] for label in LABELS)]
        text = " ".join(capsys.readouterr().out.split())
        assert "threshold fixed (0.5000)" in text
        assert "threshold half_image" in text
        assert "nan" not in text

    def test_the_command(
        self,
        audited: Audits,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        folders = [str(path) for path in audited.given("released", "corrected")]
        options = ["--no-evaluate", "--threshold", "released_q3", "--resamples", "7"]
        monkeypatch.setattr(sys, "argv", ["vssl-audit", *folders, *options])
        main()
        assert "(7 resamples)" in " ".join(capsys.readouterr().out.split())
        found = pd.read_parquet(tmp_path / "audit" / "audit.parquet")
        asked = audited.table["threshold_policy"].isin(["released_q3", HEADLINE])
        rows = audited.table[asked & ~audited.table["departure"].isin(NETWORK)]
        columns = [*LABELS, "departure", "corrected", "value", "difference", "threshold", "n"]
        pd.testing.assert_frame_equal(found[columns], rows[columns].reset_index(drop=True))

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            (("--resamples", "0"), "a whole number from 1, got 0"),
            (("--seed", "-1"), "a whole number from 0, got -1"),
        ],
    )
    def test_options_that_make_no_sense(
        self,
        audited: Audits,
        tmp_path: Path,
        option: tuple[str, str],
        message: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folders = [str(path) for path in audited.given("released", "corrected")]
        given = [*folders, "--no-evaluate", "--output", str(tmp_path / "audit"), *option]
        monkeypatch.setattr(sys, "argv", ["vssl-audit", *given])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert message in " ".join(capsys.readouterr().err.split())


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

    @pytest.mark.parametrize("data", ["vggss", "is3"])
    @pytest.mark.parametrize(
        ("models", "expected"),
        [
            (
                ("ezvsl", "slavc"),
                {"antialias", "log_missing", "made_audio", "offscreen_window"},
            ),
            (
                ("fnac",),
                {
                    "antialias", "log_missing", "made_audio", "offscreen_window", "positive_window"
                },
            ),
            (("lvs", "sslalign"), {"antialias", "made_audio"}),
            (("ssltie",), {"antialias", "log_missing", "made_audio"}),
            # its images are Pillow's in either case, and its clips go in whole
            (("rcgrad", "rcgrad_raw"), {"standardization"}),
        ],
    )  # fmt: skip
    def test_what_a_switch_changes_for_each_model(
        self, models: tuple[str, ...], expected: set[str], data: str
    ) -> None:
        """As QUIRKS 11 to 29 and 34 have it."""
        for model in models:
            config = composed(f"model={model}", "model.weights=null", f"data={data}")
            found = {name: what_changes(config, name, value) for name, value in released().items()}
            kinds = {"network": expected, "localization": {"upsampling"}, "scores": {"pooled_ciou"}}
            if model.startswith("rcgrad"):
                kinds["scores"] = set()
            for kind, switches in kinds.items():
                assert {name for name, what in found.items() if what == kind} == switches, model

    def test_an_object_prior_adds_what_object_maps_depend_on(self, prior_file: Path) -> None:
        """Its images are shrunk as the protocol says, even where the model's are not (QUIRKS 11).

        Object maps are the prior's before they are mixed, so they need its network again.
        """
        for model in ("ezvsl", "rcgrad"):
            config = composed(f"model={model}", "model.weights=null", *guided_by(prior_file))
            assert what_changes(config, "object_map", "released") == "localization"
            assert what_changes(config, "antialias", False) == "network", model

    def test_antialiasing_of_the_prior_alone_is_audited(
        self, audited: Audits, prior_file: Path, tmp_path: Path
    ) -> None:
        """Images of a model that no protocol changes, under a prior whose images it does."""
        folders = []
        for protocol in ("corrected", "released"):
            folders.append(tmp_path / protocol)
            fixed = ("model.image.antialias=true", "~model.released.log_missing",
                     "~model.released.made_audio", "~model.released.offscreen_window",
                     "~model.released.upsampling", *guided_by(prior_file))  # fmt: skip
            run(folders[-1], *under("ezvsl", audited.data), *fixed, f"protocol={protocol}")
        before, after = (records(folder) for folder in folders)
        assert (maps(before) == maps(after)).all()
        seen = [np.stack(frame["object_map"].to_list()) for frame in (before, after)]
        assert (seen[0] != seen[1]).any(axis=1).all(), "the object maps differ"
        table, _ = silently(folders, tmp_path / "audit")
        assert "antialias" in set(table["departure"])


@functools.cache
def released() -> dict[str, Any]:
    """The switches under protocol=released."""
    protocol = composed("protocol=released").protocol
    return {name: protocol[name] for name in DESCRIPTIONS}


@pytest.fixture(scope="module")
def odd_runs(
    audited: Audits, prior_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Released runs that differ from `corrected` in more than their protocol."""
    root = tmp_path_factory.mktemp("odd")
    prior = guided_by(prior_file)
    state = {k: v * 1.5 for k, v in torch.load(prior_file).items() if v.is_floating_point()}
    torch.save(state, root / "others.pth")
    changes: dict[str, tuple[str, ...]] = {
        "seed": (*prior, "seed=1"),
        "fewer_draws": (*prior, "negatives.noise.draws=1"),
        "noise_level": (*prior, "negatives.noise.level=0.1"),
        "no_prior": (),
        "other_prior": guided_by(root / "others.pth"),
        "prior_weight": guided_by(prior_file, 0.9),
        "images": (*prior, "model.image.mean=[0.4,0.4,0.4]"),
        "frontend": (*prior, "model.frontend.floor=1e-3"),
    }

    def make(name: str) -> Path:
        folder = root / name
        quick = ("threshold=fixed", "metrics=pia", "bootstrap.resamples=2")
        given = (*under("ezvsl", audited.data), *changes[name], *quick, "protocol=released")
        run(folder, *given)
        return folder

    return make


class TestRefusals:
    @pytest.mark.parametrize(
        "name",
        ["seed", "fewer_draws", "noise_level", "no_prior", "other_prior", "prior_weight", "images",
         "frontend"],
    )  # fmt: skip
    def test_runs_that_differ_in_more_than_their_protocol(
        self,
        audited: Audits,
        odd_runs: Callable[[str], Path],
        tmp_path: Path,
        name: str,
    ) -> None:
        folders = [*audited.given("corrected"), odd_runs(name)]
        message = rf"{name}: differs from .*corrected in .*runs that differ in their protocol only"
        with pytest.raises(UsageError, match=message):
            audit(folders, tmp_path / "audit", policies=POLICIES, evaluate=False)
        assert not (tmp_path / "audit").exists()

    def test_other_weights(self, audited: Audits, tmp_path: Path) -> None:
        """The small model has none, so they are written into the facts of a copy."""
        other = shutil.copytree(audited.runs["released"], tmp_path / "other")
        facts = json.loads((other / RUN_FILE).read_text())
        facts["provenance"]["weights"] = {"file": "w.pth", "sha256": "0" * 64}
        (other / RUN_FILE).write_text(json.dumps(facts))
        with pytest.raises(UsageError, match=r"other: differs from .* in weights; an audit"):
            audit([audited.runs["corrected"], other], tmp_path / "audit", policies=POLICIES)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["corrected"], "one run of ezvsl on is3 under protocol=released, but got 0"),
            (["released"], "one run of ezvsl on is3 under protocol=corrected, but got 0"),
            (["released", "antialias"], "under protocol=corrected, but got 0"),
            (["corrected", "released", "released"], "under protocol=released, but got 2"),
        ],
    )
    def test_a_counterpart_is_missing(
        self, audited: Audits, tmp_path: Path, names: list[str], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            audit(audited.given(*names), tmp_path / "audit", policies=POLICIES)

    def test_a_run_that_is_not_finished(self, audited: Audits, tmp_path: Path) -> None:
        unfinished = shutil.copytree(audited.runs["released"], tmp_path / "unfinished")
        (unfinished / RUN_FILE).unlink()
        with pytest.raises(UsageError, match=r"unfinished/run\.json: no such file.*finished run"):
            audit([audited.runs["corrected"], unfinished], tmp_path / "a", policies=POLICIES)

    @pytest.mark.parametrize("moved", ["data", "weights"])
    def test_files_in_another_place_are_the_same_files(
        self, audited: Audits, prior_file: Path, tmp_path: Path, moved: str
    ) -> None:
        """Runs of two machines; and what the second ran on need not be there any more."""
        data, weights = tmp_path / "data", tmp_path / prior_file.name
        shutil.copytree(audited.data, data)
        shutil.copy(prior_file, weights)
        given = (data, prior_file) if moved == "data" else (audited.data, weights)
        run(tmp_path / "run", *under("ezvsl", given[0]), *guided_by(given[1]), "protocol=released")
        weights.unlink()
        folders = [*audited.given("corrected"), tmp_path / "run"]
        table, _ = silently(folders, tmp_path / "audit", evaluate=False)
        together = table[table["departure"] == TOGETHER].reset_index(drop=True)
        expected = audited.departure(TOGETHER).reset_index()[table.columns]
        pd.testing.assert_frame_equal(
            together.sort_values(LABELS, ignore_index=True), expected, check_like=True
        )

    def test_the_command_says_what_is_wrong(
        self,
        audited: Audits,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        given = ["vssl-audit", str(audited.runs["corrected"]), "--output", str(tmp_path / "a")]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit, match="1"):
            main()
        assert "error: vssl-audit needs one run of ezvsl on is3" in capsys.readouterr().err


@pytest.mark.slow
def test_windows_of_fnac_on_real_sounds(
    shared: Path, seeded_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Its released windows are others than its own, for positives and for offscreen clips."""
    mini, data = shared / "data" / "is3_mini", tmp_path / "data"
    entries = json.loads((mini / "IS3_annotation.json").read_text())[::4]
    for folder, kind in (("images", "image"), ("audio_wav", "audio")):
        (data / folder).mkdir(parents=True)
        for entry in entries:
            (data / folder / entry[kind]).symlink_to(mini / folder / entry[kind])
    (data / "IS3_annotation.json").write_text(json.dumps(entries))
    folders = []
    for protocol in ("corrected", "released"):
        folders.append(tmp_path / protocol)
        run(
            folders[-1],
            "model=fnac",
            f"model.weights={seeded_checkpoint('fnac')}",
            *("data=is3", f"data.root={data}", f"protocol={protocol}"),
            *("negatives.noise.draws=1", "negatives.offscreen.draws=1"),
            *("threshold=fixed", "metrics=pia", "subsets=[]", "bootstrap.resamples=10"),
        )
    table, _ = silently(folders, tmp_path / "audit", policies=["universal_q3", "released_q3"])
    changed = table[table["difference"].abs() > 1e-4]
    by_switch = changed.groupby("departure")["condition"].agg(set)
    windows = {"positive_window": POSITIVE, "offscreen_window": "offscreen"}
    before = records(folders[0])
    for switch, condition in windows.items():
        found = records(tmp_path / "audit" / "fnac" / "is3" / switch)
        differs = np.abs(maps(found) - maps(before)).max(axis=1) > 1e-3
        assert set(found["audio_condition"][differs]) == {condition}
        assert condition in by_switch[switch]
    assert set(table["departure"]) == {
        CORRECTED, *NETWORK, "positive_window", "upsampling", "pooled_ciou", TOGETHER
    }  # fmt: skip

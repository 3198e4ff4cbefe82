"""Masks, flags and natural negatives of a run, against numpy and scikit-learn on its maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.helpers.records import Made, make_sample, upsampled, write_made
from tests.helpers.running import scoring_settings
from tests.reference import formulas
from vssl.analysis.comparable import departures
from vssl.analysis.compare import ComparedRun
from vssl.analysis.error_rates import error_rates
from vssl.analysis.released import released_metrics
from vssl.analysis.threshold_curves import maxima_histograms, threshold_curves
from vssl.core.arrays import Array
from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.maps import encode_mask
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.conditions import NATURAL_NEGATIVES
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUBSETS_FILE, TRUTH_FILE
from vssl.records.read import samples_by_size, thin_records
from vssl.records.schema import METADATA_KEY
from vssl.records.scores import Samples, Scores
from vssl.records.store import RecordsError, check_records, read_provenance
from vssl.records.truth import GroundTruth, check_flags, object_area
from vssl.runs.score import score_run
from vssl.types import NATURAL, POSITIVE, Sample

SETTINGS = scoring_settings(
    "threshold=[fixed,universal_max]", "threshold.fixed.value=0.25", "subsets=[object_size]",
    "bootstrap.resamples=20", "metrics=all",
)  # fmt: skip
SILENT = [0, 4, 6]
"""Natural negatives: the first of the run and of a picture's two, and two of their own pictures."""

GROUPS = ["a", "a", "b", "b", "c", "d", "e", "f"]
ROWS, COLUMNS = np.mgrid[:224, :224]


def disc(row: int, column: int, radius: int) -> Array:
    return np.asarray((ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2)


MASKS: dict[int, list[tuple[Array, float]]] = {
    1: [(disc(60, 60, 50), 1.0)],
    2: [(disc(90, 90, 60), 0.5), (disc(120, 120, 60), 0.5)],
    3: [(disc(160, 60, 40), 1.0)],
    7: [(disc(0, 223, 90), 1.0)],
}
"""Sample -> its masks and weights; sample 5 has a box alone, 7 one beside its mask."""

BOX = (30, 40, 150, 160)


def make_samples() -> list[Sample]:
    samples = []
    for n, group in enumerate(GROUPS):
        own = MASKS.get(n, [])
        boxed = n in (5, 7)
        sample = make_sample(f"s{n}", group, (BOX,) if boxed else (), (1.0,) if boxed else ())
        samples.append(
            replace(
                sample,
                masks=tuple(encode_mask(mask) for mask, _ in own),
                mask_weights=tuple(weight for _, weight in own),
                is_natural_negative=n in SILENT,
                flags=(
                    ("music", "no" if n % 3 else "yes"),
                    *((("static", "yes"),) if n == 5 else ()),
                ),
            )
        )
    return samples


def truth_of(n: int) -> Array:
    truth = np.zeros((224, 224))
    for mask, weight in MASKS.get(n, []):
        truth += weight * mask
    if n in (5, 7):
        x0, y0, x1, y1 = BOX
        truth[y0:y1, x0:x1] += 1
    return truth.clip(max=1)


def write(folder: Path, **facts: Any) -> Made:
    """A run whose natural negatives have the highest maps of all."""
    samples, generator = make_samples(), np.random.default_rng(3)
    draws = {POSITIVE: 1, "silence": 1, "noise": 1, "offscreen": 2}
    maps = np.round(generator.random((len(samples), sum(draws.values()), 7, 7)) * 64 - 40) / 64
    maps[:, 0] += 0.25
    maps[SILENT, 0, 2, 3] = 0.95
    return write_made(
        folder, samples, maps=maps.astype(np.float32),
        **{NATURAL_NEGATIVES: len(SILENT), "image_sources": 1, "notes": {}, **facts},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = write(tmp_path_factory.mktemp("naturals") / "run")
    score_run(SETTINGS, made.folder)
    return made


@pytest.fixture(scope="module")
def summary(made: Made) -> pd.DataFrame:
    return pd.read_parquet(made.folder / "summary.parquet")


def row(summary: pd.DataFrame, metric: str, condition: str, policy: str = "fixed") -> Any:
    chosen = summary[summary["metric"] == metric]
    chosen = chosen[(chosen["condition"] == condition) & (chosen["threshold_policy"] == policy)]
    (found,) = chosen.to_dict("records")
    return found


HEARD = [n for n in range(len(GROUPS)) if n not in SILENT]
ALL = list(range(len(GROUPS)))


def masks_of(made: Made, condition: str, rows: list[int], threshold: float = 0.25) -> Array:
    """Masks `[n, D, 224, 224]` of some samples."""
    return np.asarray(upsampled(made.native[condition][rows]) > threshold)


def test_numbers_of_positives_leave_natural_negatives_out(
    made: Made, summary: pd.DataFrame
) -> None:
    masks = masks_of(made, POSITIVE, HEARD)[:, 0]
    ciou = [formulas.consensus_iou(m, truth_of(n)) for m, n in zip(masks, HEARD, strict=True)]
    found = row(summary, "ciou", POSITIVE)
    assert found["value"] == pytest.approx(np.mean(ciou), abs=1e-9)
    assert (found["n"], found["n_undefined"]) == (len(HEARD), 0)
    rate = row(summary, "success_rate", POSITIVE)
    assert rate["value"] == pytest.approx(np.mean(np.array(ciou) >= 0.5))
    offscreen = masks_of(made, "offscreen", HEARD)
    control = [
        formulas.consensus_iou(mask, truth_of(n))
        for n, draws in zip(HEARD, offscreen, strict=True)
        for mask in draws
    ]
    found = row(summary, "ciou", "offscreen")
    assert found["value"] == pytest.approx(np.mean(control), abs=1e-9)
    assert (found["n"], found["n_undefined"]) == (len(HEARD), 0)
    area = row(summary, "pia", POSITIVE)
    assert area["value"] == pytest.approx(np.mean([formulas.image_area(m) for m in masks]))
    assert area["n"] == len(HEARD)


def test_natural_negatives_count_as_negatives(made: Made, summary: pd.DataFrame) -> None:
    masks = masks_of(made, POSITIVE, SILENT)[:, 0]
    areas = [formulas.image_area(mask) for mask in masks]
    found = row(summary, "pia", NATURAL)
    assert found["value"] == pytest.approx(np.mean(areas))
    assert (found["n"], found["n_undefined"], found["sounding_object"]) == (3, 0, "none")
    assert not found["higher_is_better"]
    alarms = row(summary, "false_alarm_rate", NATURAL)["value"]
    assert alarms == pytest.approx(np.mean([mask.any() for mask in masks]))
    ciou = row(summary, "ciou", POSITIVE)["value"]
    f_loc = row(summary, "f_loc", NATURAL)["value"]
    assert f_loc == pytest.approx(formulas.f_loc(ciou, {NATURAL: float(np.mean(areas))}))
    both = {name: row(summary, "pia", name)["value"] for name in NEGATIVE_TYPES}
    together = row(summary, "f_loc", "all")["value"]
    assert together == pytest.approx(formulas.f_loc(ciou, both))
    silence = masks_of(made, "silence", ALL)[:, 0]
    found = row(summary, "pia", "silence")
    assert found["value"] == pytest.approx(np.mean([formulas.image_area(m) for m in silence]))
    assert found["n"] == len(GROUPS)
    order = list(dict.fromkeys(summary.loc[summary["metric"] == "pia", "condition"]))
    assert order == [POSITIVE, *NEGATIVE_TYPES, NATURAL]


def test_separation_is_of_positives_and_natural_negatives(
    made: Made, summary: pd.DataFrame
) -> None:
    own = made.native[POSITIVE][:, 0].max(axis=(1, 2))
    pairs = {NATURAL: own[SILENT], "silence": made.native["silence"][:, 0].max(axis=(1, 2))}
    for condition, negatives in pairs.items():
        values = np.concatenate([own[HEARD], negatives])
        labels = np.arange(len(values)) < len(HEARD)
        auroc = row(summary, "auroc", condition, "none")
        assert auroc["value"] == pytest.approx(roc_auc_score(labels, values))
        assert (auroc["n"], auroc["n_undefined"]) == (len(HEARD), 0)
        precision = row(summary, "ap", condition, "none")["value"]
        assert precision == pytest.approx(average_precision_score(labels, values))


def test_universal_thresholds_do_not_learn_from_them(made: Made, summary: pd.DataFrame) -> None:
    maxima = {name: made.native[name].max(axis=(2, 3)).ravel() for name in NEGATIVE_TYPES}
    values = np.concatenate(list(maxima.values()))
    names = [name for name, own in maxima.items() for _ in own]
    assert values.max() < made.native[POSITIVE][SILENT].max()
    found = row(summary, "pia", NATURAL, "universal_max")
    learnt = formulas.universal_threshold(values, names, statistic="mean", factor=1.0)
    assert found["threshold"] == pytest.approx(learnt)
    assert found["threshold_source"] == "fit on made (silence+noise+offscreen)"


def test_pairs_with_the_positive_leave_them_out(made: Made, summary: pd.DataFrame) -> None:
    for names, rows in (((POSITIVE, "silence"), HEARD), (("silence", "noise"), ALL)):
        one, other = (masks_of(made, name, rows)[:, 0] for name in names)
        each = [formulas.mask_agreement(a, b) for a, b in zip(one, other, strict=True)]
        found = row(summary, "agreement", "-".join(names))
        assert found["value"] == pytest.approx(np.mean(each))
        assert (found["n"], found["n_undefined"]) == (len(rows), 0)
    assert not any(NATURAL in name and name != NATURAL for name in summary["condition"])


def test_images_are_judged_by_the_objects_that_sound(made: Made, summary: pd.DataFrame) -> None:
    """Picture `a` has one object, `c` and `e` none; `b` has two."""
    masks = masks_of(made, POSITIVE, HEARD)[:, 0]
    ciou = np.array(
        [formulas.consensus_iou(m, truth_of(n)) for m, n in zip(masks, HEARD, strict=True)]
    )
    expected = formulas.interactive_auc(ciou, [GROUPS[n] for n in HEARD])
    found = row(summary, "iauc", POSITIVE)
    assert found["value"] == pytest.approx(expected)
    assert (found["n"], found["n_undefined"]) == (4, 0)
    swaps = row(summary, "swap_delta", POSITIVE)
    assert (swaps["n"], swaps["n_undefined"]) == (2, 0)


def test_where_another_of_its_objects_would_sound_they_have_no_rows(tmp_path: Path) -> None:
    made = write(tmp_path / "run", sounding_objects={"noise": "own", "offscreen": "other"})
    score_run(SETTINGS, made.folder)
    scores = pd.read_parquet(made.folder / SCORES_FILE)
    assert scores["audio_condition"].value_counts().to_dict() == {
        "silence": 3 * 8, NATURAL: 3 * 3, POSITIVE: 3 * 5, "noise": 3 * 5, "offscreen": 3 * 2 * 5,
    }  # fmt: skip
    summary = pd.read_parquet(made.folder / "summary.parquet")
    for metric, condition, n in (
        ("ciou", "noise", 5),
        ("pia", "offscreen", 5),
        ("pia", NATURAL, 3),
    ):
        assert (row(summary, metric, condition)["n"]) == n
    assert row(summary, "agreement", "silence-noise")["n"] == 5


def test_undefined_maps_count_where_they_belong(tmp_path: Path) -> None:
    made = write(tmp_path / "run", holes=[(POSITIVE, 4, 0), ("offscreen", 0, 1)])
    score_run(SETTINGS, made.folder)
    summary = pd.read_parquet(made.folder / "summary.parquet")
    for metric, condition, policy, n, undefined in (
        ("pia", POSITIVE, "fixed", 5, 0), ("pia", NATURAL, "fixed", 2, 1),
        ("pia", "offscreen", "fixed", 8, 1), ("auroc", NATURAL, "none", 5, 1),
        ("ciou", "offscreen", "fixed", 5, 0), ("agreement", "positive-offscreen", "fixed", 5, 0),
    ):  # fmt: skip
        found = row(summary, metric, condition, policy)
        assert (found["n"], found["n_undefined"]) == (n, undefined), (metric, condition)


def test_positives_are_those_of_a_run_without_natural_negatives(
    made: Made, summary: pd.DataFrame, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    maps = {name: values[HEARD] for name, values in made.native.items()}
    stacked = np.concatenate([maps[name] for name in maps], axis=1)
    write_made(alone, [made.samples[n] for n in HEARD], maps=stacked, notes={}, image_sources=1)
    score_run(SETTINGS, alone)
    scores = [pd.read_parquet(folder / SCORES_FILE) for folder in (alone, made.folder)]
    fixed = [each[each["threshold_policy"] == "fixed"] for each in scores]
    own = [each[each["audio_condition"] == POSITIVE].reset_index(drop=True) for each in fixed]
    columns = ["ciou", "pia", "swap_delta"]
    pd.testing.assert_frame_equal(own[0][columns], own[1][columns], check_exact=True)
    few = pd.read_parquet(alone / "summary.parquet")
    for metric in ("ciou", "success_rate", "auc", "pia", "iiou", "iauc", "swap_delta"):
        one, other = (row(each, metric, POSITIVE) for each in (few, summary))
        assert one["value"] == pytest.approx(other["value"], abs=1e-12)
        assert one["n"] == other["n"]
    assert NATURAL not in set(few["condition"])


def test_a_run_of_natural_negatives_alone_has_no_number_on_positives(tmp_path: Path) -> None:
    samples = [
        replace(make_sample(f"s{n}", f"s{n}", (), ()), is_natural_negative=True) for n in range(3)
    ]
    maps = np.random.default_rng(0).random((3, 5, 7, 7))
    folder = write_made(tmp_path / "run", samples, maps=maps, **{NATURAL_NEGATIVES: 3}).folder
    score_run(SETTINGS, folder)
    summary = pd.read_parquet(folder / "summary.parquet")
    alone = {name for name in summary["condition"] if "-" not in name}
    assert alone == {*NEGATIVE_TYPES, NATURAL}
    assert row(summary, "pia", NATURAL)["n"] == 3
    curves = threshold_curves(folder, "av", points=5, resamples=5)
    assert np.isnan(curves.ciou).all()
    with pytest.raises(UsageError, match="needs positives"):
        released_metrics(folder)


def test_flags_are_subsets(made: Made, summary: pd.DataFrame) -> None:
    subsets = pd.read_parquet(made.folder / SUBSETS_FILE)
    assert set(subsets["subset_kind"]) == {"object_size", "music", "static"}
    scores = pd.read_parquet(made.folder / SCORES_FILE)
    scores = scores[scores["threshold_policy"] == "fixed"]
    ids = {"yes": [0, 3, 6], "no": [1, 2, 4, 5, 7]}
    for value, members in ids.items():
        rows = subsets[(subsets["subset_kind"] == "music") & (subsets["subset"] == value)]
        own = scores[scores["sample_id"].isin([f"s{n}" for n in members])]
        for condition, metric in ((POSITIVE, "ciou"), (NATURAL, "pia")):
            expected = own[own["audio_condition"] == condition][metric]
            found = row(rows, metric, condition)
            assert found["value"] == pytest.approx(expected.mean())
            assert found["n"] == len(expected)
    static = subsets[subsets["subset_kind"] == "static"]
    assert set(static["subset"]) == {"yes"}
    assert NATURAL not in set(static["condition"])
    sizes = subsets[(subsets["subset_kind"] == "object_size") & (subsets["metric"] == "ciou")]
    own = sizes[(sizes["condition"] == POSITIVE) & (sizes["threshold_policy"] == "fixed")]
    assert own["n"].sum() == len(HEARD)


def test_curves_error_rates_and_released_numbers(made: Made, summary: pd.DataFrame) -> None:
    curves = threshold_curves(made.folder, "av", include=[0.25], points=9, resamples=5)
    place = curves.at(0.25)
    for metric, condition in (("ciou", POSITIVE), ("pia", NATURAL), ("pia", "silence")):
        expected = row(summary, metric, condition)["value"]
        assert curves.values[metric, condition][place] == pytest.approx(expected, abs=1e-6)
    assert curves.together == NEGATIVE_TYPES
    rates = error_rates(made.folder, variant="av", threshold=0.25, in_sample=False)
    alarms = row(summary, "false_alarm_rate", NATURAL)["value"]
    assert rates.false_alarms[NATURAL].rate == pytest.approx(alarms)
    assert rates.misses is not None
    assert rates.misses.maps == len(HEARD)
    assert NATURAL not in rates.wrong_sounds
    _, counts = maxima_histograms(made.folder)
    assert {name: int(c.sum()) for name, c in counts.items()} == {
        NATURAL: 3, POSITIVE: 5, "silence": 8, "noise": 8, "offscreen": 16,
    }  # fmt: skip


def test_released_numbers_are_of_the_positives_alone(made: Made, tmp_path: Path) -> None:
    stacked = np.concatenate([values[:, :1][HEARD] for values in made.native.values()], axis=1)
    everywhere = np.concatenate([values[:, :1] for values in made.native.values()], axis=1)
    negatives = [Silence(), Noise(draws=1), Offscreen(draws=1)]
    samples = list(made.samples)
    whole = write_made(tmp_path / "whole", samples, maps=everywhere, negatives=negatives).folder
    few = [samples[n] for n in HEARD]
    alone = write_made(tmp_path / "alone", few, maps=stacked, negatives=negatives).folder
    assert released_metrics(whole) == released_metrics(alone)


def as_version_4(folder: Path) -> None:
    """Give a run the files of schema version 4: boxes in every row, no file of the ground truth."""
    truth = pq.read_table(folder / TRUTH_FILE).to_pandas().set_index("sample_id")
    table = pq.read_table(folder / RECORDS_FILE)
    ids = table.column("sample_id").to_pylist()
    for name, kind in (("box_weights", pa.list_(pa.float32())),
                       ("boxes", pa.list_(pa.list_(pa.int16())))):  # fmt: skip
        values = [[list(v) if name == "boxes" else v for v in truth.loc[i, name]] for i in ids]
        table = table.add_column(8, pa.field(name, kind, nullable=False), [pa.array(values, kind)])
    (folder / TRUTH_FILE).unlink()
    facts = json.loads(table.schema.metadata[METADATA_KEY]) | {"schema_version": "4"}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(facts)}),
                   folder / RECORDS_FILE)  # fmt: skip


def test_a_run_of_version_4_is_read(tmp_path: Path) -> None:
    now, before = (write_made(tmp_path / name, notes={}).folder for name in ("now", "before"))
    as_version_4(before)
    assert check_records(before)["schema_version"] == "4"
    assert GroundTruth.of(before).table.equals(GroundTruth.of(now).table)
    for folder in (now, before):
        score_run(SETTINGS, folder)
    one, other = (pd.read_parquet(folder / "summary.parquet") for folder in (now, before))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    kept = thin_records(before, tmp_path, samples=2)
    assert read_provenance(tmp_path / RECORDS_FILE)["schema_version"] == "5"
    assert GroundTruth.of(tmp_path).ids == Samples.of(tmp_path).ids
    assert kept == len(GroundTruth.of(tmp_path).ids) < len(GroundTruth.of(now).ids)


def test_the_ground_truth_is_checked_with_the_records(made: Made, tmp_path: Path) -> None:
    first, other = (write(tmp_path / name).folder for name in ("first", "other"))
    check_records(first)
    truth = pq.read_table(other / TRUTH_FILE)
    pq.write_table(truth.take(list(range(len(truth)))[::-1]), other / TRUTH_FILE)
    with pytest.raises(RecordsError, match=r"ground_truth\.parquet: is not of the samples"):
        check_records(other)
    (other / TRUTH_FILE).unlink()
    with pytest.raises(RecordsError, match=r"ground_truth\.parquet: no such file"):
        GroundTruth.of(other)


def test_scores_that_lack_a_natural_negative_are_refused(made: Made, tmp_path: Path) -> None:
    table = pq.read_table(made.folder / SCORES_FILE)
    lost = [c != NATURAL or i != "s4" for c, i in
            zip(*(table.column(n).to_pylist() for n in ("audio_condition", "sample_id")),
                strict=True)]  # fmt: skip
    pq.write_table(table.filter(pa.array(lost)), tmp_path / SCORES_FILE)
    with pytest.raises(RecordsError, match="rows are missing or doubled"):
        Scores(tmp_path / SCORES_FILE, Samples.of(made.folder).ids)


def test_another_ground_truth_is_no_fair_comparison(made: Made, tmp_path: Path) -> None:
    other = tmp_path / "other"
    samples = [replace(sample, is_natural_negative=False) for sample in made.samples]
    stacked = np.concatenate(list(made.native.values()), axis=1)
    write_made(other, samples, maps=stacked, notes={}, image_sources=1)
    score_run(SETTINGS, other)
    facts = {"annotation_sha256": "a", "negatives_manifest_sha256": "m"}
    runs = [replace(run, facts={**run.facts, **facts})
            for run in map(ComparedRun.of, (made.folder, other))]  # fmt: skip
    said = list(departures(*runs, [], "av"))
    assert said == ["other ground truth: of 3 of the 8 common samples"]


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ((("category", "a"),), "category names subsets of another kind"),
        ((("a", "1"), ("a", "2")), "a kind is there twice"),
    ],
)
def test_flags_that_cannot_name_subsets_are_refused(
    flags: tuple[tuple[str, str], ...], fault: str
) -> None:
    with pytest.raises(UsageError, match=f"sample s0: .*{fault}"):
        check_flags([replace(make_samples()[0], flags=flags)])


def test_samples_to_show_are_positives(made: Made) -> None:
    areas = {n: (truth_of(n) > 0).sum() for n in HEARD}
    objects = GroundTruth.of(made.folder).objects([f"s{n}" for n in HEARD])
    for each, area in zip(objects, areas.values(), strict=True):
        assert object_area(*each) == pytest.approx(area / 224**2)
    chosen = samples_by_size(made.folder, [0, 1])
    assert chosen[0] == f"s{min(areas, key=lambda n: areas[n])}"
    assert not {f"s{n}" for n in SILENT} & set(samples_by_size(made.folder, np.linspace(0, 1, 20)))

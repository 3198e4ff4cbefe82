"""Scores of one part at a time, against a pivot of the whole file, in any order of its rows."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.records import Made, write_made
from vssl.analysis.threshold_curves import ThresholdCurves, threshold_curves
from vssl.config.build import policies_named
from vssl.metrics.agreement import Agreement
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.records.files import SCORES_FILE
from vssl.records.fit import fit_policies
from vssl.records.score import score_records
from vssl.records.scores import Part, Scores
from vssl.records.store import RecordsError

METRICS = (ConsensusIoU(), ImageArea(), Agreement())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    made = write_made(folder, objects=True, holes=[("offscreen", 2, 1)])
    fitted = fit_policies(policies_named(["fixed", "object_area", "universal_q3"]), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vssl.records.scores._ROWS_COPIED", 1)
        patch.setattr("vssl.records.scores._ROWS_SORTED", 90)  # two pieces
        patch.setattr("vssl.records.read._ROWS_READ", 6)
        score_records(folder, fitted, METRICS, output=folder / SCORES_FILE)
    return made


def shuffled(made: Made, folder: Path) -> Path:
    """The scores with their rows in another order, in small row groups of several parts."""
    table = pq.read_table(made.folder / SCORES_FILE)
    rows = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(pa.array(rows)), folder / SCORES_FILE, row_group_size=17)
    return folder / SCORES_FILE


@pytest.mark.parametrize(("order", "kept"), [("by part", 0), ("shuffled", 999)])
def test_values_are_those_of_the_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, kept: int
) -> None:
    monkeypatch.setattr("vssl.records.scores._BYTES_KEPT", kept)
    path = made.folder / SCORES_FILE if order == "by part" else shuffled(made, tmp_path)
    ids = [sample.sample_id for sample in made.samples]
    scores, table = Scores(path, ids), pq.read_table(made.folder / SCORES_FILE)
    frame = table.to_pandas()
    of_parts = frame.groupby(list(Part._fields), observed=True)
    assert {tuple(part) for part in scores.parts()} == set(of_parts.groups)
    for part in scores.parts():
        own = frame.loc[of_parts.groups[tuple(part)]]
        threshold = own["threshold"].iloc[0] if part.has_one_threshold else np.nan
        np.testing.assert_equal(scores.threshold(part), threshold)
        for condition, column in itertools.product(scores.conditions(part), scores.columns):
            rows = own[own["audio_condition"] == condition]
            asked = rows.assign(value=table.column(column).is_valid().to_numpy()[rows.index])
            for found, expected, name in (
                (scores.values(part, condition, column), rows, column),
                (
                    scores.asked(part, condition, column)[:, None],
                    asked[asked["draw"] == 0],
                    "value",
                ),
            ):
                wide = expected.pivot(index="sample_id", columns="draw", values=name)
                np.testing.assert_array_equal(found, wide.loc[ids].to_numpy())


def test_row_groups_are_of_one_part(made: Made) -> None:
    with pq.ParquetFile(made.folder / SCORES_FILE) as file:
        groups = [file.read_row_group(n, Part._fields) for n in range(file.num_row_groups)]
    parts = {tuple(row.values()) for group in groups for row in group.to_pylist()}
    assert len(groups) == 2 * len(parts) == 16
    assert all(len(group.combine_chunks().group_by([*Part._fields]).aggregate([])) == 1
               for group in groups)  # fmt: skip


def test_a_row_that_takes_anothers_place_is_noticed(made: Made, tmp_path: Path) -> None:
    table = pq.read_table(made.folder / SCORES_FILE)
    draw = table.column("draw").to_numpy().copy()
    names = table.column("audio_condition").to_pylist()
    for wrong in (-1, 0, 30_000):
        draw[names.index("offscreen") + 1] = wrong
        place = table.schema.get_field_index("draw")
        changed = table.set_column(place, table.schema.field("draw"), pa.array(draw, pa.int16()))
        pq.write_table(changed, tmp_path / SCORES_FILE)
        with pytest.raises(RecordsError, match="rows are missing or doubled"):
            Scores(tmp_path / SCORES_FILE, [sample.sample_id for sample in made.samples])


@pytest.mark.parametrize("holes", [[], [("noise", 1, 0), ("positive", 3, 0)]])
def test_curves_are_the_same_however_many_samples_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes: list[tuple[str, int, int]]
) -> None:
    write_made(tmp_path, holes=holes)

    def curves() -> ThresholdCurves:
        return threshold_curves(tmp_path, "av", points=9, resamples=20)

    whole = curves()
    monkeypatch.setattr("vssl.records.read._ROWS_READ", 5)
    monkeypatch.setattr("vssl.analysis.threshold_curves._CHUNKS_JOINED", 2)
    pieces = curves()
    for key, values in whole.values.items():
        np.testing.assert_array_equal(pieces.values[key], values)
    for key, values in whole.resampled.items():
        np.testing.assert_allclose(pieces.resampled[key], values, rtol=0, atol=1e-12)

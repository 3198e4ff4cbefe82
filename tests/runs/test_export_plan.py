"""Exported plans against what a run feeds to a front end, and runs over stored maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from tests.helpers.drawn import draw_vggss, write_tone
from tests.helpers.running import maps, records, run, run_settings
from vssl.audio import read_clip
from vssl.config import build
from vssl.core.errors import UsageError
from vssl.data.dataset import AudioDataset
from vssl.models.stored import MapsError
from vssl.negatives.base import Positive
from vssl.negatives.plan import make_plan
from vssl.runs.export_plan import export_plan
from vssl.types import AudioClip

NEGATIVES = ("negatives=all", "negatives.noise.draws=2", "negatives.offscreen.draws=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    root = draw_vggss(tmp_path_factory.mktemp("export") / "vggss")
    write_tone(root / "audio" / "clip3_000010.wav", hertz=300, seconds=1.5)  # of another length
    return ("data=vggss", f"data.root={root}")


@pytest.fixture(scope="module")
def plan(data: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    export_plan(run_settings("model=stored", *data, *NEGATIVES), folder)
    return folder


def rows_of(plan: Path) -> list[dict[str, str]]:
    with (plan / "plan.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def make_maps(plan: Path, folder: Path) -> Path:
    """A map for each row that only its sound and its image explain."""
    for row in rows_of(plan):
        sound, _ = soundfile.read(plan / row["audio"])
        brightness = np.asarray(Image.open(row["image"]).convert("L").resize((6, 5)), float) / 255
        path = folder / row["map"]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.tanh(np.std(sound)) * brightness)
    return folder


@pytest.fixture
def stored(plan: Path, tmp_path: Path) -> Path:
    return make_maps(plan, tmp_path / "maps")


def test_the_waveforms_are_those_of_a_run(plan: Path, data: tuple[str, ...]) -> None:
    """As the data set of a run hands them to its front ends, before any window."""

    class Whole:
        rate = 16_000

        def waveform(self, clip: AudioClip) -> np.ndarray:
            return clip.samples

    settings = run_settings("model=stored", *data, *NEGATIVES)
    conditions = build.build_conditions(settings)
    samples = build.check_data(settings).samples
    planned = make_plan(samples, conditions, seed=settings.seed, use=settings.data.noise_use)
    by_name = {condition.name: condition for condition in (Positive(), *conditions)}
    fed = AudioDataset(samples, planned, by_name, {"positive": Whole()})
    places = {sample.sample_id: n for n, sample in enumerate(samples)}
    rows = rows_of(plan)
    assert len(rows) == len(samples) * 6
    for row in rows:
        pairing = planned.pairings.index((row["condition"], int(row["draw"])))
        heard = fed._waveform(planned.index[places[row["sample_id"]], pairing])
        clip = read_clip(plan / row["audio"])
        np.testing.assert_array_equal(clip.samples, heard)
    made = [row["audio"] for row in rows if row["condition"] in ("silence", "noise")]
    assert {f"sounds/{path.name}" for path in (plan / "sounds").iterdir()} == set(made)


def test_an_export_goes_on_and_refuses_another_plan(plan: Path, data: tuple[str, ...]) -> None:
    text = (plan / "plan.csv").read_text()
    first, second, *_ = sorted((plan / "sounds").iterdir())
    before = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    export_plan(run_settings("model=stored", *data, *NEGATIVES), plan)
    assert (plan / "plan.csv").read_text() == text
    assert (first.stat().st_mtime_ns, second.read_bytes()) == before
    with pytest.raises(UsageError, match=r"another plan.*seed"):
        export_plan(run_settings("model=stored", *data, *NEGATIVES, "seed=1"), plan)


def test_stored_maps_are_a_run(
    data: tuple[str, ...], plan: Path, stored: Path, tmp_path: Path
) -> None:
    (stored / "positive/0/clip1_000010.npy").rename(stored / "positive/0/other.npy")
    given = ("model=stored", f"model.maps={stored}", *data, *NEGATIVES, "metrics=paper")
    with pytest.raises(MapsError, match="1 maps are missing"):
        run(tmp_path / "refused", *given)
    summary = run(tmp_path / "run", *given, "model.missing=skip")
    assert set(summary["condition"]) >= {"positive", "silence", "noise", "offscreen"}
    found = records(tmp_path / "run").set_index(["sample_id", "audio_condition", "draw"])
    assert "clip1_000010" not in found.index.unique("sample_id")
    expected = {
        (row["sample_id"], row["condition"], int(row["draw"])): np.load(path)
        for row in rows_of(plan)
        if (path := stored / row["map"]).is_file()
    }
    for key, values in zip(found.index, maps(found), strict=True):
        np.testing.assert_array_equal(values, expected[key].astype(np.float32).ravel())
    assert "missing maps,clip1_000010" in (tmp_path / "run/left_out.csv").read_text()
    assert "positive/0/other" in (tmp_path / "run/data_notes.csv").read_text()


@pytest.mark.parametrize(
    ("other", "named"), [("seed=1", "noise, draw 0"), ("negatives.noise.snr=3", "noise.snr=3")]
)
def test_maps_of_other_negatives_are_refused(
    data: tuple[str, ...], plan: Path, tmp_path: Path, other: str, named: str
) -> None:
    make_maps(plan, plan / "maps")
    given = ("model=stored", f"model.maps={plan / 'maps'}", *data, *NEGATIVES, other)
    with pytest.raises(UsageError, match=f"of other negatives than this run's: .*{named}"):
        run(tmp_path / "run", *given)


def test_a_run_is_known_by_the_content_of_its_maps(stored: Path) -> None:
    def identity(folder: Path, *more: str) -> str:
        return run_settings("model=stored", f"model.maps={folder}", *more).identity_hash

    before = identity(stored)
    assert identity(stored.rename(stored.with_name("moved"))) == before
    moved = stored.with_name("moved")
    assert identity(moved, "model.missing=skip") == before
    np.save(moved / "positive/0/clip0_000010.npy", np.ones((5, 6)))
    assert identity(moved) != before


def test_the_protocol_and_threshold_of_jsa(shared: Path, tmp_path: Path) -> None:
    """A run of annotations and maps alone has the public IoUs, success rate and AUC."""
    pack = shared / "data" / "stored_maps" / "vggss"
    expected = pd.read_csv(pack / "expected_iou.csv").set_index("id")["AUD_FINE"]
    summary = json.loads((pack / "expected_summary.json").read_text())["AUD_FINE"]
    found = run(
        tmp_path / "run", "model=stored", f"model.maps={pack / 'maps.npz'}", "model.key=AUD_FINE",
        "data=vggss", f"data.root={pack}", "data.annotation=vggss_annotations.json",
        "data.media=absent", "negatives=none", "protocol=jsa", "threshold=jsa",
        "metrics=[ciou,success_rate,auc]",
    )  # fmt: skip
    scores = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    own = scores[scores["threshold_policy"] == "jsa"].set_index("sample_id")["ciou"]
    np.testing.assert_allclose(own[expected.index], expected, rtol=0, atol=1e-4)
    numbers = found[found["threshold_policy"] == "jsa"].set_index("metric")["value"]
    assert numbers["success_rate"] == pytest.approx(summary["success_05"])
    assert numbers["auc"] == pytest.approx(summary["auc"])


def test_other_models_need_images_and_sounds(vggss_folder: Path, tmp_path: Path) -> None:
    options = ("data=vggss", f"data.root={vggss_folder}", "data.media=absent")
    with pytest.raises(UsageError, match=r"data\.media=absent: only model=stored needs no images"):
        run(tmp_path / "run", "model=center", *options)
    with pytest.raises(UsageError, match="a plan names images and sounds"):
        export_plan(run_settings("model=stored", *options), tmp_path / "plan")

"""Whole runs with seeded weights: released meets the authors' numbers, corrected listens."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.running import LEAN, command, maps, records, run, run_settings
from vssl.config.networks import make_network
from vssl.models.rcgrad import RCGradRaw
from vssl.models.weights import load_weights
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import Localization
from vssl.records.store import read_provenance

Array = npt.NDArray[Any]

PAPER = ("ezvsl", "slavc", "fnac", "lvs", "sslalign", "ssltie")
DEAF = ("audio_blind", "constant", "center")
CONDITIONS = ("positive", "silence", "noise", "offscreen")
ONE_DRAW = ("negatives.noise.draws=1", "negatives.offscreen.draws=1")
# the maps are what counts here
QUICK = ("threshold=fixed", "metrics=pia")

SILENCE_FROM_NOISE = {
    "ezvsl": 0.13,
    "slavc": 0.15,
    "fnac": 0.16,
    "lvs": 0.013,
    "sslalign": 0.03,
    "ssltie": 0.03,
    "rcgrad": 0.8,
    "rcgrad_raw": 0.035,
}
"""How far the maps of silence and noise lie apart at least, anywhere in each image, in map units.

About half of the smallest distance over the 13 images with the seeded weights; with the released
negatives it is at most 0.0005 for EZ-VSL, SLAVC and FNAC (docs/protocols.md, R2).
"""


def listens(found: pd.DataFrame) -> bool:
    """Whether another sound changes the map of every image by more than rounding."""
    largest = np.abs(maps(found)).max()
    images = [maps(rows) for _, rows in found.groupby("sample_id", observed=True)]
    changes = [(sounds.max(axis=0) - sounds.min(axis=0)).max() for sounds in images]
    return bool(min(changes) > 1e-3 * largest)


def of_condition(found: pd.DataFrame, condition: str, ids: list[str]) -> pd.DataFrame:
    """Rows of draw 0 of one audio condition, in the order of `ids`."""
    chosen = found[(found["audio_condition"] == condition) & (found["draw"] == 0)]
    return chosen.set_index("sample_id").loc[ids]


def silence_from_noise(found: pd.DataFrame) -> Array:
    """The largest distance between the maps of silence and of noise, by row."""
    silence, noise = (
        maps(found[found["audio_condition"] == condition]) for condition in ("silence", "noise")
    )
    return np.abs(silence - noise).max(axis=1)


@dataclass
class Released:
    """A run under protocol=released, and the folder of its golden numbers."""

    model: str
    golden: Path
    folder: Path
    records: pd.DataFrame

    def read(self, file: str) -> dict[str, Array]:
        folder = self.golden / ("rcgrad" if self.model == "rcgrad_raw" else self.model)
        with np.load(folder / file) as arrays:
            return dict(arrays)


@pytest.fixture(scope="module")
def released_run(
    shared: Path, seeded_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Released]:
    """Runs a model on a mini set as the released code does, with object maps; each run once."""
    done: dict[tuple[str, str], Released] = {}

    def make(model: str, data: str) -> Released:
        if (model, data) in done:
            return done[model, data]
        golden = shared / "golden" / "dev" / f"{data}_mini"
        checkpoint = "rcgrad" if model == "rcgrad_raw" else model
        manifests = golden / "rcgrad" if checkpoint == "rcgrad" else golden
        folder = tmp_path_factory.mktemp(f"{model}_{data}")
        run(
            folder,
            f"model={model}",
            f"model.weights={seeded_checkpoint(checkpoint)}",
            f"data={data}",
            f"data.root={shared / 'data' / f'{data}_mini'}",
            "protocol=released",
            f"negatives.manifest={manifests / 'negatives_manifest.csv'}",
            f"negatives.noise.file={shared / 'golden' / 'noise_bank.npy'}",
            "prior=object_guided",
            f"prior.weights={seeded_checkpoint('object_saliency')}",
            # the file holds one draw of noise; offscreen is drawn ten times, for RCGrad once
            *(ONE_DRAW if checkpoint == "rcgrad" else ONE_DRAW[:1]),
            *QUICK,
        )
        return done.setdefault((model, data), Released(model, golden, folder, records(folder)))

    return make


@pytest.fixture(
    scope="module",
    params=[(m, d) for m in (*PAPER, "rcgrad") for d in ("vggss", "is3")],
    ids="-".join,
)
def released(
    request: pytest.FixtureRequest, released_run: Callable[[str, str], Released]
) -> Released:
    return released_run(*request.param)


@pytest.mark.slow
class TestReleased:
    def test_the_authors_metrics_file(self, released: Released) -> None:
        """From files to percentages, over ten draws: every name, to 0.05 points."""
        if released.model == "rcgrad":
            pytest.skip("the released code has no thresholds for RCGrad")
        golden = json.loads((released.golden / released.model / "metrics_e2e.json").read_text())
        expected = golden["metrics"]
        rescored = command("vssl-rescore", f"run={released.folder}", "export=released",
                           *QUICK, "subsets=[]", "bootstrap.resamples=10",
                           cwd=released.folder)  # fmt: skip
        assert rescored.returncode == 0, rescored.stderr
        found = json.loads((released.folder / "released_metrics.json").read_text())
        assert set(found) == set(expected)
        for name, value in expected.items():
            # extremes of maps are in units of the map, a hundredth of a percentage
            tolerance = 0.0005 if "Heatmap" in name else 0.05
            assert found[name] == pytest.approx(value, abs=tolerance), name

    def test_similarity_maps(self, released: Released) -> None:
        expected = released.read("similarity_maps.npz")
        assert set(released.records["audio_condition"]) == set(CONDITIONS)
        largest = max(1.0, *(float(expected[condition].max()) for condition in CONDITIONS))
        for condition in CONDITIONS:
            rows = of_condition(released.records, condition, list(expected["ids"]))
            found = maps(rows).reshape(expected[condition].shape)
            difference = np.abs(found - expected[condition]).max()
            assert difference < 2e-5 * largest, condition
            assert difference < 2e-4, condition
            if condition == "offscreen":
                assert list(rows["audio_source_id"]) == list(expected["offscreen_ids"])

    def test_object_maps(self, released: Released) -> None:
        # RCGrad's golden data has none; another model's knows the same images
        other = released.golden / ("lvs" if released.model == "rcgrad" else released.model)
        with np.load(other / "similarity_maps.npz") as expected:
            for condition in CONDITIONS:
                rows = of_condition(released.records, condition, list(expected["ids"]))
                found = np.stack(rows["object_map"].to_list())
                flat = expected["object_saliency"].reshape(len(found), -1)
                np.testing.assert_allclose(found, flat, rtol=0, atol=1e-5)

    def test_silence_and_noise_are_one_stimulus_where_the_logarithm_is_missing(
        self, released: Released
    ) -> None:
        distance = silence_from_noise(released.records)
        if released.model in ("ezvsl", "slavc", "fnac"):
            assert distance.max() <= 5e-4
        else:
            assert distance.min() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("data", ["vggss", "is3"])
def test_localization_maps_of_rcgrad_are_the_published(
    released_run: Callable[[str, str], Released], data: str
) -> None:
    done = released_run("rcgrad", data)
    localization = Localization.of(read_provenance(done.folder / RECORDS_FILE))
    (rows,) = pq.read_table(done.folder / RECORDS_FILE).combine_chunks().to_batches()
    names, heard = (rows.column(c).to_pylist() for c in ("sample_id", "audio_condition"))
    place = {key: row for row, key in enumerate(zip(names, heard, strict=True))}
    found = localization.maps(rows)["av"].numpy()
    expected = done.read("published_maps.npz")
    for number, sample_id in enumerate(expected["ids"]):
        for condition in CONDITIONS:
            published = expected[condition][number]
            np.testing.assert_allclose(
                found[place[sample_id, condition]], published, rtol=0, atol=1e-4
            )


@pytest.mark.slow
def test_rcgrad_raw_is_the_cosine_of_the_authors_features(
    released_run: Callable[[str, str], Released], seeded_checkpoint: Callable[..., Path]
) -> None:
    """Image and audio vectors are theirs but for the image network, the cosine is NumPy's."""
    done = released_run("rcgrad_raw", "vggss")
    theirs = done.read("preprocessing.npz")
    network = RCGradRaw(standardization="released")
    load_weights(network, seeded_checkpoint("rcgrad"))
    with torch.inference_mode():
        features = network.eval().encode_image(torch.from_numpy(theirs["images"])).double().numpy()
    for condition in CONDITIONS:
        sounds = theirs[f"audio_embedding_{condition}"].astype(np.float64)
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(sounds, axis=1)[:, None, None]
        expected = np.einsum("nchw,nc->nhw", features, sounds) / lengths
        rows = of_condition(done.records, condition, list(theirs["ids"]))
        found = maps(rows).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
        assert np.ptp(expected) > 0.1


@pytest.fixture(scope="module", params=[*PAPER, "rcgrad", "rcgrad_raw", *DEAF])
def corrected(
    request: pytest.FixtureRequest,
    shared: Path,
    seeded_checkpoint: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, pd.DataFrame]:
    """A model's records under the corrected protocol, on the mini VGG-SS."""
    model: str = request.param
    folder = tmp_path_factory.mktemp(model)
    weights = []
    if model not in DEAF:
        checkpoint = seeded_checkpoint("rcgrad" if model == "rcgrad_raw" else model)
        weights = [f"model.weights={checkpoint}"]
    root = shared / "data" / "vggss_mini"
    run(folder, f"model={model}", *weights, "data=vggss", f"data.root={root}", *ONE_DRAW, *QUICK)
    return model, records(folder)


@pytest.mark.slow
class TestCorrected:
    def test_silence_and_noise_are_two_stimuli(self, corrected: tuple[str, pd.DataFrame]) -> None:
        model, found = corrected
        distance = silence_from_noise(found)
        if model in DEAF:
            assert distance.max() == 0
        else:
            assert distance.min() > SILENCE_FROM_NOISE[model]

    def test_values_lie_in_the_declared_range(self, corrected: tuple[str, pd.DataFrame]) -> None:
        model, found = corrected
        with torch.device("meta"):
            network = make_network(run_settings(f"model={model}", *LEAN).model)
        low, high = network.value_range
        values = maps(found)
        assert np.isfinite(values).all()
        # one unit in the last place above 1 is a cosine's rounding
        assert low - 1e-6 <= values.min() <= values.max() <= high + 1e-6
        assert (high == math.inf) == (model == "rcgrad")

    def test_models_listen_and_baselines_do_not(self, corrected: tuple[str, pd.DataFrame]) -> None:
        model, found = corrected
        assert listens(found) is (model not in DEAF)

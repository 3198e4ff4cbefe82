"""vssl from Python: the same runs as from the command line, and runs of objects."""

from __future__ import annotations

import copy
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from torch.utils.data import DataLoader, TensorDataset

import vssl
from tests.helpers.running import FAST, Halved, Loudness, command
from vssl.audio import CenterWindow
from vssl.config.compose import composed_config, quoted
from vssl.config.identity import described
from vssl.config.recipes import as_recipe
from vssl.core.arrays import Array
from vssl.core.hashing import file_sha256
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.frontends import LogSpectrogram
from vssl.metrics.pia import ImageArea
from vssl.models.tiny import Tiny
from vssl.models.weights import load_weights
from vssl.negatives.noise import Noise
from vssl.negatives.silence import Silence
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.universal import LearntThreshold, UniversalThreshold
from vssl.types import Sample

QUICK = ("cache=off", "trainer=cpu", "bootstrap.resamples=10", "subsets=[]")
FEW = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
METRICS = ["ciou", "pia"]


def same_records(one: vssl.Run, other: vssl.Run) -> None:
    """Check that two runs hold the same records and summary; the first is of the command line."""
    pd.testing.assert_frame_equal(one.records, other.records, check_exact=True)
    values = [run.summary.drop(columns=["config_hash", "model", "dataset"]) for run in (one, other)]
    pd.testing.assert_frame_equal(*values, check_exact=True)


def quick(model: Any, **given: Any) -> vssl.Run:
    """A small run."""
    usual = {"negatives": "silence", "threshold": "fixed", "metrics": METRICS, "overrides": QUICK}
    return vssl.evaluate(model, **(usual | given))


def commanded(folder: Path, *arguments: str) -> vssl.Run:
    """A run of the command line."""
    done = command("vssl-evaluate", *FAST, *arguments, f"output_dir={folder}", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return vssl.load_run(folder)


def test_import_is_light_and_help_is_a_tour() -> None:
    code = (
        "import sys, vssl; heavy = {'torch', 'pandas', 'hydra'} & set(sys.modules);"
        " assert not heavy, heavy; assert set(vssl.__all__) <= set(dir(vssl))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(vssl, name) is not None for name in vssl.__all__)
    assert all(f"vssl.{name} " in str(vssl.__doc__) for name in vssl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = vssl.evaluat


def test_by_names_it_is_the_command(
    vggss_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("model=tiny_av", "data=vggss", f"data.root={vggss_folder}", *QUICK, *FEW)
    options += ("metrics=[ciou,pia]", "threshold=[fixed]", "seed=3")
    expected = commanded(tmp_path / "command", *options)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VSSL_OUTPUTS", str(tmp_path / "outputs"))

    def again() -> vssl.Run:
        return vssl.evaluate(
            "tiny_av", data="vggss", root=vggss_folder, threshold="fixed", metrics=METRICS, seed=3,
            overrides=[*QUICK, *FEW], quiet=True,
        )  # fmt: skip

    run = again()
    same_records(expected, run)
    assert run.provenance["config_hash"] == expected.provenance["config_hash"]
    assert run.folder.name == run.provenance["config_hash"][:8]
    assert run.folder.is_relative_to(tmp_path / "outputs" / "tiny_av" / "vggss")
    written = (run.folder / "records.parquet").stat().st_mtime_ns
    assert again().folder == run.folder
    assert (run.folder / "records.parquet").stat().st_mtime_ns == written
    done = command("vssl-evaluate", *FAST, *options, cwd=tmp_path)  # takes it for finished, too
    assert "already evaluated" in done.stderr or str(run.folder) in done.stdout.replace("\n", "")
    assert (run.folder / "records.parquet").stat().st_mtime_ns == written


def test_a_part_of_a_reader_is_named(vggss_folder: Path, tmp_path: Path) -> None:
    ids = tmp_path / "three.txt"
    ids.write_text("clip0_000010\nclip1_000010\nclip2_000010\n")
    run = quick("center", data=VGGSS(vggss_folder, ids=ids, limit=2))
    digits = file_sha256(ids)[:8]
    assert run.provenance["dataset"] == f"vggss (three.txt: 3 ids, {digits}; first 2)"
    assert set(run.summary["coverage"]) == {2 / 3}
    assert run.provenance["ids"]["listed"] == 3


@pytest.mark.parametrize(("name", "reader"), [("vggss", VGGSS), ("is3", IS3)])
def test_samples_and_readers_of_real_data_are_the_command(
    shared: Path, tmp_path: Path, name: str, reader: type[VGGSS | IS3]
) -> None:
    root = shared / "data" / f"{name}_mini"
    few = (*QUICK, *FEW, "metrics=[ciou,pia]", "threshold=[fixed]")
    words = ("model=tiny_av", f"data={name}", f"data.root={root}")
    expected = commanded(tmp_path / "named", *words, *few)
    given = quick("tiny_av", data=reader(root), negatives="all", overrides=[*QUICK, *FEW])
    same_records(expected, given)
    assert given.provenance["dataset"] == name
    samples = list(reader(root).check().samples)
    named = [*QUICK, *FEW, f"data.name={name}"]
    listed = quick("tiny_av", data=samples, negatives="all", overrides=named)
    same_records(expected, listed)
    assert list(listed.folder.glob("samples-*.json"))


def test_a_network_is_the_same_model(vggss_folder: Path, tmp_path: Path) -> None:
    options = ("data=vggss", f"data.root={vggss_folder}", *QUICK, *FEW, "threshold=[fixed]")
    expected = commanded(tmp_path / "named", "model=tiny_av", *options, "metrics=[ciou,pia]")
    facts = composed_config("evaluate", ["model=tiny_av"]).model
    network = Tiny(**facts.arguments)
    load_weights(network, Path(facts.weights))
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    run = quick(network, data="vggss", root=vggss_folder, frontend="tiny_av", negatives="all",
                overrides=[*QUICK, *FEW])  # fmt: skip
    same_records(expected, run)
    assert network.training
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
    assert run.provenance["weights"] is None
    assert run.provenance["network"]["_target_"] == "vssl.models.tiny.Tiny"
    assert len(run.provenance["network"]["sha256"]) == 64
    assert "network" not in expected.provenance


class Product(torch.nn.Module):
    """What `Loudness` does, as a module that knows nothing of vssl."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        loud = sounds.mean((1, 2, 3)).tanh()
        return self.factor * images.mean(1, keepdim=True).tanh() * loud[:, None, None, None]


def test_any_module_will_do(vggss_folder: Path) -> None:
    common = {"data": "vggss", "root": vggss_folder, "frontend": "ezvsl", "name": "it",
              "overrides": [*QUICK, "model.image.size=32"]}  # fmt: skip
    expected = quick(Loudness(), **common)
    module = Product()
    run = quick(module, value_range=(-1, 1), **common)
    same_records(expected, run)
    assert run.name == "it-vggss-corrected"
    assert run.provenance["network"]["_target_"] == "tests.test_api.Product"
    with torch.no_grad():
        module.factor += 1
    other = quick(module, **common)
    hashes = {each.provenance["network"]["sha256"] for each in (expected, run, other)}
    assert len(hashes) == 3
    assert len({each.provenance["network_hash"] for each in (expected, run, other)}) == 3
    with pytest.raises(vssl.UsageError, match=r"outside|range"):
        quick(module, value_range=(0, 0.001), **common)


def test_object_guided_maps_of_a_module(vggss_folder: Path, prior_file: Path) -> None:
    run = quick(
        Product(), data="vggss", root=vggss_folder, frontend="ezvsl", value_range=(-1, 1),
        prior="object_guided", threshold="object_area",
        overrides=[*QUICK, f"prior.weights={prior_file}"],
    )  # fmt: skip
    assert list(run.table.index) == ["object_area", "object_area, object-guided"]
    first = run.sample_ids[0]
    own, guided = (run.localization_maps(first, variant=each) for each in ("av", "ogl"))
    assert own.keys() == guided.keys() == run.maps(first).keys()
    assert not np.array_equal(own["positive", 0], guided["positive", 0])


class Trained(pl.LightningModule):
    """A network that is evaluated at the end of its epochs."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.inner = Product()
        self.root = root

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.inner(images, sounds)
        return maps

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self(*batch).mean()

    def on_train_epoch_end(self) -> None:
        run = quick(self, data="vggss", root=self.root, frontend="ezvsl", quiet=True)
        self.log("area", float(run.table.loc["fixed", ("pia", "silence")]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_network_is_evaluated_while_it_is_trained(vggss_folder: Path) -> None:
    batches = DataLoader(TensorDataset(torch.randn(2, 3, 32, 32), torch.randn(2, 1, 9, 9)))
    module = Trained(vggss_folder)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, batches)
    assert module.inner.factor != 1
    assert module.training
    assert 0 <= trainer.callback_metrics["area"] <= 1


class Median(LearntThreshold):
    """A policy that cannot be made from attributes of its arguments' names."""

    def __init__(self, share: float) -> None:
        super().__init__(name="median")
        self._quantile = share

    def level(self, maxima: Array) -> float:
        return float(np.quantile(maxima, self._quantile))


def test_conditions_thresholds_and_metrics_may_be_objects(
    vggss_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = UniversalThreshold(name="mine", statistic="mean", factor=1.0)
    few = ["bootstrap.resamples=10"]
    run = vssl.evaluate(
        "tiny_av", data="vggss", root=vggss_folder, negatives=["silence", Noise(draws=3), Halved()],
        threshold=[mine, "universal_max", Median(0.5)], metrics=["ciou", ImageArea()],
        overrides=QUICK,
    )  # fmt: skip
    kinds = run.records.groupby("audio_condition", sort=False)["draw"].nunique().to_dict()
    assert kinds == {"positive": 1, "silence": 1, "noise": 3, "halved": 1}
    named = vssl.evaluate(
        "tiny_av", data="vggss", root=vggss_folder, negatives=["silence", "noise"],
        threshold=FixedThreshold(value=0.5), metrics=METRICS,
        overrides=[*QUICK, "negatives.noise.draws=3"],
    )  # fmt: skip
    same = run.records[run.records["audio_condition"] != "halved"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, named.records)

    def rows(policy: str) -> pd.DataFrame:
        chosen = run.summary[run.summary["threshold_policy"] == policy]
        return chosen.drop(columns="threshold_policy").reset_index(drop=True)

    before = {name: rows(name) for name in ("mine", "universal_max", "median")}
    pd.testing.assert_frame_equal(before["mine"], before["universal_max"])
    # what can be made again is learnt again, for the intervals of a later score
    run = vssl.score(run, threshold="fixed", metrics=METRICS, overrides=few)
    assert list(run.table.index) == ["universal_max", "mine", "median", "fixed"]
    pd.testing.assert_frame_equal(rows("mine"), before["mine"])
    assert rows("mine")["share_threshold"].notna().any()
    assert rows("median")["value"].equals(before["median"]["value"])
    assert "median" in caplog.text
    assert "an object of a Python program" in caplog.text
    noted = run.folder / "thresholds.json"  # of a class that is not at hand any more
    noted.write_text(noted.read_text().replace("universal.UniversalThreshold", "gone.Gone"))
    run = vssl.score(run, threshold="fixed", metrics=METRICS, overrides=few)
    assert "threshold mine" in caplog.text


def test_objects_are_known_by_all_of_their_settings() -> None:
    short, long = (LogSpectrogram(CenterWindow(seconds=n)) for n in (3, 4))
    again = LogSpectrogram(CenterWindow(seconds=3))
    assert described(short.eval()) == described(again) != described(long)
    first, other = Product(), Product()
    assert described(first) == described(other.train())
    other.scale = 2.0
    assert described(first) != described(other)
    assert described(lambda: None) != described(lambda: None), "what cannot be read is no other's"
    # written down where that makes them again, else kept
    fixed = as_recipe(FixedThreshold(value=0.7, name="strict"))
    assert fixed == {
        "_target_": "vssl.thresholds.base.FixedThreshold", "value": 0.7, "name": "strict",
    }  # fmt: skip
    assert as_recipe(ImageArea()) == {"_target_": "vssl.metrics.pia.ImageArea"}
    beside_clip = Noise(draws=3, snr=10.0)
    kept = as_recipe(beside_clip)
    assert isinstance(kept, Noise)
    assert kept is not beside_clip


def test_it_runs_inside_of_an_application_of_hydra_s(vggss_folder: Path) -> None:
    with initialize_config_module("vssl.conf", version_base="1.3"):
        samples = list(VGGSS(vggss_folder).check().samples)
        runs = [quick("center", data=samples) for _ in range(2)]
        assert compose("rescore", overrides=["run=x"]).run == "x"
    same_records(*runs)
    folder = runs[0].folder
    assert folder.is_dir()
    del runs
    gc.collect()
    assert not folder.exists()


def test_a_finished_run_of_objects_is_taken_as_it_is(vggss_folder: Path, tmp_path: Path) -> None:
    samples = list(VGGSS(vggss_folder).check().samples)
    few = {"negatives": Silence(), "output_dir": tmp_path / "it's"}
    times = []
    for force in (False, False, True):
        run = quick("center", data=samples, force=force, **few)
        times.append((run.folder / "records.parquet").stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]
    moved = [replace(samples[0], boxes=((0, 0, 50, 50),)), *samples[1:]]
    with pytest.raises(vssl.UsageError, match="another configuration"):
        quick("center", data=moved, **few)


def test_what_a_run_gives(vggss_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    samples = list(VGGSS(vggss_folder).check().samples)
    run = quick("tiny_av", data=samples)
    assert capfd.readouterr() == ("", "")
    assert repr(run) == "Run('tiny_av-samples-corrected': 6 samples; positive, silence)"
    assert run._repr_html_().count("<tr") == 4
    row = run.records[run.records["audio_condition"] == "silence"].iloc[2]
    native = run.maps(row["sample_id"])
    assert list(native) == [("positive", 0), ("silence", 0)]
    assert np.array_equal(native["silence", 0].ravel(), row["similarity_map"])
    upsampled = run.localization_maps(row["sample_id"])["silence", 0]
    scores = run.scores.query("audio_condition == 'silence' and threshold_policy == 'fixed'")
    area = scores.set_index("sample_id").loc[row["sample_id"], "pia"]
    assert float((upsampled > 0.5).mean()) == area
    for fault, error in (
        (lambda: run.maps("clip9"), "has no sample `clip9`, but e.g. clip0_000010"),
        (lambda: run.localization_maps(row["sample_id"], variant="ogl"), "variant"),
        (lambda: vssl.load_run(vggss_folder), "no such file"),
    ):
        with pytest.raises(vssl.UsageError, match=error):
            fault()


class Odd(torch.nn.Module):
    """A network that gives no maps."""

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3)) + sounds.mean()


class Changing(torch.nn.Module):
    """A module that overwrites its input, or does not."""

    def __init__(self, *, in_place: bool = True) -> None:
        super().__init__()
        self.in_place = in_place

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        maps = images.mean(1)[:, ::8, ::8] * sounds.mean((1, 2, 3)).view(-1, 1, 1)
        if self.in_place:
            images.zero_()
            sounds.zero_()
        return maps


def test_a_module_may_work_in_place(vggss_folder: Path) -> None:
    few = {"data": "vggss", "root": vggss_folder, "frontend": "ezvsl"}
    same_records(*(quick(Changing(in_place=each), **few) for each in (True, False)))


def test_threads_evaluate_one_after_the_other(vggss_folder: Path) -> None:
    samples = VGGSS(vggss_folder).check().samples
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: quick("tiny_av", data=samples, quiet=True), range(3)))
    same_records(runs[0], runs[1])
    same_records(runs[0], runs[2])


class Interrupted(Product):
    """A module in the midst of whose run the user presses Ctrl-C."""

    calls = 0

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        Interrupted.calls += 1
        if Interrupted.calls == 6:
            signal.raise_signal(signal.SIGINT)
        return super().forward(images, sounds)


def test_ctrl_c_ends_a_run_that_goes_on_later(vggss_folder: Path, tmp_path: Path) -> None:
    few = {"data": "vggss", "root": vggss_folder, "frontend": "ezvsl", "output_dir": tmp_path,
           "overrides": [*QUICK, "loader.batch_size=2", "shard_seconds=0"]}  # fmt: skip
    Interrupted.calls = 0
    with pytest.raises(KeyboardInterrupt):
        quick(Interrupted(), **few)
    assert list((tmp_path / "shards").iterdir())
    before = Interrupted.calls
    run = quick(Interrupted(), **few)
    assert Interrupted.calls - before < 1 + 2 * len(run.sample_ids) / 2  # the probe, and the rest
    whole = quick(Product(), **{**few, "output_dir": None})
    same_maps = run.records["similarity_map"].map(tuple), whole.records["similarity_map"].map(tuple)
    pd.testing.assert_series_equal(*same_maps, check_exact=True)


def test_a_temporary_folder_lives_as_long_as_copies_of_its_run(vggss_folder: Path) -> None:
    samples = (each for each in VGGSS(vggss_folder).check().samples)
    run = quick("center", data=samples, negatives=iter(["silence"]), overrides=iter(QUICK))
    copied, folder = copy.deepcopy(run), run.folder
    del run
    gc.collect()
    assert len(copied.summary)
    if (child_id := os.fork()) == 0:  # the folder is not its own
        del copied
        gc.collect()
        os._exit(0)
    os.waitpid(child_id, 0)
    assert folder.is_dir()
    del copied
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["a b, c=d", "it's", 'a"b', "${x}", "\\${x}", "end\\", "\\'", "ü[{"]
)
def test_any_text_can_be_a_path_or_a_name(name: str, tmp_path: Path) -> None:
    config = composed_config(
        "evaluate", [f"output_dir={quoted(tmp_path / name)}", f"model.name={quoted(name)}"]
    )
    assert (config.output_dir, config.model.name) == (str(tmp_path / name), name)


class Shaped(torch.nn.Module):
    """Maps with something done to them."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
        return self.change(images.mean(1)[:, ::8, ::8])


FAULTS = {
    "a model that is not there": ({"model": "ezvls"}, "Did you mean `ezvsl`"),
    "a model of another kind": ({"model": 3}, "a name or a torch.nn.Module, but got int"),
    "a negative that is not there": ({"negatives": ["silense"]}, "Did you mean `silence`"),
    "a threshold that is none": ({"threshold": 0.5}, "Expected `threshold` to be names"),
    "an option that is not there": ({"overrides": ["data.scens=1"]}, "Did you mean data.scenes"),
    "a launcher that is not there": ({"overrides": "hydra/launcher=jolib"}, "mean `joblib`"),
    "options of a reader": ({"data": VGGSS("x"), "overrides": ["data.missing=skip"]},
                            "a reader has its options already"),
    "several devices": ({"overrides": "trainer=ddp_sim"}, "a run from Python has one device"),
    "a value that cannot be": ({"seed": -1}, "Expected `seed` to be"),
    "an image beside a name": ({"image": "clip"}, "image: is of a network"),
    "weights beside a network": ({"model": Odd(), "weights": "a.pth"}, "weights: a network has"),
    "no front end": ({"model": Odd()}, "frontend: Odd takes sounds"),
    "a front end that is not there": ({"model": Odd(), "frontend": "evsl"}, "Did you mean"),
    "no maps": ({"model": Odd(), "frontend": "ezvsl"}, r"Odd to give maps \[N, h, w\]"),
    "no network": ({"model": torch.nn.Flatten(), "frontend": "ezvsl"}, "Flatten does not take"),
    "a range that is declared": ({"model": Loudness(), "frontend": "ezvsl", "value_range": (0, 1)},
                                 "value_range: Loudness declares it"),
    "no samples": ({"data": []}, "lists no samples"),
    "samples of another kind": ({"data": ["a.jpg"]}, "Expected `data` to be a list of"),
    "a root beside samples": ({"data": [], "root": "x"}, "root: is of a test set that is named"),
    "files that are not there": ({"data": [Sample("a", Path("a.jpg"), Path("a.wav"), "dog",
                                 boxes=((0, 0, 90, 90),))], "negatives": "none"},
                                 "1 missing images; 1 missing audio"),
    "a box in place of boxes": ({"data": [Sample("a", Path("a.jpg"), Path("a.wav"),
                                boxes=(1, 2, 3, 4))]}, "data: sample 0, `a`, does not hold"),
    "a weight that is none": ({"data": [Sample("a", Path("a.jpg"), Path("a.wav"),
                              boxes=((0, 0, 90, 90),), box_weights=(float("nan"),))]},
                              r"`box_weights` are \[nan\](.|\n)*Mend the samples"),
    "classes as one text": ({"data": [Sample("a", Path("a.jpg"), Path("a.wav"), "dog",
                            image_categories="dog", boxes=((0, 0, 90, 90),))]},
                            "`image_categories` is 'dog', not a list"),
    "negatives of one name": ({"negatives": [Noise(draws=1), Noise(draws=2)]},
                              "negatives: two are called `noise`"),
    "a name and an object": ({"threshold": ["fixed", FixedThreshold(value=0.2)]},
                             "threshold: two are called `fixed`"),
    "a folder without a name": ({"output_dir": ""}, "Expected `output_dir` to be a path"),
    "a file for a folder": ({"output_dir": __file__}, "output_dir: .*: File exists. Set another"),
    "a folder in overrides": ({"data": [], "overrides": "output_dir=x"},
                              "output_dir is an argument of vssl.evaluate"),
    "a calibration of another kind": ({"calibration": 3}, "Expected `calibration` to be a path"),
    "overrides of another kind": ({"overrides": None}, "Expected `overrides` to be options as"),
    "an image transform that is none": ({"model": Product(), "frontend": "ezvsl", "image": 3},
                                        "Expected `image` to be a name or a transform"),
    "an image name that is not there": ({"model": Product(), "frontend": "ezvsl", "image": "clp"},
                                        r"`model/image` to be one of(.|\n)*mean `clip`"),
    "a front end of another kind": ({"model": Product(), "frontend": 3},
                                    "Expected `frontend` to be a name"),
    "a range in the wrong order": ({"model": Product(), "frontend": "ezvsl", "value_range": (1, 0)},
                                   "Expected `value_range` to be a lowest and a highest"),
    "maps without a pixel": ({"model": Shaped(lambda maps: maps[:, :0]), "frontend": "ezvsl"},
                             r"to give maps \[N, h, w\].*got \[1, 0, 28\]"),
    "complex maps": ({"model": Shaped(lambda maps: maps + 0j), "frontend": "ezvsl"},
                     "maps of plain real numbers, but got torch.complex64"),
    "sparse maps": ({"model": Shaped(torch.Tensor.to_sparse), "frontend": "ezvsl"},
                    "maps of plain real numbers, but got torch.float32"),
    "maps of several sizes": ({"model": Shaped(lambda maps: maps[:, : len(maps) * 4]),
                              "frontend": "ezvsl", "overrides": "data.scenes=2"},
                              r"have the size \[4, 28\] of its first"),
    "boxes in shares": ({"data": [Sample("a", Path("a.jpg"), Path("a.wav"), "dog",
                        boxes=((0.1, 0.1, 0.5, 0.5),))], "negatives": []}, "1 empty ground truths"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_argument_and_the_mend(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given, error = FAULTS[fault]
    with pytest.raises(vssl.UsageError, match=error):
        vssl.evaluate(**{"model": "center", **given})  # type: ignore[arg-type]

"""The object prior: where its weights are looked for, and which image it gets.

Its maps are compared with the authors' in tests/runs/test_golden_runs.py.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.running import run, run_settings
from vssl.config.build import build_transforms
from vssl.core.hashing import file_sha256
from vssl.models.checkpoints import WeightsError
from vssl.models.object_prior import find_weights
from vssl.records.files import RECORDS_FILE
from vssl.records.store import read_provenance

QUICK = ("negatives=silence", "threshold=fixed", "metrics=pia")
NEWER, OLDER = "resnet18-f37072fd.pth", "resnet18-5c106cde.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub: no test sees the machine's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


class TestWhereWeightsAreLookedFor:
    @pytest.mark.parametrize(
        ("there", "expected"),
        [
            ([], None),
            ([("hub", OLDER)], ("hub", OLDER)),
            ([("hub", OLDER), ("hub", NEWER)], ("hub", NEWER)),
            ([("second", OLDER), ("hub", NEWER)], ("second", OLDER)),
            ([("second", NEWER), ("first", OLDER), ("hub", NEWER)], ("first", OLDER)),
            ([("first", "resnet18.pth"), ("hub", "resnet50-0676ba61.pth")], None),
        ],
    )
    def test_folders_come_before_the_cache(
        self, hub: Path, tmp_path: Path, there: list[tuple[str, str]], expected: Any
    ) -> None:
        folders = {"first": tmp_path / "first", "second": tmp_path / "second", "hub": hub}
        for folder, name in there:
            folders[folder].mkdir(exist_ok=True)
            (folders[folder] / name).touch()
        found = find_weights(folders["first"], folders["second"])
        assert found == (expected and folders[expected[0]] / expected[1])

    def test_a_named_file_comes_first(self, hub: Path, tmp_path: Path) -> None:
        (hub / NEWER).touch()
        weights = tmp_path / "weights"
        guided = ("prior=object_guided", f"paths.weights={weights}")
        assert run_settings(*guided).prior.find_weights() == hub / NEWER
        weights.mkdir()
        (weights / OLDER).touch()
        assert run_settings(*guided).prior.find_weights() == weights / OLDER
        named = run_settings(*guided, "prior.weights='~/own.pth'")
        assert named.prior.find_weights() == Path("~/own.pth").expanduser()

    def test_none_is_an_error_that_says_where_to_get_them(
        self, hub: Path, vggss_folder: Path, tmp_path: Path
    ) -> None:
        data = ("data=vggss", f"data.root={vggss_folder}", *QUICK)
        guided = ("model=center", *data, "prior=object_guided")
        with pytest.raises(WeightsError) as caught:
            run(tmp_path / "run", *guided, f"paths.weights={tmp_path / 'weights'}")
        for text in (
            f"{NEWER} or {OLDER}: no such file",
            "prior=object_guided needs torchvision's ImageNet ResNet-18",
            f"https://download.pytorch.org/models/{NEWER}",
            f"paths.weights ({tmp_path / 'weights'})",
            f"torch.hub's cache ({hub})",
            "prior.weights=FILE",
        ):
            assert text in str(caught.value)
        lost = tmp_path / "lost.pth"
        with pytest.raises(WeightsError, match=f"^{re.escape(str(lost))}: no such file"):
            run(tmp_path / "run", *guided, f"prior.weights={lost}")
        assert not list((tmp_path / "run").glob("*.parquet"))

    def test_the_cache_is_used_and_named_in_the_provenance(
        self, hub: Path, prior_file: Path, vggss_folder: Path, tmp_path: Path
    ) -> None:
        shutil.copy(prior_file, hub / OLDER)
        data = ("data=vggss", f"data.root={vggss_folder}", *QUICK)
        none_there = f"paths.weights={tmp_path / 'weights'}"
        run(tmp_path / "run", "model=center", *data, "prior=object_guided", none_there)
        facts = read_provenance(tmp_path / "run" / RECORDS_FILE)["prior"]
        assert facts["file"] == OLDER
        assert facts["sha256"] == file_sha256(prior_file)
        assert (facts["alpha"], facts["scale"]) == (0.4, "corrected")

    def test_a_wrong_hash_is_refused(
        self, prior_file: Path, vggss_folder: Path, tmp_path: Path
    ) -> None:
        data = ("data=vggss", f"data.root={vggss_folder}", *QUICK)
        guided = ("prior=object_guided", f"prior.weights={prior_file}")
        with pytest.raises(WeightsError, match=r"prior\.sha256 says 0+\. .*prior\.sha256=null"):
            run(tmp_path / "run", "model=center", *data, *guided, f"prior.sha256='{'0' * 64}'")


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_it_gets_imagenets_image_whatever_the_model_takes(protocol: str) -> None:
    """RCGrad takes images as CLIP does, Center as ImageNet networks do."""
    pixels = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))
    images = {}
    for model in ("center", "rcgrad"):
        settings = run_settings(f"model={model}", "prior=object_guided", f"protocol={protocol}")
        transform, own = build_transforms(settings)
        assert (own is None) == (model == "center")
        images[model] = (own or transform)(pixels)
        assert own is None or not torch.allclose(transform(pixels), images[model], atol=0.1)
    torch.testing.assert_close(images["center"], images["rcgrad"], rtol=0, atol=1e-6)

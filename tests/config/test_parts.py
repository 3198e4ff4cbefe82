"""A model with two files: each fills its part, and counts for itself wherever weights count."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vssl
from tests.helpers.running import FAST, composed
from vssl.cli.localize import joined_weights, weights_file
from vssl.cli.models import check_file, show_models
from vssl.config.catalog import read_entries
from vssl.config.networks import check_network_options
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.extras import MissingExtraError
from vssl.core.hashing import file_sha256
from vssl.localize.setup import LocalizeOptions, set_up
from vssl.models.checkpoints import WeightsError
from vssl.models.weights import load_weights
from vssl.runs.audit import saved_config

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "own_model"
FEW = (*FAST, "data.scenes=2", "bootstrap.resamples=10", "subsets=[]", "negatives=silence")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Both files of the example of docs/own-model.md, the image network's in two pieces."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from mynets.two_files import TwoFiles, audio_network

    image, up, down = TwoFiles().image.state_dict(), torch.randn(64, 2), torch.randn(2, 768)
    paths = {"image": tmp_path / "frames.pth", "audio": tmp_path / "sounds.pth"}
    torch.save({"state_dict": {**image, "up": up, "down": down}}, paths["image"])
    torch.save({"weights": audio_network(5).state_dict(), "hidden": 5}, paths["audio"])
    return paths


@pytest.fixture
def words(files: dict[str, Path]) -> tuple[str, ...]:
    """Options for the example with its files."""
    search = f"hydra.searchpath=[file://{EXAMPLE / 'conf'}]"
    return (search, "model=two_files", f"paths.weights={files['image'].parent}")


def hashes(files: dict[str, Path]) -> dict[str, str]:
    return {part: file_sha256(path) for part, path in files.items()}


def test_files_are_converted_and_followed(files: dict[str, Path]) -> None:
    from mynets.two_files import TwoFiles

    network = TwoFiles()
    reports = {part: load_weights(network, path, part=part) for part, path in files.items()}
    saved = torch.load(files["image"])["state_dict"]
    merged = saved["weight"] + (saved["up"] @ saved["down"]).view(64, 3, 16, 16)
    torch.testing.assert_close(network.image.weight.data, merged, rtol=0, atol=0)
    assert network.audio[0].out_channels == 5
    assert {part: report.sha256 for part, report in reports.items()} == hashes(files)
    assert reports["image"].used == 64 * 3 * 16 * 16 + 64
    with pytest.raises(WeightsError, match="takes a file for each of its parts image, audio"):
        load_weights(network, files["image"])
    other = files["image"].with_name("other.pth")  # a file that was loaded is mapped into memory
    torch.save({"weights": network.audio.state_dict()}, other)
    with pytest.raises(WeightsError, match=r"other\.pth: says hidden=None"):
        load_weights(network, other, part="audio")
    torch.save({key: value.half() for key, value in network.image.state_dict().items()}, other)
    with pytest.raises(WeightsError, match=r"2 unfit: bias is float16 \[64\], not float32 \[64\]"):
        load_weights(network, other, part="image")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.weights.audio=no", r"no: no such file.*pretrained by others.*weights\.audio=FILE"),
        ("model.weights.audio=null", r"model\.weights\.audio is not set: .*pretrained by others"),
        ("model.weights=x", r"is one file, but two_files takes model\.weights\.image=FILE model"),
        ("model.weights.text=x", "is of the part text, but two_files takes"),
        ("model.sha256.audio=12", r"`model\.sha256\.audio` to be null .any file. or the 64 hex"),
    ],
)
def test_faults_are_found_before_any_work(
    words: tuple[str, ...], change: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_network_options(RunSettings.of(composed(*words, *FEW, change)))


def test_a_run_keeps_each_hash(
    files: dict[str, Path], words: tuple[str, ...], tmp_path: Path
) -> None:
    search, *_ = words
    run = vssl.evaluate(
        "two_files", weights=files, overrides=[search, *FEW], output_dir=tmp_path / "run",
        negatives="silence", threshold="fixed", metrics="pia", data="synthetic",
    )  # fmt: skip
    facts = run.provenance["weights"]
    assert facts["sha256"] == hashes(files)
    assert {part: each["file"] for part, each in facts["parts"].items()} == {
        "image": "frames.pth", "audio": "sounds.pth"
    }  # fmt: skip
    settings = RunSettings.of(composed(*words, *FEW))
    assert settings.map_unit["weights_sha256"] == facts["sha256"]
    there = RunSettings.of(composed(*words[:2], *FEW, "paths.weights=w"))
    kept = {
        "config": there.config, "working_directory": "/there", "identity": {"data": {}},
    }  # fmt: skip
    assert saved_config(kept).model.weights == {
        "image": "/there/w/frames.pth", "audio": "/there/w/sounds.pth"
    }  # fmt: skip
    other = shutil.copy(files["audio"], tmp_path / "other.pth")
    same = RunSettings.of(composed(*words, *FEW, f"model.weights.audio={other}"))
    assert same.identity_hash == settings.identity_hash, "files count by their content"
    torch.save({**torch.load(other), "epoch": 2}, other)
    changed = RunSettings.of(composed(*words, *FEW, f"model.weights.audio={other}"))
    assert changed.identity_hash != settings.identity_hash

    options = LocalizeOptions(
        "two_files", weights={"audio": Path(other)}, threshold=0.5, noise_draws=1,
        overrides=[*words[:1], *words[2:], "trainer=cpu"],
    )  # fmt: skip
    given = {"image": file_sha256(files["image"]), "audio": file_sha256(Path(other))}
    assert set_up(options).sources.startswith(
        f"model two_files; weights image {given['image'][:8]}, audio {given['audio'][:8]}; "
    )


def test_values_of_localize_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert joined_weights([]) is None
    assert joined_weights([weights_file("a.pth")]) == Path("a.pth")
    both = [weights_file(word) for word in ("image=a=b.pth", "audio=c.pth")]
    assert joined_weights(both) == {"image": Path("a=b.pth"), "audio": Path("c.pth")}
    Path("image=a.pth").touch()
    assert joined_weights([weights_file("image=a.pth")]) == Path("image=a.pth")
    for wrong in (["a", "b"], ["image=a", "b"], ["image=a", "image=b"]):
        with pytest.raises(UsageError, match=r"--weights: give one FILE, or PART=FILE once"):
            joined_weights([weights_file(word) for word in wrong])


NEEDY = """
from vssl.core.extras import extra
from vssl.models.base import LocalizationModel

with extra("models"):
    import not_installed_here.networks


class Needy(LocalizationModel):
    pass
"""


def test_parts_and_missing_libraries_are_listed(
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config_folder: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config_folder(tmp_path / "conf")
    shutil.copytree(EXAMPLE / "conf" / "model", tmp_path / "conf" / "model")
    needy: Any = tmp_path / "conf" / "model" / "needy.yaml"
    needy.write_text("defaults:\n  - image: imagenet\nname: needy\n_target_: needy_net.Needy\n")
    (tmp_path / "needy_net.py").write_text(NEEDY)
    monkeypatch.syspath_prepend(str(tmp_path))
    install = "pip install 'vssl[models]'"
    entries = read_entries([f"paths.weights={tmp_path}"], ("two_files", "needy", "tiny_av"))

    show_models(entries)
    shown = capsys.readouterr().out
    assert f"needy: needs {install}\n" in shown
    for part, digest in hashes(files).items():
        assert f"two_files, part {part}: {files[part]}, sha256 {digest}, " in shown
    assert "image MIT; audio not stated" in shown

    check_file(files["audio"], entries)
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith("; holds weights (4 entries), hidden")
    assert "  fits two_files, part audio: " in said
    assert f"  not compared with needy: {install}\n" in said

    network = torch.load(files["image"])["state_dict"]
    unfit = {**network, "weight": torch.zeros(3), "head.a": torch.zeros(2), "loss.b": torch.ones(1)}
    del unfit["bias"], unfit["up"]
    torch.save({"state_dict": unfit}, tmp_path / "unfit.pth")
    with pytest.raises(UsageError, match="fits no model that it was compared with"):
        check_file(tmp_path / "unfit.pth", entries, why=True)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first = next(n for n, line in enumerate(lines) if line.startswith("not two_files, part image"))
    assert lines[first + 1 : first + 5] == [
        "missing: bias, float32 [64]",
        "unknown: down, float32 [2, 768]",
        "unknown: head.a, float32 [2]",
        "unfit: weight is float32 [3], not float32 [64, 3, 16, 16]",
    ]

    with pytest.raises(MissingExtraError, match=r"^model needy needs not_installed_here: pip inst"):
        check_network_options(RunSettings.of(composed("model=needy", *FEW)))

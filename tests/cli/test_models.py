"""vssl-models: the table of all models, and whose a checkpoint is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vssl.cli.models import check_file, show_models
from vssl.config.catalog import Entry, read_entries
from vssl.config.compose import group_names
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.models.base import LocalizationModel
from vssl.models.checkpoints import WeightsError

CONF = Path(__file__).resolve().parents[2] / "conf"
BUNDLED = CONF.parent / "vssl" / "models" / "bundled"
PRIOR = "prior=object_guided"
FITS = {
    "ezvsl": {"ezvsl", "fnac"},
    "fnac": {"ezvsl", "fnac"},
    "slavc": {"slavc"},
    "lvs": {"lvs", "sslalign"},
    "sslalign": {"lvs", "sslalign"},
    "ssltie": {"ssltie", "sslsan"},
    "rcgrad": {"rcgrad", "rcgrad_raw"},
    "object_saliency": {PRIOR, "sacl, part image"},
}
"""Published checkpoint -> models with that layout."""


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return read_entries(["paths.weights=/nowhere"])


def checked(path: Path, entries: list[Entry], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What `--check --why` says of each model."""
    check_file(path, entries, why=True)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    said = [line for line in lines if line.startswith(("fits ", "not "))]
    return {line.partition(":")[0].partition(" ")[2]: line for line in said}


def test_every_model_is_listed_with_its_paper(
    entries: list[Entry], capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.stem for path in (CONF / "model").glob("*.yaml")}
    assert {entry.name for entry in entries} == names | {PRIOR}
    show_models(entries)
    printed = capsys.readouterr().out
    for entry in entries:
        assert entry.name in printed
        if entry.network.checkpoint is None:
            continue
        for fact in ("paper", "year", "licence"):
            assert entry.settings.group[fact], entry.name
        for part in entry.layouts:
            bundled = entry.settings.source_of(part).startswith("bundled")
            file = f"{BUNDLED}/{entry.name}.safetensors, sha256 "
            place = file if bundled else "not found at /nowhere/"
            assert f"{entry.named(part)}: {place}" in printed
    assert "220" not in printed  # nothing is made up where no file is


@pytest.mark.parametrize("name", FITS)
def test_whose_a_published_checkpoint_is(
    shared: Path,
    seeded_checkpoint: Callable[..., Path],
    entries: list[Entry],
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    said = checked(seeded_checkpoint(name), entries, capsys)
    assert {model for model, line in said.items() if line.startswith("fits")} == FITS[name]
    assert set(said) == {entry.named(part) for entry in entries for part in entry.layouts}
    layout = json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())[name]
    values = sum(torch.Size(entry["shape"]).numel() for entry in layout["keys"])
    for model in FITS[name]:
        words = said[model].partition(":")[2].replace(",", "").split()
        assert int(words[0]) + int(words[3]) == values, "all is used or ignored"
    if name in ("lvs", "sslalign"):
        assert "as in the published file" in said[name]
        other = (FITS[name] - {name}).pop()
        assert "unlike the published file" in said[other]


def test_the_match_is_said_alone(entries: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    check_file(BUNDLED / "tiny_san.safetensors", entries)
    _, *fits, rest = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split()[1] for line in fits] == ["tiny_san", "tiny_av", "tiny_deaf"]
    assert ["has the sha256 that it declares" in line for line in fits] == [True, False, False]
    others = sum(len(entry.layouts) for entry in entries) - 3
    assert rest == f"  fits none of the other {others}; --why says what each lacks"


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_files_that_fit_none(
    tmp_path: Path,
    seeded_checkpoint: Callable[..., Path],
    entries: list[Entry],
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = dict(torch.load(seeded_checkpoint("slavc"), weights_only=True)["model"])
    del state["module.img_proj1.bias"]
    state["module.extra.weight"] = torch.zeros(3)
    path = save(tmp_path / "part.pth", {"model": state})
    with pytest.raises(UsageError, match=r"part\.pth: fits no model"):
        check_file(path, entries)
    printed = capsys.readouterr().out
    nearest, *more = printed.splitlines()[1:]
    assert nearest == "  not slavc: 1 missing: img_proj1.bias; 1 unknown: extra.weight"
    assert len(more) == 2  # --why says all
    with pytest.raises(UsageError, match=r"nothing: no such file \(--check\)"):
        check_file(tmp_path / "nothing", entries)
    with pytest.raises(UsageError, match="is a folder: name a file in it"):
        check_file(tmp_path, entries)
    path.write_text("not a checkpoint")
    with pytest.raises(WeightsError, match="not a torch checkpoint"):
        check_file(path, entries)


@pytest.mark.parametrize(
    ("model", "key", "places"),
    [("ssltie", "net", "under `state_dict`"), ("object_saliency", "state_dict", "bare")],
)
def test_entries_under_another_key(
    tmp_path: Path,
    seeded_checkpoint: Callable[..., Path],
    entries: list[Entry],
    capsys: pytest.CaptureFixture[str],
    model: str,
    key: str,
    places: str,
) -> None:
    content = torch.load(seeded_checkpoint(model), weights_only=True)
    path = save(tmp_path / "moved.pth", {key: content.get("state_dict", content), "epoch": 3})
    with pytest.raises(UsageError, match=r"moved\.pth: fits no model"):
        check_file(path, entries)
    nearest = [line for line in capsys.readouterr().out.splitlines() if "its entries fit" in line]
    name = PRIOR if model == "object_saliency" else model
    said = f"  not {name}: its entries fit, but lie under `{key}`, and are looked for {places}."
    assert any(line.startswith(said) for line in nearest)


def test_state_of_checkpoints(
    tmp_path: Path, seeded_checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = seeded_checkpoint("slavc")
    (tmp_path / "slavc.pth").symlink_to(path)
    (tmp_path / "resnet18-5c106cde.pth").symlink_to(seeded_checkpoint("object_saliency"))
    (tmp_path / "ezvsl.pth").symlink_to(path)
    (tmp_path / "fnac.pth").write_text("<html>")
    named = ("slavc", "lvs", "random", "ezvsl", "fnac")
    listed = read_entries([f"paths.weights={tmp_path}"], named)
    states = {entry.name: entry.state for entry in listed}
    assert states["slavc"].state == f"found, {file_sha256(path)[:8]}"
    assert states["slavc"].used == states["slavc"].ignored == 23_416_616
    assert "momentum_imgnet" in states["slavc"].details
    assert states[PRIOR].fits
    assert states["lvs"].state == "not found"
    assert states["random"].state == "none needed"
    assert states["ezvsl"].state == "does not fit"
    assert states["fnac"].state == "not readable"
    with pytest.raises(
        UsageError, match=r"(?s)ezvsl\.pth: does not fit: 4 missing.*fnac\.pth: not a"
    ):
        show_models(listed)
    assert "slavc" in capsys.readouterr().out


class Computed(LocalizationModel):
    """Computes with values when it is made, which torch's meta device cannot."""

    map_size = (1, 1)
    value_range = (0.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.rates = [x.item() for x in torch.linspace(0, 1, 3)]


def test_classes_that_compute_when_made(
    tmp_path: Path, config_folder: Callable[[Path], None]
) -> None:
    config_folder(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "computed.yaml").write_text(
        "name: computed\n_target_: tests.cli.test_models.Computed\n"
    )
    computed, _ = read_entries((), ("computed",))
    assert computed.state.state == "none needed"


def test_models_of_ones_own_are_listed(
    monkeypatch: pytest.MonkeyPatch, config_folder: Callable[[Path], None]
) -> None:
    folder = CONF.parent / "docs" / "own_model"
    monkeypatch.syspath_prepend(str(folder))
    config_folder(folder / "conf")
    own = ("two_tower", "modulated")
    assert {*own, "ezvsl"} <= {*group_names("model")}
    assert [entry.name for entry in read_entries((), own)] == [*own, PRIOR]
    config_folder(folder / "none")
    with pytest.raises(UsageError, match=r"none: no such folder \(--config-dir\)"):
        read_entries()

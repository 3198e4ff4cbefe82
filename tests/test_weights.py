"""Checkpoint files: read safely, matched strictly, reported truly."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vssl.models.base import CheckpointLayout, LocalizationModel
from vssl.models.baselines import Center
from vssl.models.ezvsl import EZVSL
from vssl.models.lvs import LVS
from vssl.models.weights import WeightsError, file_sha256, load_weights, read_state_dict

State = dict[str, torch.Tensor]
MODELS = {"ezvsl": EZVSL, "lvs": LVS}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Tiny(LocalizationModel):
    """A network of three entries, so that faulty files cost nothing."""

    map_size = (1, 1)
    value_range = (0.0, 1.0)
    checkpoint = CheckpointLayout(wrapper="model", unused=("old.*",), rename={"head.": "tail."})

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.tail = nn.Linear(2, 1, bias=False)


def tiny_state() -> State:
    return {
        "body.weight": torch.arange(6.0).view(2, 3),
        "body.bias": torch.tensor([1.0, 2.0]),
        "head.weight": torch.tensor([[3.0, 4.0]]),
    }


def save(path: Path, content: Any, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class Note:
    """A user's class without any malice; it says when it is brought to life."""

    awakened = False

    def __setstate__(self, state: dict[str, object]) -> None:
        Note.awakened = True


class Command:
    """Runs a shell command when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class TestPublishedLayouts:
    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize(
        ("zipped", "prefix"), [(True, "module."), (True, ""), (False, "module.")]
    )
    def test_load(
        self,
        shared: Path,
        seeded_checkpoint: Callable[..., Path],
        tmp_path: Path,
        name: str,
        zipped: bool,
        prefix: str,
    ) -> None:
        layout = json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())[name]
        path = seeded_checkpoint(name)
        content = torch.load(path, weights_only=True)
        state = content[layout["wrapper_key"]]
        bare = {key.removeprefix("module."): tensor for key, tensor in state.items()}
        if not zipped or not prefix:
            renamed = {prefix + key: tensor for key, tensor in bare.items()}
            path = save(tmp_path / "again.pth", {layout["wrapper_key"]: renamed}, zipped=zipped)
        model = MODELS[name]()

        report = load_weights(model, path)

        # LVS uses the image stem of its image encoder, and the audio stem of its audio encoder
        stem = "audnet.conv1_a.weight" if name == "lvs" else "audnet.conv1.weight"
        own = model.state_dict()
        for key, tensor in own.items():
            file_key = stem if key == "audnet.conv1.weight" else key
            assert torch.equal(tensor, bare.pop(file_key)), key
        assert sorted(report.ignored) == sorted(bare)
        sizes = {entry["key"]: int(np.prod(entry["shape"])) for entry in layout["keys"]}
        assert report.used == sum(sizes.values()) - sum(sizes[key] for key in bare)
        assert report.path == path
        assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not any(p.requires_grad for p in model.parameters())

    @pytest.mark.parametrize(("name", "other"), [("ezvsl", "lvs"), ("lvs", "ezvsl")])
    def test_other_models_file(
        self, seeded_checkpoint: Callable[..., Path], name: str, other: str
    ) -> None:
        wrapper = {"ezvsl": "model", "lvs": "model_state_dict"}
        with pytest.raises(
            WeightsError,
            match=rf"expected the weights under the key `{wrapper[name]}`, but the file holds"
            rf" \['{wrapper[other]}'\]\. Is it another model's checkpoint\?",
        ):
            load_weights(MODELS[name](), seeded_checkpoint(other))


@FORMATS
class TestContainers:
    def test_numpy_scalars_beside_the_weights(self, tmp_path: Path, zipped: bool) -> None:
        content = {
            "model": tiny_state(),
            "loss": np.float64(0.5),
            "best": np.float32(0.25),
            "epoch": np.int64(3),
            "done": np.bool_(True),
            "history": np.array([0.5, 0.25]),
            "args": {"lr": 1e-4, "tags": ["a", None, (1, 2)]},
        }
        report = load_weights(Tiny(), save(tmp_path / "file.pth", content, zipped=zipped))
        assert report.used == 10

    @pytest.mark.parametrize("place", ["beside", "inside", "bare"])
    def test_system_call_is_refused(self, tmp_path: Path, zipped: bool, place: str) -> None:
        trace = tmp_path / "trace"
        evil = Command(os.system, f"touch {trace}")
        content: Any = {"model": tiny_state(), "extra": evil}
        if place == "inside":
            content = {"model": {**tiny_state(), "extra": evil}}
        elif place == "bare":
            content = evil
        path = save(tmp_path / "file.pth", content, zipped=zipped)
        with pytest.raises(
            WeightsError,
            match=rf"{re.escape(str(path))}: refused, because it would import `{os.name}\.system`,"
            r" which weights do not need\. Nothing of it was run\.",
        ):
            load_weights(Tiny(), path)
        assert not trace.exists()

    @pytest.mark.parametrize(
        ("function", "name"), [(eval, "eval"), (exec, "exec"), (getattr, "getattr"), (open, "open")]
    )
    def test_builtins_are_refused(
        self, tmp_path: Path, zipped: bool, function: Callable[..., object], name: str
    ) -> None:
        content = {"model": tiny_state(), "extra": Command(function, "1")}
        path = save(tmp_path / "file.pth", content, zipped=zipped)
        with pytest.raises(
            WeightsError, match=rf"refused, because it would import `(\w+\.)?{name}`"
        ):
            load_weights(Tiny(), path)

    def test_user_class_is_refused(self, tmp_path: Path, zipped: bool) -> None:
        note = Note()
        note.text = "hello"  # type: ignore[attr-defined]
        path = save(tmp_path / "file.pth", {"model": tiny_state(), "note": note}, zipped=zipped)
        with pytest.raises(
            WeightsError, match=rf"would import `{re.escape(Note.__module__)}\.Note`, which"
        ):
            load_weights(Tiny(), path)
        assert not Note.awakened

    def test_cut_off(self, tmp_path: Path, zipped: bool) -> None:
        path = save(tmp_path / "file.pth", {"model": tiny_state()}, zipped=zipped)
        whole = path.read_bytes()
        for length in range(0, len(whole), 11):
            path.write_bytes(whole[:length])
            with pytest.raises(WeightsError, match=r"file\.pth: (not a torch|refused)"):
                load_weights(Tiny(), path)

    # what training scripts keep beside the weights: states of generators, counts, names
    @pytest.mark.parametrize(
        "value",
        [np.random.RandomState(0).get_state(), np.uint8(3), np.float16(0.5), np.str_("name")],
        ids=["generator", "uint8", "float16", "str"],
    )
    def test_other_numpy_values(self, tmp_path: Path, zipped: bool, value: object) -> None:
        path = save(tmp_path / "file.pth", {"model": tiny_state(), "x": value}, zipped=zipped)
        assert load_weights(Tiny(), path).used == 10

    def test_prefixes_and_renaming(self, tmp_path: Path, zipped: bool) -> None:
        state = {f"module.{key}": value for key, value in tiny_state().items()}
        state["module.old.weight"] = torch.zeros(99)
        path = save(tmp_path / "file.pth", {"model": state}, zipped=zipped)
        model = Tiny()
        report = load_weights(model, path)
        assert report.ignored == ("old.weight",)
        assert report.used == 10
        assert torch.equal(model.tail.weight, tiny_state()["head.weight"])
        assert sorted(read_state_dict(path, Tiny.checkpoint)) == [
            "body.bias", "body.weight", "head.weight", "old.weight"
        ]  # fmt: skip


def change(**entries: torch.Tensor | None) -> dict[str, State]:
    """A wrapped state with other entries; None removes one."""
    state: dict[str, Any] = {**tiny_state(), **{k.replace("_", "."): v for k, v in entries.items()}}
    return {"model": {key: value for key, value in state.items() if value is not None}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (change(body_bias=None), r"does not fit Tiny \(3 entries\): 1 missing: body.bias\. Is it"),
        (change(more=torch.zeros(1)), r"does not fit Tiny \(3 entries\): 1 unknown: more\. Is it"),
        (
            change(head_weight=torch.zeros(2, 1)),
            r"1 of another shape: tail.weight is \[2, 1\], not \[1, 2\]",
        ),
        ({"model": {}}, "3 missing: body.bias, body.weight, tail.weight"),
        (
            {"model": {**tiny_state(), **{f"x{n}": torch.zeros(1) for n in range(7)}}},
            "7 unknown: x0, x1, x2, x3, x4, and 2 more",
        ),
        (
            change(body_bias=torch.tensor([1.0, float("nan")])),
            "1 entries hold NaN or infinite values: body.bias. Did the training diverge",
        ),
        (change(body_bias=torch.tensor([1.0, float("inf")])), "1 entries hold NaN or infinite"),
        (tiny_state(), r"expected the weights under the key `model`, but the file holds \['body"),
        (torch.zeros(3), "expected the weights under the key `model`, but the file holds Tensor"),
        ({"model": [1, 2]}, "what it holds is not a state dict of tensors"),
        ({"model": {"body.weight": 1}}, "what it holds is not a state dict of tensors"),
    ],
)
def test_unfit_files(tmp_path: Path, content: Any, message: str) -> None:
    path = save(tmp_path / "file.pth", content)
    model = Tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=f"^{re.escape(str(path))}: .*{message}"):
        load_weights(model, path)
    # a refused file leaves no trace in the model
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32])
def test_other_precision_still_gives_a_float32_network_or_an_error(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {key: value.to(dtype) for key, value in tiny_state().items()}
    model = Tiny()
    try:
        load_weights(model, save(tmp_path / "file.pth", {"model": state}))
    except WeightsError:
        return
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsError, match=r": no such file\. Set model.weights=FILE"):
            load_weights(Tiny(), path)


@pytest.mark.parametrize("content", [b"", b"hello, this is a text file\n" * 50, b"<html>", b"\x80"])
def test_not_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"file\.pth: not a torch checkpoint"):
        load_weights(Tiny(), path)


def test_sha256(tmp_path: Path) -> None:
    path = save(tmp_path / "file.pth", {"model": tiny_state()})
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert file_sha256(path) == right
    assert load_weights(Tiny(), path, sha256=right).sha256 == right
    assert load_weights(Tiny(), path, sha256=right.upper()).sha256 == right
    wrong = "0" * 64
    with pytest.raises(
        WeightsError, match=f"sha256 is {right}, but model.sha256 says {wrong}. Is it another rel"
    ):
        load_weights(Tiny(), path, sha256=wrong)


def test_model_without_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "file.pth", {"model": tiny_state()})
    with pytest.raises(WeightsError, match=r"Center has no weights, but model.weights=.* is set"):
        load_weights(Center(), path)

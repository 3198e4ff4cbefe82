"""Checkpoint files: read safely, matched strictly, reported truly."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import shlex
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from vssl.core.hashing import file_sha256
from vssl.models.base import CheckpointLayout, LocalizationModel, Pretrained
from vssl.models.baselines import Center
from vssl.models.checkpoints import WeightsError, read_checkpoint, state_dict_of
from vssl.models.ezvsl import EZVSL
from vssl.models.fnac import FNAC
from vssl.models.lvs import LVS
from vssl.models.object_prior import ObjectPrior
from vssl.models.rcgrad import RCGrad
from vssl.models.slavc import SLAVC
from vssl.models.sslalign import SSLAlign
from vssl.models.ssltie import SSLTIE
from vssl.models.weights import load_weights, match_content

State = dict[str, torch.Tensor]
MODELS: dict[str, type[Pretrained]] = {
    "ezvsl": EZVSL,
    "slavc": SLAVC,
    "fnac": FNAC,
    "lvs": LVS,
    "sslalign": SSLAlign,
    "ssltie": SSLTIE,
    "rcgrad": RCGrad,
    "object_saliency": ObjectPrior,
}
STEMS_AND_CLASSIFIERS = (
    *("imgnet.conv1_a.", "imgnet.conv1_flow.", "imgnet.fc."),
    *("audnet.conv1.", "audnet.conv1_flow.", "audnet.fc."),
)
NO_PART_IN_THE_MAP: dict[str, tuple[str, ...]] = {
    "ezvsl": (),
    "fnac": (),
    "slavc": ("momentum_",),
    "lvs": STEMS_AND_CLASSIFIERS,
    "sslalign": STEMS_AND_CLASSIFIERS,
    "ssltie": (*STEMS_AND_CLASSIFIERS, "vision_fc1.", "conv3.", "norm3."),
    "rcgrad": ("image_encoder.conv1_a.", "image_encoder.conv1_flow.", "image_encoder.fc."),
    "object_saliency": ("fc.",),
}
"""How the names of unused entries of the published files begin."""

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


class Command:
    """Runs a shell command when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def edit_pickle(path: Path, old: bytes, new: bytes) -> Path:
    """Replace bytes in the pickle of a saved file."""
    if not zipfile.is_zipfile(path):
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))
        return path
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            if name.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            file.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def layouts(shared: Path) -> Any:
    return json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())


@pytest.fixture(scope="module")
def published(seeded_checkpoint: Callable[..., Path], layouts: dict[str, Any]) -> Published:
    """The state dict of a published file, without prefixes."""

    def read(name: str) -> State:
        content = torch.load(seeded_checkpoint(name), weights_only=True, mmap=True)
        wrapper = layouts[name]["wrapper_key"]
        state = content if wrapper is None else content[wrapper]
        return {key.removeprefix("module."): tensor for key, tensor in state.items()}

    return read


Published = Callable[[str], State]


class TestPublishedLayouts:
    @pytest.mark.parametrize("name", MODELS)
    def test_load(
        self,
        seeded_checkpoint: Callable[..., Path],
        layouts: dict[str, Any],
        published: Published,
        name: str,
    ) -> None:
        layout, bare, path = layouts[name], published(name), seeded_checkpoint(name)
        model = MODELS[name]()

        report = load_weights(model, path)

        # the audio networks of LVS and its kin use the audio stem, the image networks the other
        stem = "audnet.conv1_a.weight" if "audnet.conv1_a.weight" in bare else None
        own = model.state_dict()
        left = dict(bare)
        for key, tensor in own.items():
            file_key = stem if stem and key == "audnet.conv1.weight" else key
            assert torch.equal(tensor, left.pop(file_key)), key
        assert sorted(report.ignored) == sorted(left)
        unused = NO_PART_IN_THE_MAP[name]
        assert sorted(left) == sorted(key for key in bare if key.startswith(unused))
        sizes = {entry["key"]: int(np.prod(entry["shape"])) for entry in layout["keys"]}
        assert report.used == sum(sizes.values()) - sum(sizes[key] for key in left)
        assert report.path == path
        assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not any(p.requires_grad for p in model.parameters())

    def test_files_from_before_batches_were_counted(
        self, published: Published, tmp_path: Path
    ) -> None:
        """As torchvision's older resnet18-5c106cde.pth: parameters, legacy stream, no counts."""
        bare = published("object_saliency")
        old = OrderedDict(
            (key, nn.Parameter(value) if key.endswith((".weight", ".bias")) else value)
            for key, value in bare.items()
            if not key.endswith(".num_batches_tracked")
        )
        assert len(old) < len(bare)
        path = save(tmp_path / "old.pth", old, zipped=False)
        model = ObjectPrior()
        load_weights(model, path)
        counts = [v for k, v in model.state_dict().items() if k.endswith(".num_batches_tracked")]
        assert counts
        assert all(count.dtype == torch.int64 and count == 0 for count in counts)
        assert not any(p.requires_grad for p in model.parameters())

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
    def test_zip_files_are_mapped_not_copied(self, seeded_checkpoint: Callable[..., Path]) -> None:
        path = seeded_checkpoint("object_saliency")
        model = ObjectPrior()
        load_weights(model, path)
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        mapped = [line[0].split("-") for line in lines if line[-1] == str(path.resolve())]
        spans = [(int(start, 16), int(end, 16)) for start, end in mapped]
        for key, tensor in model.state_dict().items():
            assert any(start <= tensor.data_ptr() < end for start, end in spans), key


# which model takes whose file is tested with `vssl-models --check`
@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        (
            "ezvsl",
            "lvs",
            r"expected the weights under the key `model`, but the file holds"
            r" \['model_state_dict'\]\. Is it another model's checkpoint\?",
        ),
        (
            "ezvsl",
            "slavc",
            r"does not fit EZVSL \(244 entries\): 4 missing: aud_proj\.bias, aud_proj\.weight,"
            r" img_proj\.bias, img_proj\.weight; 256 unknown: aud_proj1\.bias",
        ),
        ("object_saliency", "rcgrad", r"does not fit ObjectPrior .*missing: bn1\.bias"),
        ("object_saliency", "lvs", "what it holds is not a state dict of tensors"),
    ],
)
def test_the_fault_of_another_models_file_is_named(
    seeded_checkpoint: Callable[..., Path], name: str, other: str, message: str
) -> None:
    path = seeded_checkpoint(other)
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: .*{message}"):
        load_weights(MODELS[name](), path)


def test_files_of_vssl_train_hold_the_networks_own_entries(tmp_path: Path) -> None:
    own = {key: value.clone() for key, value in Tiny().state_dict().items()}
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(own, path)
    network = Tiny()
    report = load_weights(network, path)
    assert (report.used, report.ignored) == (10, ())
    assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())
    safetensors.torch.save_file({**own, "more": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="expected the weights under the key `model`"):
        load_weights(Tiny(), path)


HEADS = {"head.0.weight": torch.ones(3, 512), "logit_scale": torch.tensor(4.6)}
"""Entries beside the encoders, which SSL-Align's authors trained and EZ-VSL's did not."""


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"audnet.conv1_a.weight": None}, ["1 missing: audnet.conv1.weight"]),
        ({"imgnet.layer5.weight": HEADS["logit_scale"]}, ["1 unknown: imgnet.layer5.weight"]),
    ],
)
def test_heads_are_ignored_for_sslalign_and_excuse_no_other_fault(
    published: Published, changes: dict[str, torch.Tensor | None], faults: list[str]
) -> None:
    state = {**published("sslalign"), **HEADS, **changes}
    kept = {key: value for key, value in state.items() if value is not None}
    with torch.device("meta"):
        match = match_content(SSLAlign(), {"model_state_dict": kept}, part="", path=Path("file"))
    assert match.faults == faults
    beside = [key for key in match.ignored if not key.startswith(STEMS_AND_CLASSIFIERS)]
    assert sorted(beside) == sorted(HEADS)


@FORMATS
class TestContainers:
    def test_plain_values_beside_the_weights(self, tmp_path: Path, zipped: bool) -> None:
        # what training scripts keep there: states of generators, counts, names
        content = {
            "model": tiny_state(),
            "loss": np.float64(0.5),
            "best": [np.float32(0.25), np.float16(0.5)],
            "epoch": [np.int64(3), np.uint8(3)],
            "done": np.bool_(True),
            "history": np.array([0.5, 0.25]),
            "generator": np.random.RandomState(0).get_state(),
            "args": {"lr": 1e-4, "tags": ["a", None, (1, 2)], "name": np.str_("name")},
        }
        path = save(tmp_path / "file.pth", content, zipped=zipped)
        assert load_weights(Tiny(), path).used == 10
        edit_pickle(path, b"numpy._core.multiarray", b"numpy.core.multiarray")  # as of NumPy 1
        assert load_weights(Tiny(), path).used == 10

    @pytest.mark.parametrize(
        ("network", "place", "function", "name"),
        [
            *((Tiny, place, os.system, r"\w+\.system") for place in ("beside", "inside", "bare")),
            *((ObjectPrior, place, os.system, r"\w+\.system") for place in ("inside", "bare")),
            *((Tiny, "beside", f, rf"(\w+\.)?{f.__name__}") for f in (eval, exec, getattr, open)),
        ],
    )
    def test_code_is_refused(
        self,
        tmp_path: Path,
        zipped: bool,
        network: type[Pretrained],
        place: str,
        function: Callable[..., object],
        name: str,
    ) -> None:
        trace = tmp_path / "trace"
        evil = Command(function, f"touch {trace}" if function is os.system else "1")
        inside = {**tiny_state(), "extra": evil}
        content: Any = inside if network is ObjectPrior else {"model": inside}
        if place != "inside":
            content = evil if place == "bare" else {"model": tiny_state(), "extra": evil}
        path = save(tmp_path / "file.pth", content, zipped=zipped)
        with pytest.raises(
            WeightsError,
            match=rf"{re.escape(str(path))}: refused, because it would import `{name}`, which"
            r" weights do not need\. Nothing of it was run\.",
        ):
            load_weights(network(), path)
        assert not trace.exists()

    def test_options_of_a_training(self, tmp_path: Path, zipped: bool) -> None:
        options = argparse.Namespace(
            lr=0.1, out=Path("a") / "b", nested=types.SimpleNamespace(device=torch.device("cpu"))
        )
        content = {"model": tiny_state(), "epoch": 3, "args": options}
        path = save(tmp_path / "file.pth", content, zipped=zipped)
        assert load_weights(Tiny(), path).used == 10
        found = read_checkpoint(path)["args"]
        assert found == argparse.Namespace(lr=0.1, out=PurePosixPath("a/b"), nested=options.nested)
        edit_pickle(path, b"PosixPath", b"WindowPth")
        with pytest.raises(WeightsError, match=r"import `pathlib.WindowPth`"):
            read_checkpoint(path)

    @pytest.mark.parametrize("attribute", ["__setstate__", "__class__", "__dict__", "__reduce__"])
    def test_options_of_a_training_run_nothing(
        self, tmp_path: Path, zipped: bool, attribute: str
    ) -> None:
        trace = tmp_path / "trace"
        evil = argparse.Namespace()
        evil.__dict__[attribute] = Command(os.system, f"touch {trace}")
        path = save(tmp_path / "file.pth", {"model": tiny_state(), "args": evil}, zipped=zipped)
        with pytest.raises(WeightsError, match=r"import `\w+\.system`"):
            load_weights(Tiny(), path)
        assert not trace.exists()

    def test_the_command_that_keeps_the_tensors(
        self, tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = {"model": tiny_state(), "epoch": 3, "day": datetime.date(2026, 1, 2)}
        path = save(tmp_path / "its file.pth", content, zipped=zipped)
        with pytest.raises(WeightsError, match=r"Only if you trust its source") as caught:
            load_weights(Tiny(), path)
        python, option, code, *arguments = shlex.split(str(caught.value).splitlines()[-1])
        assert (python, option) == ("python", "-c")
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        exec(code, {})
        found = read_checkpoint(tmp_path / "its file_weights.pth")
        assert found.keys() == {"model"}
        torch.testing.assert_close(found["model"], dict(content["model"]), rtol=0, atol=0)

    def test_cut_off(self, tmp_path: Path, zipped: bool) -> None:
        path = save(tmp_path / "file.pth", {"model": tiny_state()}, zipped=zipped)
        whole = path.read_bytes()
        for length in range(0, len(whole), 11):
            path.write_bytes(whole[:length])
            with pytest.raises(WeightsError, match=r"file\.pth: (not a torch|refused)"):
                load_weights(Tiny(), path)

    @pytest.mark.parametrize("location", ["cuda:7", "mps"])
    def test_tensors_saved_on_another_device_come_to_the_cpu(
        self, tmp_path: Path, zipped: bool, location: str
    ) -> None:
        path = save(tmp_path / "file.pth", {"model": tiny_state()}, zipped=zipped)
        # a pickled text: the opcode X, four bytes of length, and the letters
        there = len(location).to_bytes(4, "little") + location.encode()
        edit_pickle(path, b"X\x03\x00\x00\x00cpu", b"X" + there)
        model = Tiny()
        load_weights(model, path)
        assert torch.equal(model.tail.weight, tiny_state()["head.weight"])
        assert torch.equal(model.body.weight, tiny_state()["body.weight"])

    def test_tensors_as_pickled_in_2017(self, tmp_path: Path, zipped: bool) -> None:
        rebuild = torch._utils._rebuild_tensor
        old = {
            key: Command(rebuild, value._typed_storage(), 0, tuple(value.shape), value.stride())
            for key, value in tiny_state().items()
        }
        path = save(tmp_path / "file.pth", {"model": old}, zipped=zipped)
        model = Tiny()
        load_weights(model, path)
        assert torch.equal(model.body.weight, tiny_state()["body.weight"])

    def test_prefixes_and_renaming(self, tmp_path: Path, zipped: bool) -> None:
        state = {f"module.{key}": value for key, value in tiny_state().items()}
        state["module.old.weight"] = torch.zeros(99)
        path = save(tmp_path / "file.pth", {"model": state}, zipped=zipped)
        model = Tiny()
        report = load_weights(model, path)
        assert report.ignored == ("old.weight",)
        assert report.used == 10
        assert torch.equal(model.tail.weight, tiny_state()["head.weight"])
        bare = state_dict_of(read_checkpoint(path), wrappers=("model",), path=path)
        assert sorted(bare) == ["body.bias", "body.weight", "head.weight", "old.weight"]


def change(**entries: torch.Tensor | None) -> dict[str, State]:
    """A wrapped state with other entries; None removes one."""
    state: dict[str, Any] = {**tiny_state(), **{k.replace("_", "."): v for k, v in entries.items()}}
    return {"model": {key: value for key, value in state.items() if value is not None}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (change(body_bias=None), r"does not fit Tiny \(3 entries\): 1 missing: body.bias\. Is it"),
        (change(more=torch.zeros(1)), r"does not fit Tiny \(3 entries\): 1 unknown: more\. Is it"),
        (change(head_weight=torch.zeros(2, 1)), r"1 unfit: tail.weight is float32 \[2, 1\], not "),
        (change(head_weight=torch.ones(1, 2).half()), r"1 unfit: tail.weight is float16 \[1, 2\]"),
        ({"model": {}}, "3 missing: body.bias, body.weight, tail.weight"),
        (
            {"model": {**tiny_state(), **{f"x{n}": torch.zeros(1) for n in range(7)}}},
            "7 unknown: x0, x1, x2, x3, x4, and 2 more",
        ),
        (change(body_bias=torch.tensor([1.0, float("nan")])), "1 entries hold NaN or infinite val"),
        (change(body_bias=torch.tensor([1.0, float("inf")])), "body.bias. Did the training diverg"),
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
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"hello, this is a text file\n" * 50, b"<html>", b"\x80"])
def test_not_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pth"
    for missing in (path, tmp_path):
        with pytest.raises(WeightsError, match=r": no such file\. Set model.weights=FILE"):
            load_weights(Tiny(), missing)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"file\.pth: not a torch checkpoint"):
        load_weights(Tiny(), path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_archives_are_refused(tmp_path: Path, mode: Any) -> None:
    """The published names end in .pth.tar, but none of the files is one."""
    inner = save(tmp_path / "inner.pth", {"model": tiny_state()})
    path = tmp_path / "lvs.pth.tar"
    with tarfile.open(path, mode) as archive:
        archive.add(inner, arcname="inner.pth")
    with pytest.raises(WeightsError, match=r"lvs\.pth\.tar: is a tar archive\. Unpack it"):
        load_weights(Tiny(), path)


def test_entries_that_differ_by_the_prefix_only_are_refused(tmp_path: Path) -> None:
    state = {**tiny_state(), "module.body.bias": torch.zeros(2)}
    with pytest.raises(WeightsError, match=r"differ only by the prefix `module\.`"):
        load_weights(Tiny(), save(tmp_path / "file.pth", {"model": state}))


@pytest.mark.parametrize("key", ["model", "prior"])
def test_the_hash_is_checked(tmp_path: Path, key: str) -> None:
    path = save(tmp_path / "file.pth", {"model": tiny_state()})
    right, wrong = hashlib.sha256(path.read_bytes()).hexdigest(), "0" * 64
    assert file_sha256(path) == right
    assert load_weights(Tiny(), path, sha256=right).sha256 == right
    assert load_weights(Tiny(), path, sha256=right.upper()).sha256 == right
    message = rf"sha256 is {right}, but {key}\.sha256 says {wrong}\. Is it another rel.*{key}\.sha2"
    with pytest.raises(WeightsError, match=message):
        load_weights(Tiny(), path, sha256=wrong, key=key)
    with pytest.raises(WeightsError, match=rf"Center has no weights, but {key}\.weights=.* is set"):
        load_weights(Center(), path, key=key)

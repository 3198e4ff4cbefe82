"""Loading of weights, strict in both directions."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vssl.core.hashing import file_sha256
from vssl.models.base import CheckpointLayout, Pretrained
from vssl.models.checkpoints import WeightsError, read_checkpoint, some, state_dict_of


@dataclass(frozen=True)
class WeightsReport:
    """A loaded checkpoint file."""

    path: Path
    sha256: str
    used: int  # values that the network took
    ignored: tuple[str, ...]  # keys in the file that the map does not need


@dataclass(frozen=True)
class Match:
    """A checkpoint compared with a network."""

    own: dict[str, torch.Tensor]  # entries of the network
    state: dict[str, torch.Tensor]  # entries that the network takes, under its names
    ignored: tuple[str, ...]  # keys in the file that the map does not need
    ignored_values: int
    heads: int  # number of ignored keys that no pattern names, as of other heads
    missing: tuple[str, ...]  # keys that the file lacks
    unknown: tuple[str, ...]  # keys that the network lacks
    unfit: tuple[str, ...]  # entries of another shape or type, in words

    @property
    def used(self) -> int:
        """Number of values that the network takes."""
        return sum(tensor.numel() for tensor in self.state.values())

    @property
    def faults(self) -> list[str]:
        """Reasons why the file does not fit, in words; empty when it fits."""
        kinds = {"missing": self.missing, "unknown": self.unknown, "unfit": self.unfit}
        return [f"{len(items)} {kind}: {some(items)}" for kind, items in kinds.items() if items]

    @property
    def faulty_entries(self) -> list[str]:
        """A line for each entry that does not fit, with its type and shape."""
        return [
            *(f"missing: {key}, {_kind_of(self.own[key])}" for key in self.missing),
            *(f"unknown: {key}, {_kind_of(self.state[key])}" for key in self.unknown),
            *(f"unfit: {entry}" for entry in self.unfit),
        ]


def load_weights(
    network: Pretrained,
    path: Path,
    *,
    part: str = "",
    sha256: str | None = None,
    key: str = "model",
) -> WeightsReport:
    """Load a checkpoint file as its authors published it.

    The file must hold every entry of its part of the network. Every other entry must be known to be
    unused. Counts of batches, which only training reads, may be missing.

    The file fills the submodule `part`, or the whole network. Without `sha256` any file is taken.
    `key` is the group of the configuration, for messages.

    Raises:
        WeightsError: for a missing or unreadable file, a blocked global, another hash, missing,
            unknown or wrongly shaped entries, or values that are not finite.
    """
    name = type(network).__name__
    option = f"{key}.sha256.{part}" if part else f"{key}.sha256"
    if network.checkpoint is None:
        raise WeightsError(f"{name} has no weights, but {key}.weights={path} is set.")
    if part not in network.layouts():
        raise WeightsError(
            f"{path}: {name} takes a file for each of its parts {', '.join(network.layouts())}"
            f" ({key}.weights)."
        )
    content = read_checkpoint(path)
    file_hash = file_sha256(path)
    if sha256 is not None and file_hash != sha256.lower():
        raise WeightsError(
            f"{path}: sha256 is {file_hash}, but {option} says {sha256}."
            f" Is it another release or a broken download? Set {option}=null to take any file."
        )
    match = match_content(network, content, part=part, path=path)
    target = network.get_submodule(part)
    if match.faults:
        whole = f"the part `{part}` of {name}" if part else name
        raise WeightsError(
            f"{path}: does not fit {whole} ({len(target.state_dict())} entries): "
            + "; ".join(match.faults)
            + ". Is it another model's checkpoint, a part of one, or saved in half precision?"
            " vssl-models --check FILE tells whose it is."
        )
    broken = [k for k, v in match.state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{path}: {len(broken)} entries hold NaN or infinite values: {some(broken)}."
            " Did the training diverge, or is the file damaged?"
        )
    # assign: the network takes the mapped tensors themselves
    target.load_state_dict(match.state, strict=True, assign=True)
    target.requires_grad_(False)
    return WeightsReport(path, file_hash, match.used, match.ignored)


def match_content(network: Pretrained, content: Any, *, part: str, path: Path) -> Match:
    """Compare what a file holds with a part of a network, which first adapts to the file.

    Raises:
        WeightsError: when the file has no state dict where the layout has it, or is of a variant
            that the network cannot be.
    """
    layout, target = network.layouts()[part], network.get_submodule(part)
    # as `vssl-train` writes them: no wrapper, and no names but the network's
    if path.suffix == ".safetensors" and content.keys() == target.state_dict().keys():
        return match_weights(target, content, CheckpointLayout(wrapper=None))
    state = state_dict_of(content, wrappers=layout.wrappers, path=path, nested=layout.nested)
    try:
        network.adapt(part, content)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    try:
        return match_weights(network.get_submodule(part), state, layout)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:  # of another model's entries
        raise WeightsError(
            f"{path}: its entries cannot be converted to those of {type(network).__name__}"
            f" ({type(error).__name__}: {error}). Is it another model's checkpoint?"
        ) from error


def match_weights(
    network: torch.nn.Module, state: dict[str, torch.Tensor], layout: CheckpointLayout
) -> Match:
    """Compare a state dict, without `module.` prefixes, with a network, on any device."""
    own = network.state_dict()
    parts = {key.partition(".")[0] for key in own}
    ignored = [k for k in state if any(fnmatch.fnmatchcase(k, p) for p in layout.unused)]
    others = [k for k in state if k not in ignored and k.partition(".")[0] not in parts]
    heads = others if layout.heads else []
    ignored += heads
    kept = {k: v for k, v in state.items() if k not in ignored}
    if layout.convert is not None:
        kept = layout.convert(kept)
    for old, new in layout.rename.items():
        kept = {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in kept.items()}
    for name, value in own.items():
        if name.endswith(".num_batches_tracked") and name not in kept:
            kept[name] = torch.zeros((), dtype=value.dtype)
    return Match(
        own=own,
        state=kept,
        ignored=tuple(ignored),
        ignored_values=sum(state[key].numel() for key in ignored),
        heads=len(heads),
        missing=tuple(sorted(own.keys() - kept.keys())),
        unknown=tuple(sorted(kept.keys() - own.keys())),
        unfit=tuple(
            f"{k} is {_kind_of(kept[k])}, not {_kind_of(own[k])}"
            for k in sorted(own.keys() & kept.keys())
            if (own[k].shape, own[k].dtype) != (kept[k].shape, kept[k].dtype)
        ),
    )


def _kind_of(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"

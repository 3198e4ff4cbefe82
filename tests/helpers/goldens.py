"""The authors' unit numbers, of fixed maps; and the images and sounds behind dev goldens."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vssl.audio import read_clip
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.types import AudioClip

Array = npt.NDArray[Any]
UNIT_FILE = Path("golden", "dev", "metrics_unit.npz")
"""Below the shared folder."""

UNIT_RUNS = {
    "eval_ezvsl": ("ezvsl", True),
    "eval_slavc": ("slavc", True),
    "eval_fnac": ("fnac", True),
    "eval_lvs_vggss_lvs": ("lvs", False),
    "eval_lvs_vggss_sslalign": ("sslalign", False),
    "eval_lvs_is3_lvs": ("lvs", True),
    "eval_lvs_is3_sslalign": ("sslalign", True),
    "eval_ssltie": ("ssltie", False),
}
"""Evaluation path of the released code -> model, and whether its positives get aligned corners."""


FOLDERS = {"vggss_mini": ("frames", "audio"), "is3_mini": ("images", "audio_wav")}
"""Mini test set -> folders of its images and sounds."""


def golden_image(shared: Path, data: str, sample_id: str) -> Path:
    """The image of a sample of a mini test set."""
    return shared / "data" / data / FOLDERS[data][0] / f"{sample_id}.jpg"


def golden_clip(
    shared: Path, data: str, sample_id: str, condition: str = "positive", *, model: str = ""
) -> AudioClip:
    """What a sample's goldens heard: its clip, silence or noise of that length, another's clip.

    RCGrad's goldens have another list of offscreen clips than the other models'.
    """
    folder = shared / "data" / data / FOLDERS[data][1]
    if condition == "offscreen":
        with (shared / "golden" / "dev" / data / model / "negatives_manifest.csv").open() as file:
            (sample_id,) = (
                row["audio_source_id"]
                for row in csv.DictReader(file)
                if (row["sample_id"], row["condition"], row["draw"]) == (sample_id, condition, "0")
            )
    own = read_clip(folder / f"{sample_id}.wav")
    bank = np.load(shared / "golden" / "noise_bank.npy")[None, : own.samples.shape[1]]
    made = {"silence": np.zeros_like(bank), "noise": bank}
    return AudioClip(made[condition].astype(np.float32)) if condition in made else own


def read_arrays(path: Path, start: str = "") -> dict[str, Array]:
    """The arrays of a file whose names begin so, by the rest of their names."""
    with np.load(path) as file:
        return {name[len(start) :]: file[name] for name in file.files if name.startswith(start)}


def unit_maps(shared: Path, kind: str, path: str) -> tuple[dict[str, Array], Array, list[str]]:
    """Maps, ground truths and names of the fixed maps behind the authors' unit numbers."""
    file = shared / UNIT_FILE
    side = 7 if path in ("eval_ezvsl", "eval_slavc", "eval_fnac") else 14
    maps = {c: read_arrays(file, f"{kind}/{c}_{side}")[""] for c in ("positive", *NEGATIVE_TYPES)}
    maps["object"] = read_arrays(file, f"{kind}/object_7")[""]
    names = read_arrays(file, f"{kind}/names")[""].tolist()
    return maps, read_arrays(file, f"{kind}/gt")[""], names

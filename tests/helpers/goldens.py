"""The authors' unit numbers: fixed maps through each evaluation path of the released code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vssl.core.negatives import NEGATIVE_TYPES

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

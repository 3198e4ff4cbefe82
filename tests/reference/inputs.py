"""Random maps and ground truths, and what the formulas say about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.reference import formulas

COLUMN_REFERENCE = {"ciou": formulas.consensus_iou, "pia": lambda m, g: formulas.image_area(m)}


def make_maps(
    *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps in [0, 1], and ground truths of 0, 1/2 and 1 of which the last one is empty."""
    generator = np.random.default_rng(seed)
    votes = generator.choice([0.0, 0.0, 0.0, 0.5, 1.0], size=shape)
    votes[-1] = 0
    return torch.from_numpy(generator.random(shape)).float(), torch.from_numpy(votes).to(dtype)


def reference_column(name: str, masks: torch.Tensor, truth: torch.Tensor) -> Any:
    """A metric column `[N]` of masks and ground truths, by formula."""
    formula = COLUMN_REFERENCE[name]
    return np.array([formula(m, g) for m, g in zip(masks.numpy(), truth.numpy(), strict=True)])

"""Backgrounds of the embedded benchmark: silent places with clutter, other kinds in each split.

A kind of background is a function that paints the whole of a picture; x and y run from 0 to 1, y
downwards. Nothing in it may look like one of the classes that sound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vssl.data.synthetic_shapes import SIZE, Floats, Painter
from vssl.data.synthetic_test_backgrounds import TEST
from vssl.data.synthetic_train_backgrounds import TRAIN
from vssl.data.synthetic_validation_backgrounds import VALIDATION

BACKGROUNDS: dict[str, tuple[Callable[[Painter], None], ...]] = {
    "test": TEST,
    "validation": VALIDATION,
    "train": TRAIN,
}
"""The kinds of background of each split; no kind is in two of them."""


def draw_background(generator: np.random.Generator, split: str = "test") -> NDArray[np.uint8]:
    """A random place with clutter that makes no sound.

    Args:
        generator: source of all randomness.
        split: key of `BACKGROUNDS`.

    Returns:
        Image uint8 [224, 224, 3].

    Raises:
        KeyError: for another split.
    """
    kinds = BACKGROUNDS[split]
    return paint_background(kinds[generator.integers(len(kinds))], generator)


def paint_background(
    kind: Callable[[Painter], None], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """A random place of one kind, uint8 [224, 224, 3]."""
    p = Painter(*_grid(), 1 / SIZE, generator)
    kind(p)
    tint = generator.uniform(0.93, 1.02, 3)
    return np.asarray(p.canvas[..., :3] * tint * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _grid() -> tuple[Floats, Floats]:
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, y = np.meshgrid(steps, steps)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)

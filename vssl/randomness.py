"""Random generators keyed by what they are for, not by when they are asked.

A draw depends on its keys alone, so the order of samples, the number of worker processes and the
number of devices cannot matter.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator_for(*keys: str | int) -> np.random.Generator:
    """A NumPy generator seeded by `keys`, the same on every machine and in every process.

    Args:
        keys: what the draw is for, e.g. `(seed, sample_id, condition, draw)`. Order matters, and
            the integer 1 and the string "1" are different keys.

    Returns:
        A fresh PCG64 generator.

    Example:
        >>> first, again = (generator_for(0, "dog_001", "noise", 3) for _ in range(2))
        >>> bool(first.random() == again.random())
        True
    """
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))

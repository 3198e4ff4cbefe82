"""Random generators keyed by their use.

A draw depends on its keys alone, so the order of samples, the number of worker processes and the
number of devices cannot matter.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator_for(*keys: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded by `keys`, the same on every machine and in every process.

    Keys say what the draw is for, e.g. `(seed, sample_id, condition, draw)`. Order matters, and the
    integer 1 and the string "1" are different keys.

    Example:
        >>> first, again = (generator_for(0, "dog_001", "noise", 3) for _ in range(2))
        >>> bool(first.random() == again.random())
        True
    """
    return np.random.default_rng(np.frombuffer(_digest(*keys), dtype=np.uint32))


def seed_for(seed: int, use: str) -> int:
    """Return a seed below 2 ** 63 for a use, so that uses share no draw; the empty use has `seed`.

    Example:
        >>> seed_for(3, ""), seed_for(3, "validation") == seed_for(3, "train")
        (3, False)
    """
    return int.from_bytes(_digest(seed, use)[:8]) >> 1 if use else seed


def _digest(*keys: str | int) -> bytes:
    plain = tuple(str(key) if isinstance(key, str) else int(key) for key in keys)  # of NumPy too
    return hashlib.sha256(repr(plain).encode()).digest()

"""Random generators keyed by their use.

A draw depends on its keys alone, so the order of samples, the number of worker processes and the
number of devices cannot matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import permutations

import numpy as np
import numpy.typing as npt

_Words = npt.NDArray[np.uint32]
_MULTIPLIER = 2549297995355413924 << 64 | 4865540595714422341  # of PCG64


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


def first_words(keys: Iterable[tuple[str | int, ...]]) -> _Words:
    """Return the first two 32-bit words `[M, 2]` that `generator_for` draws for each of M keys.

    As NumPy's SeedSequence and PCG64 draw them, whose streams are fixed (NEP 19), at once.
    """
    words = np.frombuffer(b"".join(_digest(*key) for key in keys), dtype=np.uint32).reshape(-1, 8).T
    hashed = _hasher(0x43B0D7E5, 0x931E8875)
    pool = [hashed(word) for word in words[:4]]
    left, right = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
    for n, k in permutations(range(4), 2):
        pool[k] = _folded(pool[k] * left - hashed(pool[n]) * right)
    for word in words[4:]:
        pool = [_folded(each * left - hashed(word) * right) for each in pool]
    hashed = _hasher(0x8B51F9DD, 0x58F38DED)
    state = np.stack([hashed(each) for each in pool * 2], axis=1).view(np.uint64)
    drawn = []
    for high, low, odd_high, odd_low in state.tolist():
        step = (odd_high << 64 | odd_low) << 1 | 1
        last = ((step + (high << 64 | low)) * _MULTIPLIER + step) * _MULTIPLIER + step
        last &= 2**128 - 1
        folded, turn = (last >> 64 ^ last) & 2**64 - 1, last >> 122
        drawn.append((folded >> turn | folded << 64 - turn) & 2**64 - 1)
    return np.array(drawn, dtype=np.uint64).view(np.uint32).reshape(-1, 2)


def below(words: Iterator[int], count: int) -> int:
    """Return what a generator's `integers(count)` makes of its words; StopIteration if too few."""
    if count == 1:
        return 0
    product = next(words) * count
    return product >> 32 if product % 2**32 >= 2**32 % count else below(words, count)


def _hasher(constant: int, factor: int) -> Callable[[_Words], _Words]:
    """Hash of words under a constant that changes from call to call."""

    def hashed(words: _Words) -> _Words:
        nonlocal constant
        words = words ^ np.uint32(constant)
        constant = constant * factor % 2**32
        return _folded(words * np.uint32(constant))

    return hashed


def _folded(words: _Words) -> _Words:
    return words ^ (words >> np.uint32(16))


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

"""Casts of the embedded benchmark: who is in a scene, what sounds, and its random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vssl.data.synthetic_objects import KINDS

CLASSES = tuple(KINDS)
"""The classes that can be drawn and heard."""

# What a generator is for: the third key of its seed, so that no two parts share their random
# numbers. Sounds and noises take one key for each object of a scene.
ORDER, BACKGROUND, OBJECTS, SOUND = range(4)
NOISE = 16

# The last key of a seed. The test split has none, which is the same as 0.
_SPLIT_KEYS: dict[str, tuple[int, ...]] = {"test": (), "validation": (1,), "train": (2,)}


@dataclass(frozen=True)
class Cast:
    """The objects of a scene and its samples.

    Attributes:
        names: class of each object, from back to front.
        sounding: for each sample, the places in `names` of the objects that sound together; they
            are of one class.
    """

    names: tuple[str, ...]
    sounding: tuple[tuple[int, ...], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class of each sample."""
        return tuple(self.names[places[0]] for places in self.sounding)


def generator_of(seed: int, number: int, part: int, split: str) -> np.random.Generator:
    """Random numbers of one part of a scene; no other part, scene, seed or split has them.

    Args:
        seed: below 2 ** 32, as `number` is: NumPy takes a larger number for two.
        number: of the scene, or of the round in which classes take turns.
        part: what they are for.
        split: `test`, `validation` or `train`.
    """
    return np.random.default_rng([seed, number, part, *_SPLIT_KEYS[split]])


def cast_scene(seed: int, number: int, split: str, difficulty: str) -> Cast:
    """The cast of a scene, from a shuffle of all classes, a new one each round.

    Over the scenes from 0 on, numbers of samples of two classes differ by at most one, and so do
    the numbers of pairs of a class in `same_class_pair`.
    """
    if difficulty == "easy":
        turn, place = divmod(number, len(CLASSES))
        return Cast((_shuffled(seed, turn, split)[0][place],), ((0,),))
    if difficulty == "same_class_pair":
        return _pair_and_single(seed, number, split)
    turn, place = divmod(number, len(CLASSES) // 2)
    first, second = _shuffled(seed, turn, split)[0][2 * place : 2 * place + 2]
    return Cast((first, second), ((0,), (1,)))


def _pair_and_single(seed: int, number: int, split: str) -> Cast:
    turn, scene = divmod(number, len(CLASSES))
    names, generator = _shuffled(seed, turn, split)
    # The first half of a round pairs every second class, the other half the classes between them.
    late, place = divmod(scene, len(CLASSES) // 2)
    pair = names[2 * place + late]
    single = names[(2 * place + late + 1) % len(CLASSES)]
    depth = int(generator.integers(3, size=len(CLASSES))[scene])
    objects = [pair, pair]
    objects.insert(depth, single)
    both = tuple(where for where in range(3) if where != depth)
    return Cast(tuple(objects), (both, (depth,)))


def _shuffled(seed: int, turn: int, split: str) -> tuple[list[str], np.random.Generator]:
    generator = generator_of(seed, turn, ORDER, split)
    return [CLASSES[index] for index in generator.permutation(len(CLASSES))], generator

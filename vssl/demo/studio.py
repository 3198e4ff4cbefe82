"""Computing of the live demo: models at hand, their calibration, maps, and numbers at a threshold.

All of it follows from the model, what is given and the threshold; what takes time is kept.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from vssl.analysis.error_rates import ErrorRates
from vssl.config.catalog import models_at_hand
from vssl.config.compose import bundled_weights, composed_config, run_folder
from vssl.config.settings import RunSettings
from vssl.core.arrays import AnyFloats
from vssl.demo.inputs import Given, read_given
from vssl.images import Pixels
from vssl.localize.figures import outline, resized_map, shrunk
from vssl.localize.image import native_maps
from vssl.localize.setup import LOCALIZE_POLICY, LocalizeOptions, Setup, read_settings, set_up
from vssl.localize.threshold import find_threshold
from vssl.localize.verdict import MapNumbers, Threshold, Verdict, highest, measure
from vssl.reporting.figures.overlay import in_range, laid_over
from vssl.runs.evaluate import evaluate
from vssl.thresholds.base import ThresholdError
from vssl.types import POSITIVE, AudioClip

CALIBRATION_SCENES = 40
"""Drawn scenes, of two samples each, on which models that come with vssl are calibrated."""
_CALIBRATION = (
    "data=synthetic", "data.split=validation", f"data.scenes={CALIBRATION_SCENES}", "negatives=all",
    "negatives.noise.draws=5", "negatives.offscreen.draws=5", "threshold=universal_q3",
    "metrics=pia", "bootstrap.resamples=1", "logger=none", "output_root=${paths.cache}/demo",
)  # fmt: skip
FALSE_ALARMS = 0.05
POLICIES = (LOCALIZE_POLICY, f"false_alarm_{100 * FALSE_ALARMS:g}", "fixed")
"""Threshold policies to choose from, as far as a model has them."""

_FIRST = ("tiny_san", "tiny_av", "tiny_deaf")
_SIDE = 320  # longest side of a drawn map in pixels

Tried = tuple[Threshold | None, ErrorRates | None]


@dataclass(frozen=True)
class Tuned:
    """A model that is set up, and the thresholds to choose from with their error rates."""

    setup: Setup
    settings: RunSettings
    options: LocalizeOptions
    policies: dict[str, Tried]

    def threshold(self, options: LocalizeOptions, settings: RunSettings | None = None) -> Tried:
        """Find a threshold and its error rates as `vssl-localize` does."""
        recipe = self.setup.recipe
        judged, variant = recipe.transform == "none", recipe.variants[-1]
        return find_threshold(settings or self.settings, options, variant=variant, judged=judged)


@dataclass(frozen=True)
class Looked:
    """Maps of a picture under K sounds: the given one, its negatives, and the other sounds."""

    clip: AudioClip  # the given sound
    similarity: torch.Tensor  # `[K, h, w]`
    pairings: list[tuple[str, int]]
    objects: torch.Tensor | None  # `[g, g]`
    own: int  # number of maps of the given sound and its negatives
    names: dict[int, str]  # of the maps that are shown
    bounds: tuple[float, float]  # range of colours for all; what is below is drawn as its end
    picture: AnyFloats  # `[H, W, 3]` in [0, 1], small
    drawn: dict[int, Pixels]  # shown maps over the picture, without outlines


@dataclass(frozen=True)
class Card:
    """A map with its numbers, and the overlap of what it marks with what the given sound marks."""

    name: str
    pixels: Pixels
    numbers: MapNumbers
    overlap: float | None  # IoU; None for the given sound, and where both mark nothing


@dataclass(frozen=True)
class Shown:
    """What the page shows at a threshold; the given sound's card is the first."""

    cards: list[Card]
    looked: Looked
    setup: Setup  # with threshold and error rates
    verdict: Verdict


class Studio:
    """Models at hand, each set up on first use."""

    def __init__(self, options: LocalizeOptions) -> None:
        self.options = options
        self._alone = threading.Lock()  # Hydra's state belongs to the whole process
        self.models = lru_cache(1)(self._models)
        self.tuned = lru_cache(3)(self._tuned)
        self.look = lru_cache(8)(self._look)
        self._tried = lru_cache(512)(self._try)

    def show(self, model: str, given: Given, choice: str | float) -> Shown:
        """Judge what is given at a threshold: that of a policy by name, or a number.

        Raises:
            UsageError: for a file or a model that cannot be used.
        """
        tuned, looked = self.tuned(model), self.look(model, given)
        threshold, rates = (
            tuned.policies[choice] if isinstance(choice, str) else self._tried(model, choice)
        )
        setup = replace(tuned.setup, threshold=threshold, rates=rates)
        maps, numbers = measure(
            setup.recipe, looked.similarity, looked.pairings, looked.objects, threshold
        )
        marked = torch.zeros_like(maps, dtype=torch.bool)
        if threshold is not None:
            marked = maps > threshold.value
        cards = []
        for place, name in looked.names.items():
            pixels = looked.drawn[place].copy()
            if threshold is not None:
                resized = resized_map(maps[place], pixels.shape[:2])
                for edge, grey in outline(resized, threshold.value):
                    pixels[edge] = grey
            either = int((marked[0] | marked[place]).sum())
            both = int((marked[0] & marked[place]).sum())
            overlap = both / either if place and either else None
            cards.append(Card(name, pixels, numbers[place], overlap))
        verdict = setup.judge([numbers[: looked.own]], video=False)
        return Shown(cards, looked, setup, verdict)

    def _models(self) -> list[str]:
        """Names of the models whose weights are at hand, the command line's first."""
        paths = [word for word in self.options.overrides if word.startswith("paths.")]
        with self._alone:
            return list(dict.fromkeys([self.options.model, *_FIRST, *models_at_hand(paths)]))

    def _try(self, model: str, value: float) -> Tried:
        tuned = self.tuned(model)
        return tuned.threshold(replace(tuned.options, threshold=value))

    def _options(self, model: str) -> LocalizeOptions:
        """Options of a model; `model.*`, weights and calibration are the command line's model's."""
        if model == self.options.model:
            return self.options
        words = [each for each in self.options.overrides if not each.startswith("model.")]
        return LocalizeOptions(model, noise_draws=self.options.noise_draws, overrides=words)

    def _tuned(self, model: str) -> Tuned:
        with self._alone:
            return self._tune(self._options(model))

    def _tune(self, options: LocalizeOptions) -> Tuned:
        settings = read_settings(options)
        bundled = Path(bundled_weights("")).parent
        paths = settings.model.weights.values()
        if options.calibration is None and all(path.parent == bundled for path in paths):
            options = replace(options, calibration=_calibrated(options))
        policies: dict[str, Tried] = {}
        tuned = Tuned(set_up(options), settings, options, policies)
        learnt, stated, fixed = POLICIES
        with suppress(ThresholdError):  # a model that the policy does not exist for
            policies[learnt] = tuned.threshold(options)
        with suppress(ThresholdError):  # no calibration run, or one of too few images
            policies[stated] = tuned.threshold(replace(options, false_alarms=FALSE_ALARMS))
        with suppress(ThresholdError):  # in units of another map
            constant = read_settings(replace(options, policy=fixed))
            policies[fixed] = tuned.threshold(options, constant)
        for name in [name for name, (threshold, _) in policies.items() if threshold is None]:
            del policies[name]
        return tuned

    def _look(self, model: str, given: Given) -> Looked:
        setup = self.tuned(model).setup
        pixels, clips = read_given(setup, given)
        sounds = list(zip(given.sounds, clips, strict=True))
        sounds.insert(0, sounds.pop(given.chosen))
        similarity, pairings, objects = native_maps(
            setup, pixels, given.picture, [(sound.path, clip) for sound, clip in sounds]
        )
        maps, numbers = measure(setup.recipe, similarity, pairings, objects, None)
        own = len(pairings) - len(sounds) + 1
        places = highest(numbers[:own])
        names = {places.pop(POSITIVE): sounds[0][0].name}
        names |= {own + n: sound.name for n, (sound, _) in enumerate(sounds[1:])}
        draws = setup.facts["draws"]
        for condition, place in places.items():
            many = f", highest of {draws[condition]}" if draws[condition] > 1 else ""
            names[place] = condition + many
        bounds, picture = setup.bounds, shrunk(pixels, _SIDE)
        if not np.isfinite(bounds).all():
            finite = maps[list(names)].nan_to_num(0.0)
            bounds = float(finite.min()), float(finite.max()) + 1e-12
        else:  # values below 0 mark nothing, and few models come near their largest
            low, high = 0.0 if bounds[0] < 0 < bounds[1] else bounds[0], bounds[1]
            highest_shown = float(maps[list(names)].nan_to_num(low).max())
            bounds = low, max((low + high) / 2, min(highest_shown, high))
        drawn = {}
        for place in names:
            resized = resized_map(maps[place], picture.shape[:2]).numpy()
            drawn[place] = (255 * laid_over(picture, in_range(resized, bounds))).astype(np.uint8)
        return Looked(sounds[0][1], similarity, list(pairings), objects, own, names, bounds,
                      picture, drawn)  # fmt: skip


def _calibrated(options: LocalizeOptions) -> Path:
    """Evaluate a model on drawn scenes that the page does not show, once; the run is kept."""
    config = composed_config(
        "evaluate", [f"model={options.model}", *options.overrides, *_CALIBRATION]
    )
    folder = Path(run_folder(_root_=config)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    evaluate(RunSettings.of(config), folder, quiet=True, wait=True)
    return folder

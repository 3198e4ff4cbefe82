"""Computing of the live demo: models at hand, their calibration, maps, and numbers at a threshold.

All of it follows from the model, what is given and the threshold; what takes time is kept.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from vssl.analysis.error_rates import ErrorRates
from vssl.config.catalog import models_at_hand
from vssl.config.compose import bundled_weights, composed_config, run_folder
from vssl.config.settings import RunSettings
from vssl.demo.inputs import Given, read_given
from vssl.engine.localizer import NativeMaps
from vssl.images import Pixels
from vssl.localize.figures import outline, resized_map, shrunk
from vssl.localize.image import native_maps
from vssl.localize.setup import LOCALIZE_POLICY, LocalizeOptions, Setup, read_settings, set_up
from vssl.localize.threshold import find_threshold
from vssl.localize.verdict import MapNumbers, Threshold, Verdict, highest, measure
from vssl.reporting.figures.overlay import in_range, laid_over
from vssl.runs.evaluate import evaluate
from vssl.thresholds.base import ThresholdError
from vssl.types import AudioClip

CALIBRATION_SCENES = 40
"""Drawn scenes, of two samples each, on which models that come with vssl are calibrated."""
_CALIBRATION = (
    "data=synthetic", "data.split=validation", f"data.scenes={CALIBRATION_SCENES}", "negatives=all",
    "negatives.noise.draws=5", "negatives.offscreen.draws=5", "threshold=universal_q3",
    "metrics=pia", "bootstrap.resamples=1", "logger=none", "output_root=${paths.cache}/demo",
)  # fmt: skip
POLICIES = (LOCALIZE_POLICY, "false_alarm_5", "fixed")
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


@dataclass(frozen=True)
class Looked:
    """Maps of a picture: under the given sound, its negatives, and the other sounds."""

    clip: AudioClip  # the given sound
    native: NativeMaps
    pairings: list[tuple[str, int]]  # audio condition and draw of each
    own: int  # number of maps without those of the other sounds
    names: dict[int, str]  # of the maps that are shown, the given sound's first
    bounds: tuple[float, float]  # range of colours for all; what is below is drawn as its end
    picture: Pixels  # small
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

    @property
    def slider(self) -> tuple[float, float, float]:
        """Ends of a slider of thresholds, and its value, which is rounded and between them."""
        threshold, (low, high) = self.setup.threshold, self.looked.bounds
        value = round(threshold.value if threshold else low, 4)
        return min(low, value), max(high, value), value


class Studio:
    """Models at hand, each set up on first use."""

    def __init__(self, options: LocalizeOptions) -> None:
        self.options = options
        self._alone = threading.Lock()  # Hydra's state belongs to the whole process
        self.models = lru_cache(1)(self._models)
        self.tuned = lru_cache(3)(self._tuned)
        self.look = lru_cache(8)(self._look)
        self._at = lru_cache(512)(self._find)

    def show(self, model: str, given: Given, choice: str | float) -> Shown:
        """Judge what is given at a threshold: that of a policy by name, or a number.

        Raises:
            UsageError: for a file or a model that cannot be used.
        """
        tuned, looked = self.tuned(model), self.look(model, given)
        threshold, rates = (
            tuned.policies[choice] if isinstance(choice, str) else self._at(model, choice)
        )
        setup = replace(tuned.setup, threshold=threshold, rates=rates)
        maps, numbers = measure(setup.recipe, looked.native, looked.pairings, threshold)
        level = np.inf if threshold is None else threshold.value
        cards = []
        for place, name in looked.names.items():
            pixels = looked.drawn[place].copy()
            for edge, grey in outline(resized_map(maps[place], pixels.shape[:2]), level):
                pixels[edge] = grey
            first, this = maps[0] > level, maps[place] > level
            either = int((first | this).sum())
            overlap = int((first & this).sum()) / either if place and either else None
            cards.append(Card(name, pixels, numbers[place], overlap))
        return Shown(cards, looked, setup, setup.judge([numbers[: looked.own]], video=False))

    def _models(self) -> list[str]:
        """Names of the models whose weights are at hand, the command line's first."""
        paths = [word for word in self.options.overrides if word.startswith("paths.")]
        with self._alone:
            return list(dict.fromkeys([self.options.model, *_FIRST, *models_at_hand(paths)]))

    def _tuned(self, model: str) -> Tuned:
        """Set a model up; `model.*`, weights and calibration are of the command line's model."""
        options = self.options
        if model != options.model:
            words = [each for each in options.overrides if not each.startswith("model.")]
            options = LocalizeOptions(model, overrides=words)
        with self._alone:
            settings = read_settings(options)
            bundled, paths = Path(bundled_weights("")).parent, settings.model.weights.values()
            if options.calibration is None and all(path.parent == bundled for path in paths):
                options = replace(options, calibration=_calibrated(options))
            tuned = Tuned(set_up(options), settings, options, {})
            learnt, stated, fixed = POLICIES
            constant = read_settings(replace(options, policy=fixed))
        for name, found_in, given in (
            (learnt, settings, options),
            (stated, settings, replace(options, false_alarms=0.05)),
            (fixed, constant, options),
        ):
            # no calibration run or too small a one, or in units of another map
            with suppress(ThresholdError):
                found = find_threshold(found_in, given, tuned.setup.recipe)
                tuned.policies.update({} if found[0] is None else {name: found})
        return tuned

    def _find(self, model: str, value: float) -> Tried:
        tuned = self.tuned(model)
        given = replace(tuned.options, threshold=value)
        return find_threshold(tuned.settings, given, tuned.setup.recipe)

    def _look(self, model: str, given: Given) -> Looked:
        setup = self.tuned(model).setup
        pixels, clips = read_given(setup, given)
        sounds = list(zip(given.sounds, clips, strict=True))
        sounds.insert(0, sounds.pop(given.chosen))
        heard = [(sound.path, clip) for sound, clip in sounds]
        native, pairings = native_maps(setup, pixels, given.picture, heard)
        maps, numbers = measure(setup.recipe, native, pairings, None)
        own = len(maps) - len(sounds) + 1
        names = dict(enumerate((sound.name for sound, _ in sounds[1:]), start=own))
        for condition, place in highest(numbers[:own]).items():
            draws = setup.facts["draws"].get(condition, 1)
            names[place] = condition + (f", highest of {draws}" if draws > 1 else "")
        names = {0: sounds[0][0].name, **{n: name for n, name in names.items() if n}}
        shown, (low, high) = maps[list(names)].nan_to_num(0.0), setup.bounds
        if np.isfinite([low, high]).all():
            # values below 0 mark nothing, and few models come near the highest that can be
            low = 0.0 if low < 0 < high else low
            high = max((low + high) / 2, min(math.ceil(100 * float(shown.max())) / 100, high))
        else:
            low, high = float(shown.min()), float(shown.max()) + 1e-12
        picture, drawn = shrunk(pixels, _SIDE), {}
        for place in names:
            resized = resized_map(maps[place], picture.shape[:2]).numpy()
            heat = laid_over(picture, in_range(resized, (low, high)))
            drawn[place] = (255 * heat).astype(np.uint8)
        small = (255 * picture).astype(np.uint8)
        return Looked(sounds[0][1], native, pairings, own, names, (low, high), small, drawn)


def _calibrated(options: LocalizeOptions) -> Path:
    """Evaluate a model on drawn scenes that the page does not show, once; the run is kept."""
    words = [f"model={options.model}", *options.overrides, *_CALIBRATION]
    config = composed_config("evaluate", words)
    folder = Path(run_folder(_root_=config)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    evaluate(RunSettings.of(config), folder, quiet=True, wait=True)
    return folder

"""The figures of `vssl-localize`: one image under its sounds, and the maps of a video over time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vssl.images import Pixels, as_tensor
from vssl.reporting.colouring import COLOURS, in_range, laid_over
from vssl.reporting.verdict import MapNumbers, Threshold, Verdict, in_percent
from vssl.types import POSITIVE

_LARGE_LINE, _SMALL_LINE = 0.23, 0.16
"""Heights of a line of text in inches."""
_LARGE_CHARACTERS, _SMALL_CHARACTERS = 10.2, 15.5
"""How many stand on an inch."""
_WARNING = "#B2182B"

_LONGEST = 480
"""Longest side in pixels that an image is drawn at."""
_WIDE, _NARROW = 2.6, 1.7
_TALL, _LEAST = 4.4, 0.9
"""The most and the least that a picture takes, in inches."""
_BETWEEN, _SCALE, _TITLES, _LABELS = 0.15, 0.75, 0.45, 0.48
"""Room between columns, for the scale of colours, above and below the pictures, in inches."""

_TIMELINE_WIDTH = 10.0
_SOUND = "#0072B2"
_NEGATIVES = ("#E69F00", "#7F7F7F", "#CC79A7", "#009E73")
"""Of Okabe and Ito, which differ for every kind of colour vision, and in grey."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Captions:
    """Texts above and below a figure, by its width in inches."""

    files: str
    verdict: Verdict
    note: str
    width: float

    @property
    def _above(self) -> tuple[list[str], list[str]]:
        wide = int(self.width * _LARGE_CHARACTERS)
        return textwrap.wrap(self.files, int(1.1 * wide)), textwrap.wrap(self.verdict.words, wide)

    @property
    def _below(self) -> tuple[list[str], list[str], list[str]]:
        """Note, errors and warnings, from the lower edge on."""

        def wrapped(texts: Sequence[str]) -> list[str]:
            wide = int(self.width * _SMALL_CHARACTERS)
            return [line for text in texts for line in textwrap.wrap(text, wide)]

        warnings = [f"warning: {each}" for each in self.verdict.warnings]
        return wrapped([self.note]), wrapped(self.verdict.errors), wrapped(warnings)

    @property
    def above(self) -> float:
        """Height in inches of the texts above."""
        return 0.1 + _LARGE_LINE * sum(map(len, self._above))

    @property
    def below(self) -> float:
        """Height in inches of the texts below."""
        return 0.08 + _SMALL_LINE * sum(map(len, self._below))

    def draw(self, figure: Figure) -> None:
        """Write them on a figure."""
        height, (files, verdict) = figure.get_figheight(), self._above
        place = height - 0.08
        centred: dict[str, Any] = {"ha": "center", "va": "top"}
        figure.text(0.5, place / height, "\n".join(files), fontsize=10, color="#444444", **centred)
        place -= _LARGE_LINE * len(files)
        figure.text(0.5, place / height, "\n".join(verdict), fontsize=11, **centred)
        place = 0.06
        styles: tuple[dict[str, Any], ...] = (
            {"fontsize": 7.5, "color": "#444444"},
            {"fontsize": 8, "linespacing": 1.4},
            {"fontsize": 8, "color": _WARNING},
        )
        for lines, style in zip(self._below, styles, strict=True):
            figure.text(0.1 / self.width, place / height, "\n".join(lines), **style)
            place += _SMALL_LINE * len(lines)


def draw_pair(
    path: Path,
    pixels: Pixels,
    columns: Sequence[tuple[str, torch.Tensor, MapNumbers]],
    *,
    bounds: tuple[float, float],
    threshold: Threshold | None,
    files: str,
    verdict: Verdict,
    note: str,
) -> None:
    """Draw an image, and beside it its map under each sound.

    Maps are drawn in the declared range, so that a map that is low looks low; values above the
    threshold are outlined in white.

    Args:
        path: PNG file to write.
        pixels: the image, `[H, W, 3]`.
        columns: title, localization map `[224, 224]` and numbers of each sound.
        bounds: the declared range; where it has no end, the extremes of these maps stand in.
        threshold: threshold; None for no outline.
        files: which image and which sound, for the title.
        verdict: the verdict.
        note: where the numbers come from.
    """
    picture = _shrunk(pixels)
    height, width = picture.shape[:2]
    if not np.isfinite(bounds).all():
        every = torch.stack([each for _, each, _ in columns])
        bounds = (float(every.min()), float(every.max()) + 1e-12)
    tall = min(max(_WIDE * height / width, _LEAST), _TALL)
    wide = min(max(tall * width / height, _NARROW), _WIDE)
    step, count = wide + _BETWEEN, 1 + len(columns)
    total = max(count * step + _SCALE, 7.5)
    captions = _Captions(files, verdict, note, total)
    below = captions.below + _LABELS
    figure = Figure(figsize=(total, tall + captions.above + _TITLES + below), dpi=110)
    left = (total - count * step - _SCALE + 0.2) / 2

    def box(place: int, size: float) -> Box:
        high = figure.get_figheight()
        return (left + place * step) / total, below / high, size / total, tall / high

    _panel(figure, box(0, wide), picture, "image")
    for place, (name, localization, numbers) in enumerate(columns, start=1):
        resized = torch.nn.functional.interpolate(
            localization[None, None], size=(height, width), mode="bilinear"
        )[0, 0].numpy()
        shown = laid_over(picture, in_range(resized, bounds))
        axes = _panel(figure, box(place, wide), shown, name)
        if threshold is not None and resized.min() < threshold.value < resized.max():
            for colour, line in (("black", 2.4), ("white", 1.2)):
                axes.contour(resized, levels=[threshold.value], colors=colour, linewidths=line)
        text = f"{numbers.smallest:.3f} to {numbers.largest:.3f}"
        if numbers.marked is not None:
            text += f"\nmarks {in_percent(numbers.marked)}"
        axes.set_xlabel(text, fontsize=9)
    scale = figure.add_axes(box(count, 0.12))
    figure.colorbar(ScalarMappable(Normalize(*bounds), mpl.colormaps[COLOURS]), cax=scale)
    scale.tick_params(labelsize=8)
    if threshold is not None:
        scale.set_title(f"threshold\n{threshold.value:.3f}", fontsize=7.5)
        if bounds[0] <= threshold.value <= bounds[1]:
            scale.axhline(threshold.value, color="black", linewidth=3)
            scale.axhline(threshold.value, color="white", linewidth=1.4)
    captions.draw(figure)
    figure.savefig(path)


def _shrunk(pixels: Pixels) -> np.ndarray[Any, Any]:
    """An image `[H, W, 3]` in [0, 1], not larger than is drawn."""
    image = as_tensor(pixels)
    scale = _LONGEST / max(image.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        image = torch.nn.functional.interpolate(
            image[None], size=size, mode="bilinear", antialias=True
        )[0]
    return image.permute(1, 2, 0).clamp(0, 1).numpy()


def _panel(figure: Figure, box: Box, picture: np.ndarray[Any, Any], name: str) -> Any:
    axes = figure.add_axes(box, anchor="S")
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(name, fontsize=9.5)
    return axes


def draw_timeline(
    path: Path,
    seconds: Sequence[float],
    frames: Sequence[Sequence[MapNumbers]],
    *,
    threshold: Threshold | None,
    files: str,
    verdict: Verdict,
    note: str,
) -> None:
    """Draw how high the maps of a video reach over time, under its sound, silence and noise.

    The line is the largest value of the map under the video's sound. A negative with several draws
    is a band from its lowest to its highest draw. Below, with a threshold: how much is marked.

    Args:
        path: PNG file to write.
        seconds: times of the frames.
        frames: of each, the numbers of its maps under the same sounds, the video's own first.
        threshold: threshold; None for none.
        files: which video and which sound, for the title.
        verdict: the verdict.
        note: where the numbers come from.
    """
    captions = _Captions(files, verdict, note, _TIMELINE_WIDTH)
    above, below = captions.above + 0.3, captions.below + 0.48
    height = (3.0 if threshold is None else 4.1) + above + below
    figure = Figure(figsize=(_TIMELINE_WIDTH, height), dpi=110)
    count = 1 if threshold is None else 2
    grid = figure.subplots(
        count, 1, sharex=True, squeeze=False,
        gridspec_kw={
            "height_ratios": [3, 1][:count], "hspace": 0.12, "left": 0.075, "right": 0.985,
            "top": 1 - above / height, "bottom": below / height,
        },
    )  # fmt: skip
    values = grid[0, 0]
    marker = "o" if len(seconds) == 1 else None
    reach = np.array([[each.largest for each in numbers] for numbers in frames])
    conditions = np.array([each.condition for each in frames[0]])
    values.plot(
        seconds, reach[:, 0], color=_SOUND, linewidth=2.2, label="given sound", marker=marker
    )
    # negatives on top and thinner: where they are the same, both are seen
    negatives = [name for name in dict.fromkeys(conditions.tolist()) if name != POSITIVE]
    for name, colour in zip(negatives, _NEGATIVES * len(negatives), strict=False):
        draws = reach[:, conditions == name]
        if draws.shape[1] > 1:
            values.fill_between(
                seconds, draws.min(axis=1), draws.max(axis=1), color=colour, alpha=0.45,
                linewidth=0.8, label=f"{name}, {draws.shape[1]} draws",
            )  # fmt: skip
        else:
            values.plot(
                seconds, draws, color=colour, linewidth=1.3, linestyle=(0, (5, 1.5)), label=name,
                marker=marker,
            )  # fmt: skip
    if threshold is not None:
        values.axhline(
            threshold.value, color="black", linewidth=1.1, linestyle=":",
            label=f"threshold {threshold.value:.3f}",
        )  # fmt: skip
        marked = grid[1, 0]
        share = 100 * np.array([numbers[0].marked for numbers in frames], dtype=float)
        marked.fill_between(seconds, 0, share, color=_SOUND, alpha=0.35, linewidth=0, step="post")
        marked.plot(seconds, share, color=_SOUND, linewidth=1.0, drawstyle="steps-post",
                    marker=marker)  # fmt: skip
        marked.set_ylim(bottom=0, top=max(1.0, 1.1 * float(np.nanmax([*share, 0.0]))))
        marked.set_ylabel("pIA (%)", fontsize=9)
    if len(seconds) > 1:
        values.set_xlim(seconds[0], seconds[-1])
    values.set_ylabel("largest value of the map", fontsize=9)
    grid[-1, 0].set_xlabel("time (s)", fontsize=9)
    for axes in grid[:, 0]:
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    values.legend(fontsize=8, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False,
                  borderaxespad=0.2)  # fmt: skip
    captions.draw(figure)
    figure.savefig(path)

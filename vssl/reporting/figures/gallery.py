"""Maps of one image under every audio condition, over the image."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vssl.core.arrays import AnyFloats
from vssl.maps import decode_mask
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.records.read import samples_by_size
from vssl.records.store import read_provenance
from vssl.reporting.figures.overlay import in_range, laid_over
from vssl.reporting.figures.samples import RunScene, evaluation_image, read_scenes
from vssl.reporting.tables.model import MISSING
from vssl.types import EVALUATION_SIZE

_BOX_COLOUR = "#00e5ff"


def draw_comparison(
    folders: Sequence[Path],
    path: Path,
    *,
    thresholds: Sequence[float | None],
    sample_id: str | None = None,
) -> None:
    """Draw one image under every audio condition, one column per run.

    Maps are drawn in the declared range of the model, not stretched per map: a map that is low
    looks low. What lies above the run's threshold (None for no outline) is outlined in white.
    Without `sample_id` it is the sample with the ground truth of median size.
    """
    chosen = sample_id or samples_by_size(folders[0], [0.5])[0]
    scenes = [read_scenes(folder, [chosen])[0] for folder in folders]
    facts = [read_provenance(folder / RECORDS_FILE) for folder in folders]
    image = evaluation_image(scenes[0].image_path)
    heard = heard_in(scenes)
    size = 1.9 * len(folders) + 1.4, 1.95 * len(heard) + 0.9
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    titles = [each["model"] for each in facts]
    for axes, place, condition in squares(figure, titles, heard, side=1.9):
        scene = scenes[place]
        if condition in scene.conditions:
            pixels = _over_image(image, scene, condition, facts[place])
            draw_map(axes, pixels, scene, condition, threshold=thresholds[place])
    shown = "cyan box" if scenes[0].boxes else "cyan outline"
    title = f"The image's own sound is a {scenes[0].category} ({shown})"
    if scenes[0].natural:
        title = f"Nothing in the image sounds; its sound is a {scenes[0].category}"
    figure.suptitle(textwrap.fill(title, round(15 * size[0])), fontsize=11)
    figure.savefig(path)


def draw_gallery(
    folder: Path, output: Path, *, threshold: float | None, shares: Sequence[float]
) -> list[tuple[Path, str]]:
    """Draw a few images under every audio condition, one JPEG file each, as `draw_comparison`.

    `shares` are places of the samples among all in ascending size of the ground truth. The pictures
    come with their captions.
    """
    facts = read_provenance(folder / RECORDS_FILE)
    drawn = []
    for number, scene in enumerate(read_scenes(folder, samples_by_size(folder, shares))):
        image = evaluation_image(scene.image_path)
        figure = Figure(figsize=(1.9 * len(scene.conditions), 2.4), dpi=110, layout="constrained")
        grid = figure.subplots(1, len(scene.conditions), squeeze=False)
        for axes, condition in zip(grid[0], scene.conditions, strict=True):
            axes.set_title(scene.label(condition), fontsize=9)
            pixels = _over_image(image, scene, condition, facts)
            draw_map(axes, pixels, scene, condition, threshold=threshold)
        path = output / f"{number}.jpg"
        figure.savefig(path, pil_kwargs={"quality": 85})
        drawn.append((path, f"{scene.sample_id}: {scene.category}"))
    return drawn


def _over_image(
    image: torch.Tensor, scene: RunScene, condition: str, facts: Mapping[str, Any]
) -> AnyFloats:
    """A map over the image `[224, 224, 3]`, in the declared range of the run's model."""
    localization = scene.maps[AUDIO_VISUAL][scene.conditions.index(condition)].numpy()
    shares = in_range(localization, Localization.of(facts).value_range)
    return laid_over(image.numpy(), shares)


def heard_in(scenes: Sequence[RunScene]) -> dict[str, str]:
    """Audio conditions of an image's runs, with what is heard in the first run that has each."""
    heard: dict[str, str] = {}
    for scene in scenes:
        for condition in scene.conditions:
            heard.setdefault(condition, scene.label(condition))
    return heard


def squares(
    canvas: Any,
    titles: Sequence[str],
    heard: Mapping[str, str],
    *,
    side: float,
    columns: int = 0,
    scale: float = 1.0,
) -> Iterator[tuple[Any, int, str]]:
    """Axes for the maps of one image, each with the place of its run and its audio condition.

    A column is a run, with its title above; a row is an audio condition, with what is heard, as
    `heard_in` gives it. `side` is that of a square in inches, `columns` a number of columns to make
    room for, `scale` that of letters.
    """
    letters, font = round(15 * side), 9 * scale
    grid = canvas.subplots(len(heard), max(columns, len(titles)), squeeze=False)
    for (condition, label), row in zip(heard.items(), grid, strict=True):
        lines = (textwrap.fill(line, letters) for line in label.split("\n"))
        row[0].set_ylabel("\n".join(lines), fontsize=font)
        for place, axes in enumerate(row):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if place < len(titles):
                yield axes, place, condition
    for title, axes in zip(titles, grid[0], strict=False):
        axes.set_title(textwrap.fill(title, letters), fontsize=font)


def draw_map(
    axes: Any,
    pixels: AnyFloats,
    scene: RunScene,
    condition: str,
    *,
    variant: str = AUDIO_VISUAL,
    threshold: float | None = None,
    scale: float = 1.0,
) -> None:
    """Draw a map as `pixels` `[224, 224, 3]`, with ground truth and its extremes.

    A threshold is outlined in white. `scale` is that of letters and lines.
    """
    place = scene.conditions.index(condition)
    localization = scene.maps[variant][place].numpy()
    axes.set(xticks=[], yticks=[])
    axes.imshow((255 * pixels).round().astype(np.uint8))  # a figure holds all its images
    if threshold is not None and localization.min() < threshold < localization.max():
        lines = axes.contour(
            localization, levels=[threshold], colors="white", linewidths=0.9 * scale
        )
        lines.set_path_effects([patheffects.withStroke(linewidth=1.8 * scale, foreground="black")])
    draw_truth(axes, scene, width=1.2 * scale)
    least, largest = scene.extremes[variant][place].tolist()
    digits = 3 if 0 < max(abs(least), abs(largest)) < 0.095 else 2
    text = f"{least:.{digits}f} to {largest:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    axes.set_xlabel(text if np.isfinite(least) else MISSING, fontsize=8 * scale)


def draw_truth(axes: Any, scene: RunScene, *, width: float = 1.2) -> None:
    """Draw ground-truth boxes, and outlines of masks, on an image `[224, 224]`."""
    style: Any = {"fill": False, "edgecolor": _BOX_COLOUR, "linewidth": width}
    for x0, y0, x1, y1 in scene.boxes:
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **style))
    steps = np.arange(-1, EVALUATION_SIZE + 1) + 0.5
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    for mask in scene.masks:
        inside = np.pad(decode_mask(mask), 1)  # the outline closes at the image's edge
        axes.contour(steps, steps, inside, levels=[0.5], colors=_BOX_COLOUR, linewidths=width)
    axes.set(**limits)  # which contours widen

"""Figures from records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vssl.maps import decode_mask
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.records.read import samples_by_size
from vssl.records.store import read_provenance
from vssl.reporting.figures.overlay import in_range, laid_over
from vssl.reporting.figures.samples import RunScene, evaluation_image, read_scenes
from vssl.types import EVALUATION_SIZE

_BOX_COLOUR = "#00e5ff"


def draw_comparison(
    folders: Sequence[Path],
    path: Path,
    *,
    thresholds: Sequence[float | None] | None = None,
    sample_id: str | None = None,
) -> None:
    """Draw one image under every audio condition, one column per run.

    Maps are drawn in the declared range of the model, not stretched per map: a map that is low
    looks low. What lies above the run's threshold (None for no outline) is outlined in white.
    Without `sample_id` it is the sample with the ground truth of median size.
    """
    chosen = sample_id or samples_by_size(folders[0], [0.5])[0]
    scenes = [read_scenes(folder, [chosen])[0] for folder in folders]
    conditions = list(dict.fromkeys(c for scene in scenes for c in scene.conditions))
    image = evaluation_image(scenes[0].image_path)
    figure = Figure(figsize=(1.9 * len(folders) + 1.4, 1.95 * len(conditions) + 0.9), dpi=110)
    grid = figure.subplots(len(conditions), len(folders), squeeze=False)
    for line, condition in enumerate(conditions):
        heard = next(scene for scene in scenes if condition in scene.conditions)
        grid[line, 0].set_ylabel(heard.label(condition), fontsize=9)
    for column, (folder, scene) in enumerate(zip(folders, scenes, strict=True)):
        facts = read_provenance(folder / RECORDS_FILE)
        grid[0, column].set_title(facts["model"], fontsize=10)
        for axes, condition in zip(grid[:, column], conditions, strict=True):
            axes.set(xticks=[], yticks=[])
            if condition in scene.conditions:
                threshold = thresholds[column] if thresholds else None
                _draw_map(axes, image, scene, condition, facts, threshold)
    shown = "cyan box" if scenes[0].boxes else "cyan outline"
    title = f"The image's own sound is a {scenes[0].category} ({shown})"
    if scenes[0].natural:
        title = f"Nothing in the image sounds; its sound is a {scenes[0].category}"
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / figure.get_figheight(), va="top")
    figure.tight_layout()
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
        figure = Figure(figsize=(1.9 * len(scene.conditions), 2.4), dpi=110)
        grid = figure.subplots(1, len(scene.conditions), squeeze=False)
        for axes, condition in zip(grid[0], scene.conditions, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.set_title(scene.label(condition), fontsize=9)
            _draw_map(axes, image, scene, condition, facts, threshold)
        path = output / f"{number}.jpg"
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.1, top=0.82, wspace=0.08)
        figure.savefig(path, pil_kwargs={"quality": 85})
        drawn.append((path, f"{scene.sample_id}: {scene.category}"))
    return drawn


def draw_truth(
    axes: Any,
    scene: RunScene,
    *,
    left: float = 0.0,
    top: float = 0.0,
    side: float = EVALUATION_SIZE,
    width: float = 1.2,
) -> None:
    """Draw ground-truth boxes, and outlines of masks, on an image in the units of the axes."""
    scale, origin = side / EVALUATION_SIZE, np.array([left, top] * 2)
    style: Any = {"fill": False, "edgecolor": _BOX_COLOUR, "linewidth": width}
    for box in scene.boxes:
        x0, y0, x1, y1 = (origin + scale * np.array(box)).tolist()
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **style))
    steps = scale * (np.arange(-1, EVALUATION_SIZE + 1) + 0.5)
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    for mask in scene.masks:
        inside = np.pad(decode_mask(mask), 1)  # the outline closes at the image's edge
        axes.contour(
            left + steps, top + steps, inside, levels=[0.5], colors=_BOX_COLOUR, linewidths=width
        )
    axes.set(**limits)  # which contours widen


def _draw_map(
    axes: Any,
    image: torch.Tensor,
    scene: RunScene,
    condition: str,
    facts: dict[str, Any],
    threshold: float | None,
) -> None:
    place = scene.conditions.index(condition)
    localization = scene.maps[AUDIO_VISUAL][place]
    shares = in_range(localization.numpy(), Localization.of(facts).value_range)
    axes.imshow(laid_over(image.numpy(), shares))
    if threshold is not None and localization.min() < threshold < localization.max():
        axes.contour(localization.numpy(), levels=[threshold], colors="white", linewidths=1.0)
    draw_truth(axes, scene)
    least, largest = scene.extremes[AUDIO_VISUAL][place].tolist()
    axes.set_xlabel(f"{least:.2f} to {largest:.2f}", fontsize=8)

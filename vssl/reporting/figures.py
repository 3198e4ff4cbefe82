"""Figures from records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vssl.images import read_image
from vssl.maps import transform_maps, upsample
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import Localization
from vssl.records.store import read_provenance
from vssl.types import EVALUATION_SIZE

_COLUMNS = [
    *("sample_id", "audio_condition", "draw", "audio_source_id", "image_path", "category", "boxes"),
    *("image_group", "map_height", "map_width", "similarity_map"),
]
_BOX_COLOUR = "#00e5ff"


def draw_comparison(
    folders: Sequence[Path],
    path: Path,
    *,
    thresholds: Sequence[float | None] | None = None,
    sample_id: str | None = None,
) -> None:
    """Draw one image under every audio condition, one column per run.

    Rows are audio conditions (draw 0), columns are models. Maps are drawn over the image in the
    declared range of the model, not stretched per map, so that a map that is low looks low. What
    lies above the run's threshold is outlined in white, the ground truth is a cyan box.

    Args:
        folders: runs on the same test set.
        path: PNG file to write.
        thresholds: threshold of each run, None for no outline.
        sample_id: sample to draw; None takes the one with the ground truth of median size.
    """
    chosen = sample_id or _by_size(folders[0], [0.5])[0]
    runs = [(read_provenance(f / RECORDS_FILE), _rows(f, chosen)) for f in folders]
    labels = {
        condition: _heard(condition, folder, rows)
        for folder, (_, rows) in zip(reversed(folders), reversed(runs), strict=True)
        for condition in rows["audio_condition"]
    }
    conditions = list(dict.fromkeys(c for _, rows in runs for c in rows["audio_condition"]))
    image = _image(runs[0][1].iloc[0]["image_path"])

    figure = Figure(figsize=(1.9 * len(runs) + 1.4, 1.95 * len(conditions) + 0.9), dpi=110)
    grid = figure.subplots(len(conditions), len(runs), squeeze=False)
    for column, (facts, rows) in enumerate(runs):
        by_condition = rows.set_index("audio_condition", drop=False)
        for line, condition in enumerate(conditions):
            axes = grid[line, column]
            axes.set_xticks([])
            axes.set_yticks([])
            if condition in by_condition.index:
                threshold = thresholds[column] if thresholds else None
                _draw_map(axes, image, by_condition.loc[condition], facts, threshold)
            if line == 0:
                axes.set_title(facts["model"], fontsize=10)
            if column == 0:
                axes.set_ylabel(labels[condition], fontsize=9)
    category = runs[0][1].iloc[0]["category"]
    figure.suptitle(f"The image's own sound is a {category} (cyan box)", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)


def draw_gallery(
    folder: Path, output: Path, *, threshold: float | None, shares: Sequence[float]
) -> list[tuple[Path, str]]:
    """Draw a few images under every audio condition, one JPEG file each.

    As in `draw_comparison`, but with the audio conditions side by side.

    Args:
        folder: a run.
        output: folder for the pictures.
        threshold: what lies above it is outlined; None for no outline.
        shares: which samples, as shares of all in ascending size of the ground truth.

    Returns:
        The pictures with their captions: sample and class.

    Raises:
        ImageFileError: when an image is no longer at hand.
    """
    facts = read_provenance(folder / RECORDS_FILE)
    drawn = []
    for number, sample_id in enumerate(_by_size(folder, shares)):
        rows = _rows(folder, sample_id)
        image = _image(rows.iloc[0]["image_path"])
        figure = Figure(figsize=(1.9 * len(rows), 2.4), dpi=110)
        grid = figure.subplots(1, len(rows), squeeze=False)
        for axes, (_, row) in zip(grid[0], rows.iterrows(), strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(_heard(row["audio_condition"], folder, rows), fontsize=9)
            _draw_map(axes, image, row, facts, threshold)
        path = output / f"{number}.jpg"
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.1, top=0.82, wspace=0.08)
        figure.savefig(path, pil_kwargs={"quality": 85})
        drawn.append((path, f"{sample_id}: {rows.iloc[0]['category']}"))
    return drawn


def _by_size(folder: Path, shares: Sequence[float]) -> list[str]:
    """Samples at some shares of the way from the smallest ground truth to the largest."""
    columns = ["sample_id", "audio_condition", "boxes"]
    rows = pq.read_table(
        folder / RECORDS_FILE, columns=columns, filters=[("audio_condition", "=", "positive")]
    ).to_pandas()
    # int(): the product of two int16 sides overflows
    areas = [sum(int(b[2] - b[0]) * int(b[3] - b[1]) for b in boxes) for boxes in rows["boxes"]]
    order = np.argsort(areas, kind="stable")
    places = dict.fromkeys(min(int(share * len(order)), len(order) - 1) for share in shares)
    return [str(rows["sample_id"].iloc[int(order[place])]) for place in places]


def _rows(folder: Path, sample_id: str) -> pd.DataFrame:
    filters = [("sample_id", "=", sample_id), ("draw", "=", 0)]
    table = pq.read_table(folder / RECORDS_FILE, columns=_COLUMNS, filters=filters)
    rows: pd.DataFrame = table.to_pandas()
    return rows


def _image(path: str) -> torch.Tensor:
    """The image at the evaluation size, `[224, 224, 3]`."""
    size = (EVALUATION_SIZE, EVALUATION_SIZE)
    shrunk = torch.nn.functional.interpolate(
        read_image(Path(path))[None], size=size, mode="bilinear", antialias=True
    )
    return shrunk[0].permute(1, 2, 0).clamp(0, 1)


def _draw_map(
    axes: Any,
    image: torch.Tensor,
    row: pd.Series[Any],
    facts: dict[str, Any],
    threshold: float | None,
) -> None:
    shape = (int(row["map_height"]), int(row["map_width"]))
    native = torch.from_numpy(np.array(row["similarity_map"], dtype=np.float32)).view(1, *shape)
    recipe = Localization.of(facts)
    upsampled = upsample(native, rule=recipe.upsampling[row["audio_condition"]])
    localization = transform_maps(upsampled, recipe.transform)[0]
    low, high = recipe.value_range
    if not np.isfinite([low, high]).all():  # nothing is declared to draw it in
        low, high = float(localization.min()), float(localization.max()) + 1e-12
    relative = ((localization - low) / (high - low)).clamp(0, 1)
    colours = mpl.colormaps["inferno"](relative.numpy())[..., :3]
    weight = 0.25 + 0.5 * relative[..., None].numpy()
    axes.imshow((1 - weight) * image.numpy() + weight * colours)
    if threshold is not None and localization.min() < threshold < localization.max():
        axes.contour(localization.numpy(), levels=[threshold], colors="white", linewidths=1.0)
    for x0, y0, x1, y1 in row["boxes"]:
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=_BOX_COLOUR, linewidth=1.2)
        )
    reached = native if recipe.transform == "none" else localization
    axes.set_xlabel(f"{reached.min():.2f} to {reached.max():.2f}", fontsize=8)


def _heard(condition: str, folder: Path, rows: pd.DataFrame) -> str:
    """Label of a row: the audio condition, and whose sound is heard in it."""
    source = rows[rows["audio_condition"] == condition].iloc[0]["audio_source_id"]
    if pd.isna(source):
        return condition
    return f"{condition}\n({_rows(folder, source).iloc[0]['category']})"

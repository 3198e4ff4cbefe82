"""Write what the pages show of `make demo`: run this file after it.

The picture docs/images/demo.png, the table of docs/benchmark.md, and README's, a part of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from vssl.records.files import SCORES_FILE
from vssl.records.localization import AUDIO_VISUAL
from vssl.reporting.figures.gallery import draw_truth
from vssl.reporting.figures.overlay import COLOURS
from vssl.reporting.figures.samples import RunScene, evaluation_image, read_scenes

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmark.md")

CHOSEN = ("tiny_deaf", "tiny_av", "tiny_san", "deaf_best")
"""Models in README's table; those of the picture are the ones with a word on their training."""

ROWS = {
    "cIoU ↑, tested as the field does": "cIoU ↑ object_area",
    "marks something in silence ↓": "FA fixed silence ↓",
    "… in noise ↓": "FA fixed noise ↓",
    "… in offscreen sounds ↓": "FA fixed offscreen ↓",
    "moves to what sounds (swap) ↑": "swap ↑ fixed",
    "cIoU ↑ left at 10 % false alarms": "cIoU ↑ false_alarm_10",
}
"""Rows of README's table, and the columns of the sweep's table that they are."""

LEARNT = ("universal_q3", "false_alarm_10")
TRAINED = {
    "tiny_deaf": "trained with\nshuffled sounds",
    "tiny_av": "trained on\npositives alone",
    "tiny_san": "trained with silence\nand noise, too",
}
SOUNDS = {
    "positive": "its own sound",
    "silence": "silence",
    "noise": "noise",
    "offscreen": "an offscreen sound",
}
RIGHT, WRONG, GREY = "#00705a", "#c02a00", "#555555"


# The tables


def table_of(text: str) -> pd.DataFrame:
    """The first Markdown table of a page in which runs have rows, as texts."""
    found = re.search(r"^\| run \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    assert found is not None
    header, _, *rows = (
        [cell.strip() for cell in line.strip("| ").split("|")] for line in found[0].splitlines()
    )
    return pd.DataFrame(rows, columns=header).set_index("run")


def readme_table(whole: pd.DataFrame) -> str:
    """README's table: chosen models and numbers, without intervals."""
    part = whole.loc[list(CHOSEN), list(ROWS.values())].map(lambda cell: cell.split(" ")[0]).T
    rows = [["", *(f"`{name}`" for name in CHOSEN)], ["---", *["---:"] * len(CHOSEN)]]
    rows += [[name, *cells] for name, cells in zip(ROWS, part.to_numpy(), strict=True)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def thresholds_line(summary: pd.DataFrame) -> str:
    """What the learnt thresholds of the trained models are."""
    texts = []
    for model in TRAINED:
        rows = summary[summary["model"] == model].drop_duplicates("threshold_policy")
        known = rows.set_index("threshold_policy")["threshold"]
        texts.append(f"`{model}` " + ", ".join(f"{known[policy]:.4f}" for policy in LEARNT))
    return f"Learnt thresholds ({', '.join(f'`{p}`' for p in LEARNT)}): {'; '.join(texts)}.\n"


def filled(page: str, parts: Mapping[str, str]) -> str:
    """A page with new text between its comments `<!-- demo: NAME -->` and `<!-- end -->`."""

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{parts[found[2]]}\n{found[3]}"

    return re.sub(r"(<!-- demo: (\w+) -->).*?(<!-- end -->)", fill, page, flags=re.DOTALL)


# The picture


def marks(run: Path) -> pd.DataFrame:
    """Whether anything is marked at the fixed threshold: a row for each sample and draw."""
    scores = pd.read_parquet(
        run / SCORES_FILE,
        columns=["sample_id", "audio_condition", "draw", "threshold", "pia"],
        filters=[("threshold_policy", "==", "fixed")],
    )
    return scores.assign(marked=scores["pia"] > 0)


def typical_sample(marked: Mapping[str, pd.DataFrame]) -> str:
    """Choose the sample that is shown.

    Under each sound a model mostly marks something, or mostly nothing. Those samples are kept in
    which all models do the usual under all sounds. Of these, sorted by the area that `tiny_av`
    marks in silence, the middle one is returned.
    """
    silence = marked["tiny_av"][marked["tiny_av"]["audio_condition"] == "silence"]
    ids = silence.sort_values("pia", kind="stable")["sample_id"].tolist()
    for rows in marked.values():
        usual = rows.groupby("audio_condition", observed=True)["marked"].mean() > 0.5
        first = rows[rows["draw"] == 0]
        odd = first["marked"] != first["audio_condition"].astype(str).map(usual)
        ids = [name for name in ids if name not in set(first["sample_id"][odd])]
    return str(ids[len(ids) // 2])


def draw(runs: Mapping[str, Path], output: Path) -> None:
    """Draw one image under four sounds, a row for each model."""
    marked = {model: marks(run) for model, run in runs.items()}
    chosen = typical_sample(marked)
    scenes = {model: read_scenes(run, [chosen])[0] for model, run in runs.items()}
    (threshold,) = {rows["threshold"].iloc[0] for rows in marked.values()}
    largest = max(float(scene.maps[AUDIO_VISUAL].max()) for scene in scenes.values())
    figure = Figure(figsize=(9, 7), dpi=140)
    grid = figure.subplots(len(runs), len(SOUNDS), squeeze=False)
    figure.subplots_adjust(left=0.18, right=0.985, top=0.925, bottom=0.11, wspace=0.06, hspace=0.3)
    for line, (model, scene) in enumerate(scenes.items()):
        middle = grid[line, 0].get_position().y0 + grid[line, 0].get_position().height / 2
        figure.text(0.01, middle + 0.03, model, size=14, weight="bold", va="center")
        figure.text(0.01, middle - 0.025, TRAINED[model], size=11, color=GREY, va="center")
        for axes, (sound, title) in zip(grid[line], SOUNDS.items(), strict=True):
            rows = marked[model][marked[model]["audio_condition"] == sound]
            _cell(axes, scene, sound, rows, threshold, largest)
            if line == 0:
                heard = scene.heard[sound]
                axes.set_title(f"{title}\n({heard})" if heard else title, size=12.5, pad=6)
    figure.text(
        0.5, 0.012, ha="center", size=11, color=GREY,
        s=f"Heat: the model's map. White: what lies above {threshold:g}, one threshold for all."
        " Cyan: the object that sounds.",
    )  # fmt: skip
    figure.savefig(output)
    few = Image.open(output).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(output, optimize=True)  # a third of the size


def _cell(
    axes: Any, scene: RunScene, sound: str, rows: pd.DataFrame, threshold: float, largest: float
) -> None:
    image = evaluation_image(scene.image_path).numpy()
    values = scene.maps[AUDIO_VISUAL][scene.conditions.index(sound)].numpy()
    shares = (values / largest).clip(0, 1)
    weight = 0.9 * shares[..., None] ** 0.5
    pale = 0.25 * image + 0.45 * image.mean(axis=2, keepdims=True) + 0.3  # so that heat is seen
    heat = mpl.colormaps[COLOURS](0.35 + 0.6 * shares)[..., :3]
    axes.imshow((1 - weight) * pale + weight * heat)
    any_marked = bool((values > threshold).any())
    if any_marked:
        axes.contour(values, levels=[threshold], colors="black", linewidths=2.8)
        axes.contour(values, levels=[threshold], colors="white", linewidths=1.5)
    if sound == "positive":
        draw_truth(axes, scene, width=1.8)
    axes.set(xticks=[], yticks=[])
    good = any_marked == (sound == "positive")
    sign, words = "✓" if good else "✗", "marks something" if any_marked else "stays silent"
    share = 100 * (rows["marked"] == any_marked).mean()
    axes.text(
        0.5, -0.045, f"{sign} {words}", color=RIGHT if good else WRONG, size=11.5, weight="bold",
        ha="center", va="top", transform=axes.transAxes,
    )  # fmt: skip
    axes.text(
        0.5, -0.165, f"as in {share:.0f} % of images", color=GREY, size=10,
        ha="center", va="top", transform=axes.transAxes,
    )  # fmt: skip


def main(demo: Path) -> None:
    """Write tables and picture from the folder of `make demo`."""
    whole = (demo / "test" / "sweep.md").read_text(encoding="utf-8")
    summary = pd.read_parquet(demo / "test" / "sweep.parquet")
    shown = re.search(r"^\| run \|.*\n(?:\|.*\n)+\n.*\n\n(?:- .*\n)+", whole, re.MULTILINE)
    assert shown is not None
    parts = {
        "readme": readme_table(table_of(whole)),
        "whole": f"{shown[0]}\n{thresholds_line(summary)}",
    }
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    folders = summary.drop_duplicates("model").set_index("model")["run"]
    runs = {model: demo / "test" / folders[model] for model in TRAINED}
    draw(runs, ROOT / "docs" / "images" / "demo.png")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or [ROOT / "outputs" / "demo"]))

"""Draw the pictures of reading.md and false-alarms.md from finished demo runs.

make demo && python docs/reading_pictures.py outputs/demo
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from PIL import Image
from reading_tables import DOCS, scored

from vssl.analysis.threshold_curves import ThresholdCurves, threshold_curves
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.maps import upsample
from vssl.metrics.ciou import consensus_iou
from vssl.metrics.pia import image_area
from vssl.reporting.figures.overlay import laid_over
from vssl.reporting.figures.style import HOUSE_STYLE, look_of
from vssl.types import POSITIVE

FOLDER = DOCS / "images" / "reading"
WIDTH = 5.0  # inches: 480 pixels of a page, so that text stays readable on a phone
STYLE = HOUSE_STYLE | {
    "font.size": 10.0, "axes.titlesize": 10.0, "axes.labelsize": 10.0, "legend.fontsize": 9.0,
    "legend.frameon": False,
    "xtick.labelsize": 9.0, "ytick.labelsize": 9.0, "lines.linewidth": 1.8,
}  # fmt: skip
MARKED = "#e8590c"
LOOKS = {
    "tiny_deaf": ("#d55e00", (0, (5, 1.5))),
    "audio_blind": ("#999933", (0, (1, 2))),
    "deaf_best": ("#882255", (0, (7, 1))),
    "tiny_av": ("#0072b2", (0, (1.2, 1.2))),
    "tiny_san": ("#009e73", "solid"),
}
SHORT = {
    "universal_max": "max", "universal_max10": "max10", "universal_q3": "q3",
    "false_alarm_1": "1 %", "false_alarm_5": "5 %", "false_alarm_10": "10 %",
}  # fmt: skip
OWN, NOTHING, OFFSCREEN = (POSITIVE, 0), ("silence", 0), ("offscreen", 0)


class Demo:
    """The demo's runs, opened when they are first asked for."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.run = cache(lambda model: scored(folder, model, work))
        self.curves = cache(self._curves)
        san = self._scores("tiny_san", "fixed")
        ids = self.run("tiny_san").sample_ids
        found = san[san["audio_condition"] == POSITIVE].set_index("sample_id")["ciou"]
        # the image on which the model that hears does best under both sounds
        pairs = [(min(found[a], found[b]), a, b) for a, b in zip(ids[::2], ids[1::2], strict=True)]
        self.pair = max(pairs)[1:]

    def _scores(self, model: str, policy: str) -> Any:
        scores = self.run(model).scores
        return scores[scores["threshold_policy"] == policy]

    def _curves(self, model: str) -> ThresholdCurves:
        return threshold_curves(self.run(model).folder, "av", resamples=2)

    def number(self, model: str, key: str) -> float:
        """`condition/metric/policy` of a model."""
        condition, metric, policy = key.split("/")
        rows = self.run(model).summary
        same = (rows["condition"] == condition) & (rows["metric"] == metric)
        return float(rows[same & (rows["threshold_policy"] == policy)]["value"].iloc[0])

    def threshold(self, model: str, policy: str) -> float:
        rows = self.run(model).summary
        return float(rows[rows["threshold_policy"] == policy]["threshold"].iloc[0])

    def values(self, model: str, column: str, policy: str, condition: str) -> Any:
        """A column of scores."""
        scores = self._scores(model, policy)
        return scores[scores["audio_condition"] == condition][column].to_numpy(float)

    def image(self, sample: str) -> Any:
        """`[224, 224, 3]` in [0, 1]."""
        records = self.run("tiny_san").records
        path = records[records["sample_id"] == sample]["image_path"].iloc[0]
        picture = Image.open(path).convert("RGB").resize((224, 224))
        return np.asarray(picture, dtype=np.float64) / 255

    def maps(self, model: str, sample: str) -> Any:
        return self.run(model).localization_maps(sample)

    def mask(self, model: str, sample: str, sound: tuple[str, int], threshold: float) -> Any:
        return self.maps(model, sample)[sound] > threshold

    def truth(self, sample: str) -> Any:
        return self.run("tiny_san").ground_truth(sample)


# Parts of pictures


def panels(rows: int, columns: int, height: float) -> tuple[Canvas, Any]:
    """A white picture, whatever the page's colours, and its panels `[rows, columns]`."""
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    return canvas, canvas.subplots(rows, columns, squeeze=False)


def bare(axes: Any, title: str = "") -> None:
    """No ticks and no frame."""
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def show(axes: Any, picture: Any, mask: Any = None, title: str = "", colour: str = MARKED) -> None:
    """An image, its mask as a coloured area with an outline."""
    if mask is not None:
        layer = 0.55 * mask[..., None]
        picture = (1 - layer) * picture + layer * np.array(mpl.colors.to_rgb(colour))
    axes.imshow(picture, interpolation="antialiased")
    if mask is not None and mask.any():
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)
    bare(axes, title)


def outline(axes: Any, truth: Any, *, dashed: bool = False) -> None:
    """The box of an object, readable on any image."""
    rows, columns = (np.flatnonzero(truth.any(axis)) for axis in (1, 0))
    place = (columns[0] - 0.5, rows[0] - 0.5)
    size = (np.ptp(columns) + 1, np.ptp(rows) + 1)
    for colour, width in (("black", 3.4), ("white", 1.6)):
        dashes = (0, (3, 2)) if dashed else "solid"
        axes.add_patch(Rectangle(place, *size, fill=False, ec=colour, lw=width, ls=dashes))


def name_rows(axes: Any, names: Sequence[str]) -> None:
    """Names left of the rows of panels."""
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(name)


def toy(axes: Any, marked: Any, objects: Sequence[Any], title: str) -> None:
    """A grid of cells, those of a mask filled, objects outlined."""
    high, wide = marked.shape
    axes.add_patch(Rectangle((0, 0), wide, high, fc="#e9ecef"))
    for row, column in np.argwhere(marked):
        axes.add_patch(Rectangle((column, row), 1, 1, fc=MARKED, ec="white"))
    for number, each in enumerate(objects):
        rows, columns = (np.flatnonzero(each.any(axis)) for axis in (1, 0))
        place = (columns[0], rows[0])
        size = (np.ptp(columns) + 1, np.ptp(rows) + 1)
        line = {"lw": 2.0, "ls": (0, (3, 2)) if number else "solid"}
        axes.add_patch(Rectangle(place, *size, fill=False, ec="black", **line))
    axes.set_xlim(-0.1, wide + 0.1)
    axes.set_ylim(high + 0.1, -0.1)
    axes.set_aspect("equal")
    bare(axes, title)


def cells(rows: slice, columns: slice, shape: tuple[int, int] = (6, 8)) -> Any:
    """A mask of some cells."""
    found = np.zeros(shape, dtype=bool)
    found[rows, columns] = True
    return found


def iou(mask: Any, truth: Any) -> float:
    """CIoU by vssl's own function."""
    pair = (torch.tensor(mask)[None], torch.tensor(truth, dtype=torch.float32)[None])
    return consensus_iou(*pair).item()


def line(model: str) -> dict[str, Any]:
    """How a model's curve is drawn."""
    colour, dashes = LOOKS[model]
    return {"color": colour, "linestyle": dashes, "label": model}


# reading.md


def map_to_mask(demo: Demo) -> Canvas:
    """An image, a map and a mask."""
    sample = demo.pair[0]
    image, truth = demo.image(sample), demo.truth(sample)
    values, mask = demo.maps("tiny_san", sample)[OWN], demo.mask("tiny_san", sample, OWN, 0.25)
    canvas, axes = panels(1, 3, 2.0)
    show(axes[0, 0], image, title="image and sound")
    show(axes[0, 1], laid_over(image, values.clip(0) / values.max()), title="map")
    show(axes[0, 2], image, mask, title=f"mask: cIoU {iou(mask, truth):.2f}")
    for each in axes[0, 1:]:
        outline(each, truth)
    return canvas


def ciou(_: Demo) -> Canvas:
    """Faults that have one cIoU."""
    truth = cells(slice(0, 4), slice(2, 5))
    masks = {
        "too large": cells(slice(0, 6), slice(1, 7)),
        "half beside": cells(slice(2, 6), slice(2, 5)),
        "exact": truth,
    }
    canvas, axes = panels(1, 3, 1.6)
    for each, (name, mask) in zip(axes[0], masks.items(), strict=True):
        toy(each, mask, [truth], f"{name}: {iou(mask, truth):.2f}")
    return canvas


def success(demo: Demo) -> Canvas:
    """The share of samples over the level of cIoU."""
    levels = np.linspace(0, 1, 21)
    canvas, axes = panels(1, 1, 2.6)
    for model in ("tiny_deaf", "tiny_san"):
        values = demo.values(model, "ciou", "object_area", POSITIVE)
        shares = [100 * (values >= level).mean() for level in levels]
        axes[0, 0].plot(levels, shares, **line(model))
        axes[0, 0].fill_between(levels, shares, color=LOOKS[model][0], alpha=0.15, lw=0)
        axes[0, 0].plot([0.5], shares[10:11], "o", color=LOOKS[model][0], ms=8)
    axes[0, 0].axvline(0.5, color="#555555", lw=0.8, ls=(0, (2, 2)))
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 103), xlabel="level of cIoU", ylabel="% of samples")
    axes[0, 0].set_title("dots: success rate; areas: AUC (object_area)")
    axes[0, 0].legend()
    return canvas


def iiou(_: Demo) -> Canvas:
    """What passes, and what fails."""
    first, second = cells(slice(1, 5), slice(1, 3)), cells(slice(1, 5), slice(5, 7))
    kinds = {"both, always": (first | second,) * 2, "one, always": (first,) * 2,
             "its own": (first, second)}  # fmt: skip
    canvas, axes = panels(2, 3, 2.95)
    for column, (name, masks) in enumerate(kinds.items()):
        found = [iou(mask, each) for mask, each in zip(masks, (first, second), strict=True)]
        verdict = "passes" if min(found) >= 0.5 else "fails"
        for row, (mask, own, other) in enumerate(
            zip(masks, (first, second), (second, first), strict=True)
        ):
            title = f"{name}: {verdict}\n" if row == 0 else ""
            toy(axes[row, column], mask, [own, other], f"{title}cIoU {found[row]:.2f}")
    name_rows(axes, ("sound of\nthe left one", "sound of\nthe right one"))
    return canvas


def swap(demo: Demo) -> Canvas:
    """Masks under the sounds of both objects."""
    canvas, axes = panels(2, 2, 4.7)
    models, truths = ("tiny_deaf", "tiny_san"), [demo.truth(each) for each in demo.pair]
    for row, model in enumerate(models):
        for column, sample in enumerate(demo.pair):
            mask = demo.mask(model, sample, OWN, 0.25)
            own, other = truths[column], truths[1 - column]
            found = f"{iou(mask, own):.2f} - {iou(mask, other):.2f}"
            show(axes[row, column], demo.image(sample), mask, title=f"{model}: {found}")
            outline(axes[row, column], own)
            outline(axes[row, column], other, dashed=True)
    canvas.supxlabel("cIoU with what sounds (solid box) - with the other object (dashed)", size=9)
    return canvas


def agreement(demo: Demo) -> Canvas:
    """Outlines under the own sound and silence."""
    canvas, axes = panels(1, 2, 2.75)
    image = demo.image(demo.pair[0])
    for each, model in zip(axes[0], ("tiny_deaf", "tiny_san"), strict=True):
        own, silent = (demo.mask(model, demo.pair[0], s, 0.25) for s in (OWN, NOTHING))
        show(each, image, title=f"{model}: agreement {iou(own, silent):.2f}")
        for mask, condition in ((own, POSITIVE), (silent, "silence")):
            if mask.any():
                each.contour(mask, levels=[0.5], colors="black", linewidths=3.4)
                look = look_of(condition, [])
                style = {"colors": [look.colour], "linestyles": [look.dashes], "linewidths": 2.2}
                each.contour(mask, levels=[0.5], **style)
    canvas.supxlabel("masks: own sound solid green, silence dashed blue", size=9)
    return canvas


def pia(demo: Demo) -> Canvas:
    """Areas that are marked under negatives."""
    canvas, axes = panels(2, 3, 3.8)
    for row, model in enumerate(("tiny_deaf", "tiny_san")):
        for each, condition in zip(axes[row], NEGATIVE_TYPES, strict=True):
            mask = demo.mask(model, demo.pair[0], (condition, 0), 0.25)
            share = 100 * image_area(torch.tensor(mask)[None]).item()
            title = f"{condition}\n" if row == 0 else ""
            show(each, demo.image(demo.pair[0]), mask, title=f"{title}pIA {share:.0f} %")
    name_rows(axes, ("tiny_deaf", "tiny_san"))
    return canvas


def false_alarm(_: Demo) -> Canvas:
    """What counts as one."""
    nothing = cells(slice(0, 0), slice(0, 0))
    masks = {"none": nothing, "a false alarm": cells(slice(2, 3), slice(5, 6)),
             "a false alarm ": cells(slice(1, 5), slice(1, 7))}  # fmt: skip
    canvas, axes = panels(1, 3, 1.75)
    for each, (name, mask) in zip(axes[0], masks.items(), strict=True):
        toy(each, mask, [], f"{name.strip()}\npIA {100 * mask.mean():.0f} %")
    return canvas


def f_loc(demo: Demo) -> Canvas:
    """Lines of equal F_LOC, and the models."""
    canvas, axes = panels(1, 1, 3.2)
    plot = axes[0, 0]
    x, y = np.meshgrid(np.linspace(0.01, 1, 200), np.linspace(0.01, 1, 200))
    levels = plot.contour(
        100 * x, 100 * y, 200 * x * y / (x + y), levels=range(10, 100, 10), colors="#adb5bd",
        linewidths=0.9,
    )  # fmt: skip
    plot.clabel(levels, fmt="%d", fontsize=8)
    places = {"deaf_best": (-9, 7, "right"), "tiny_deaf": (8, -4, "left"),
              "audio_blind": (8, -4, "left"), "tiny_san": (-9, -14, "right")}  # fmt: skip
    for model, (right, up, side) in places.items():
        areas = [demo.number(model, f"{each}/pia/fixed") for each in NEGATIVE_TYPES]
        at = (100 - 100 * np.mean(areas), 100 * demo.number(model, f"{POSITIVE}/ciou/fixed"))
        found = 100 * demo.number(model, "all/f_loc/fixed")
        plot.plot(*at, "o", color=LOOKS[model][0], ms=9, mec="white", clip_on=False)
        plot.annotate(
            f"{model}: {found:.0f}", at, (right, up), textcoords="offset points", ha=side,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
        )  # fmt: skip
    plot.set(xlim=(0, 100), ylim=(0, 80), xlabel="100 - pIA of negatives", ylabel="cIoU")
    plot.set_title("F_LOC at the threshold 0.25")
    return canvas


def separation(demo: Demo) -> Canvas:
    """Map maxima of positives and negatives."""
    canvas, axes = panels(2, 1, 3.9)
    conditions = (POSITIVE, "silence", "offscreen")
    for plot, model in zip(axes[:, 0], ("tiny_deaf", "tiny_san"), strict=True):
        maxima = {c: demo.values(model, "map_maximum", "none", c) for c in conditions}
        histograms(plot, maxima)
        found = [100 * demo.number(model, f"{c}/auroc/none") for c in conditions[1:]]
        plot.set_title(f"{model}: AUROC silence {found[0]:.0f}, offscreen {found[1]:.0f}")
    axes[1, 0].set_xlabel("largest value of a map")
    canvas.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return canvas


def histograms(plot: Any, maxima: dict[str, Any]) -> None:
    """Distributions of map maxima by audio condition."""
    low, high = (f(np.concatenate([*maxima.values()])) for f in (np.min, np.max))
    edges = np.linspace(low, high, 41)
    for condition, values in maxima.items():
        look = look_of(condition, [])
        name = "own sound" if condition == POSITIVE else condition
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        own = condition == POSITIVE
        style: dict[str, Any] = {"fill": own, "alpha": 0.45 if own else 1.0}
        plot.stairs(shares, edges, color=look.colour, lw=1.5, ls=look.dashes, label=name, **style)
    plot.set_ylim(bottom=0)
    plot.set_yticks([])
    plot.spines["left"].set_visible(False)


def detection(_: Demo) -> Canvas:
    """Maps in the order of their confidence."""
    kinds = {"right place": "#009e73", "wrong place": "#e69f00", "negative": "#868e96"}
    order = [*("right place",) * 2, "negative", "right place", "wrong place", "negative"]
    order += ["right place", "negative"]
    canvas, axes = panels(1, 1, 2.3)
    plot = axes[0, 0]
    for place, kind in enumerate(order):
        name = kind if order.index(kind) == place else None
        plot.bar(place, 0.92 - 0.1 * place, color=kinds[kind], width=0.8, label=name)
        plot.text(place, 0.02, kind[0].upper(), ha="center", color="white", weight="bold")
    reached = order[:5]
    hits, missed = reached.count("right place"), order[5:].count("right place")
    plot.axvline(4.5, color="black", lw=1.2)
    plot.set_title(
        f"left of the line: precision {hits}/{len(reached)}, recall {hits}/{hits + missed}"
    )
    plot.set(ylabel="confidence", xticks=[], yticks=[])
    plot.legend()
    return canvas


def g_miou(demo: Demo) -> Canvas:
    """Models on, and above, the curve of a map that stays."""
    canvas, axes = panels(1, 1, 2.8)
    plot = axes[0, 0]
    a = np.linspace(0, 1, 101)
    plot.plot(100 * a, 200 * a * (1 - a), color="#868e96", lw=1.5)
    plot.text(78, 38, "map stays:\n2a(1 - a)", color="#555555")
    places = {"deaf_best": (6, 6, "left"), "tiny_deaf": (8, -6, "left"),
              "audio_blind": (8, -6, "left"), "tiny_san": (-8, 4, "right")}  # fmt: skip
    for model, (right, up, side) in places.items():
        at = [100 * demo.number(model, key) for key in
              (f"{POSITIVE}/avs_miou/fixed", "all/g_miou/fixed")]  # fmt: skip
        plot.plot(*at, "o", color=LOOKS[model][0], ms=9, mec="white")
        plot.annotate(model, at, (right, up), textcoords="offset points", ha=side)
    plot.set(xlim=(0, 100), ylim=(0, 70), xlabel="a: mIoU under the own sound", ylabel="G-mIoU")
    return canvas


# false-alarms.md


def two_rules(demo: Demo) -> Canvas:
    """Thresholds from each map, and one for all."""
    sample = demo.pair[0]
    image, maps = demo.image(sample), demo.maps("tiny_san", sample)
    area = int((demo.truth(sample) > 0).sum())
    q3 = demo.threshold("tiny_san", "universal_q3")
    rules = {
        "half_image": lambda values: np.sort(values, axis=None)[values.size // 2],
        "object_area": lambda values: np.sort(values, axis=None)[-area],
        "universal_q3": lambda _: q3,
    }
    canvas, axes = panels(2, 3, 3.7)
    for column, (name, rule) in enumerate(rules.items()):
        for row, sound in enumerate((OWN, NOTHING)):
            mask = maps[sound] > rule(maps[sound])
            show(axes[row, column], image, mask, title="" if row else name)
            if row == 0:
                outline(axes[row, column], demo.truth(sample))
    name_rows(axes, ("own sound", "silence"))
    return canvas


def maxima(demo: Demo) -> Canvas:
    """Map maxima of three models with thresholds."""
    canvas, axes = panels(3, 1, 6.6)
    shown = ("universal_max", "universal_q3", "false_alarm_10", "false_alarm_1")
    for plot, model in zip(axes[:, 0], ("tiny_deaf", "tiny_av", "tiny_san"), strict=True):
        conditions = (POSITIVE, *NEGATIVE_TYPES)
        histograms(plot, {c: demo.values(model, "map_maximum", "none", c) for c in conditions})
        top = plot.get_ylim()[1]
        low, high = plot.get_xlim()
        last = -np.inf
        for policy in shown:
            value = demo.threshold(model, policy)
            plot.axvline(value, color="black", lw=1.0)
            level = 1.0 if value - last > 0.07 * (high - low) else 1.09
            last = value if level == 1.0 else last
            plot.text(value, top * level, SHORT[policy], ha="center", va="bottom", size=9)
        plot.set_title(model, pad=28, loc="left")
    axes[2, 0].set_xlabel("largest value of a map")
    canvas.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return canvas


def misses(demo: Demo, model: str, thresholds: Any) -> Any:
    """Share of own sounds whose localization map has no pixel above each threshold."""
    records = demo.run(model).records
    own = records[records["audio_condition"] == POSITIVE]
    side = own["map_height"].iloc[0]
    native = np.stack(own["similarity_map"].to_list()).reshape(len(own), side, -1)
    highest = upsample(torch.tensor(native, dtype=torch.float32)).amax((1, 2)).numpy()
    return (highest[:, None] <= thresholds).mean(0)


def trade_off(demo: Demo) -> Canvas:
    """CIoU and misses over false alarms."""
    canvas, axes = panels(2, 1, 5.4)
    for model in ("tiny_deaf", "tiny_av", "tiny_san"):
        curves = demo.curves(model)
        alarms = 100 * np.max([curves.values["false_alarm_rate", c] for c in NEGATIVE_TYPES], 0)
        missed = misses(demo, model, curves.thresholds)
        for plot, values in zip(axes[:, 0], (curves.ciou, missed), strict=True):
            plot.plot(alarms, 100 * values, **line(model))
            for policy, mark in (("universal_q3", "o"), ("false_alarm_10", "s")):
                at = np.abs(curves.thresholds - demo.threshold(model, policy)).argmin()
                plot.plot(alarms[at], 100 * values[at], mark, color=LOOKS[model][0], mec="white",
                          ms=9, clip_on=False, zorder=3)  # fmt: skip
    axes[0, 0].set(ylabel="cIoU", xlim=(0, 100), ylim=(0, 60))
    axes[1, 0].set(ylabel="misses, %", xlim=(0, 100), ylim=(0, 100))
    axes[1, 0].set_xlabel("false alarms of the worst type, %")
    axes[0, 0].set_title("circles: universal_q3; squares: false_alarm_10")
    axes[1, 0].legend()
    return canvas


def f_loc_curve(demo: Demo) -> Canvas:
    """F_LOC and false alarms over the threshold."""
    canvas, axes = panels(2, 1, 5.0)
    for model in ("deaf_best", "tiny_av", "tiny_san"):
        curves = demo.curves(model)
        alarms = np.max([curves.values["false_alarm_rate", c] for c in NEGATIVE_TYPES], 0)
        best = int(np.nanargmax(curves.f_loc))
        for plot, values in zip(axes[:, 0], (curves.f_loc, alarms), strict=True):
            plot.plot(curves.thresholds, 100 * values, **line(model))
            plot.plot(curves.thresholds[best], 100 * values[best], "o", color=LOOKS[model][0],
                      mec="white", ms=9, zorder=3, clip_on=False)  # fmt: skip
    axes[0, 0].set(ylabel="F_LOC", xlim=(0, 1), ylim=(0, 75))
    axes[0, 0].set_title("circles: the threshold with the best F_LOC")
    axes[1, 0].set(ylabel="false alarms, %", xlabel="threshold", xlim=(0, 1), ylim=(0, 103))
    axes[1, 0].legend()
    return canvas


PICTURES = (
    map_to_mask, ciou, success, iiou, swap, agreement, pia, false_alarm, f_loc, separation,
    detection, g_miou, two_rules, maxima, trade_off, f_loc_curve,
)  # fmt: skip


def main(folder: Path, work: Path) -> None:
    """Draw all pictures."""
    demo = Demo(folder, work)
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for draw in PICTURES:
            canvas, name = draw(demo), draw.__name__.replace("_", "-")
            if any(axes.images for axes in canvas.axes):  # photographs
                options: Any = {"dpi": 190, "pil_kwargs": {"quality": 78, "method": 6}}
                canvas.savefig(FOLDER / f"{name}.webp", **options)
            else:
                canvas.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(scratch))

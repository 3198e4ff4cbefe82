"""Rankings of methods on VGG-SS, on all of it and on subsets by VGGSounder's flags.

    python experiments/vggsounder_ranking.py --flags vggsounder+background-music.csv \
        --annotation vggss.json --baselines "name=FILE.csv:COLUMN" ... > tables.md

Each FILE has a row for each sample, with its id in the column `sample_id` and its IoU in COLUMN.
`--baselines` adds two maps that need neither image nor sound: a disc in the middle, and the whole
image. The tables of docs/vggsounder.md are this program's output; the page names the files.

Intervals are percentiles of a bootstrap over samples. All methods share its draws, so differences
between methods are paired.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vssl.data.vggss import VGGSS
from vssl.maps import consensus_map
from vssl.metrics.auc import area_of_success
from vssl.metrics.ciou import consensus_iou
from vssl.types import EVALUATION_SIZE, Sample

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
DRAWS = 10_000
SUBSETS: dict[str, dict[str, str]] = {
    "all": {},
    "clean": {"clean": "yes"},
    "clean, one label": {"clean": "yes", "audible_labels": "one"},
    "not clean": {"clean": "no"},
    "not visible": {"own_class": "A"},
    "absent": {"own_class": "absent"},
    "music": {"background_music": "yes"},
    "voice-over": {"voice_over": "yes"},
    "static image": {"static_image": "yes"},
}
"""Flags that a sample of each subset has."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flags", type=Path, required=True, help="csv of VGGSounder")
    parser.add_argument("--annotation", type=Path, required=True, help="vggss.json")
    parser.add_argument("--baselines", action="store_true", help="add a disc and the whole image")
    parser.add_argument("--against", metavar="NAME", help="add the differences to this method")
    parser.add_argument("methods", nargs="+", metavar="NAME=FILE:COLUMN")
    given = parser.parse_args()
    annotation = given.annotation.resolve()
    samples = VGGSS(annotation.parent, annotation=annotation.name, flags=given.flags).listed()
    columns = {name: read_ious(what, samples) for name, what in map(split_method, given.methods)}
    if given.baselines:
        columns |= baselines(samples)
    names = list(columns)
    ious = np.stack([columns[name] for name in names], axis=1)
    order = np.argsort(-(ious >= 0.5).mean(axis=0), kind="stable")
    names, ious = [names[k] for k in order], ious[:, order]
    print_tables(names, ious, samples)
    if given.against:
        print_differences(names, ious, samples, against=given.against)


def split_method(argument: str) -> tuple[str, str]:
    """Split `name=FILE:COLUMN` into the name and the rest."""
    name, _, what = argument.partition("=")
    return name, what


def read_ious(what: str, samples: Sequence[Sample]) -> Array:
    """Read the IoU of each sample from `FILE:COLUMN`; every sample must be there, and no other."""
    path, _, column = what.rpartition(":")
    with Path(path).open(newline="") as file:
        found = {row["sample_id"]: float(row[column]) for row in csv.DictReader(file)}
    differing = found.keys() ^ {sample.sample_id for sample in samples}
    if differing:
        raise SystemExit(f"{path}: {len(differing)} ids are not those of the annotation")
    return np.array([found[sample.sample_id] for sample in samples])


def baselines(samples: Sequence[Sample]) -> dict[str, Array]:
    """IoU of a centred disc of a quarter of the image, and of the whole image."""
    offset = (torch.arange(EVALUATION_SIZE) + 0.5) / EVALUATION_SIZE - 0.5
    disc = offset[:, None] ** 2 + offset[None] ** 2 <= 0.25 / np.pi
    masks = {"disc in the middle": disc, "whole image": torch.ones_like(disc)}
    truths = [consensus_map(sample.boxes, sample.box_weights) for sample in samples]
    return {
        name: np.array([consensus_iou(mask[None], truth[None]).item() for truth in truths])
        for name, mask in masks.items()
    }


def chosen_rows(samples: Sequence[Sample]) -> Iterator[tuple[str, Rows]]:
    """Each subset that has samples: its name with their number, and which they are, `[N]`."""
    for subset, wanted in SUBSETS.items():
        rows = np.array([wanted.items() <= dict(sample.flags).items() for sample in samples])
        if rows.any():
            yield f"{subset} ({rows.sum()})", rows


def resampled_means(values: Array, weights: Array | None = None, *, seed: int = 0) -> Array:
    """Means `[DRAWS, K]` of resampled rows of `[N, K]`, each with its weight."""
    generator = np.random.default_rng(seed)
    count = len(values)
    weights = np.ones(count) if weights is None else weights
    even = np.full(count, 1 / count)
    draws = []
    for _ in range(DRAWS // 250):
        times = generator.multinomial(count, even, size=250) * weights
        draws.append(times @ values / times.sum(axis=1, keepdims=True))
    return np.concatenate(draws)


def size_weights(samples: Sequence[Sample], rows: Rows) -> Array:
    """Weights of the chosen samples, with which their boxes are as large as those of all.

    By tenths of the boxes' area.
    """
    truths = (consensus_map(sample.boxes, sample.box_weights) for sample in samples)
    area = np.array([truth.mean().item() for truth in truths])
    tenth = np.searchsorted(np.quantile(area, np.arange(1, 10) / 10), area)
    everywhere, here = (np.bincount(each, minlength=10) for each in (tenth, tenth[rows]))
    return np.asarray(everywhere[tenth[rows]] / here[tenth[rows]])


def interval(draws: Array) -> Array:
    """Ends of the 95 % interval, `[2, ...]`."""
    return np.percentile(draws, [2.5, 97.5], axis=0)


def signs(draws: Array) -> Array:
    """1 where the first method of a pair is better, -1 where the second is, 0 within the interval.

    One of `[K, K]` for each pair, from `[DRAWS, K]`.
    """
    found = np.zeros((draws.shape[1],) * 2)
    for one, two in combinations(range(draws.shape[1]), 2):
        low, high = interval(draws[:, one] - draws[:, two])
        found[one, two] = int(low > 0) - int(high < 0)
        found[two, one] = -found[one, two]
    return found


def print_tables(names: Sequence[str], ious: Array, samples: Sequence[Sample]) -> None:
    """Print levels, ranks, areas, and how pairs of methods change, by subset."""
    levels, sized, ranks, areas, pairs = [], [], [], [], []
    everywhere: Array = np.empty(0)
    whole: Array = np.empty(0)
    for head, rows in chosen_rows(samples):
        success = (ious[rows] >= 0.5).astype(float)
        rate, draws = success.mean(axis=0), resampled_means(success)
        area = area_of_success(torch.from_numpy(ious[rows]).flatten()).numpy()
        area = area.reshape(success.shape)
        better = signs(draws)
        if rows.all():
            everywhere, whole = better, rate
        levels.append([head, *map(percent, rate, *interval(draws))])
        weights = size_weights(samples, rows)
        even = np.average(success, axis=0, weights=weights)
        sized.append([head, *map(percent, even, *interval(resampled_means(success, weights)))])
        areas.append([head, *map(percent, area.mean(axis=0), *interval(resampled_means(area)))])
        first = 1 + (better < 0).sum(axis=1)
        last = len(names) - (better > 0).sum(axis=1)
        own = 1 + (rate[:, None] < rate[None]).sum(axis=1)
        ranks.append(
            [head, *(f"{o} ({a} to {b})" for o, a, b in zip(own, first, last, strict=True))]
        )
        upper = np.triu_indices(len(names), 1)
        first_order = np.sign(whole[:, None] - whole[None])[upper]
        turned = first_order * np.sign(rate[:, None] - rate[None])[upper] < 0
        apart, known = better[upper], everywhere[upper]
        counts = (apart != 0, turned, (apart * known < 0), (apart == 0) & (known != 0))
        pairs.append([head, *(str(int(each.sum())) for each in counts)])
    print_table("Success rate (IoU >= 0.5), %", names, levels)
    print_table("Success rate where boxes are as large as in all, %", names, sized)
    print_table("AUC, %", names, areas)
    print_table("Rank by success rate", names, ranks)
    heads = ["told apart", "order turned", "told apart, turned", "told apart on all, not here"]
    print_table(f"Pairs of methods, of {len(names) * (len(names) - 1) // 2}", heads, pairs)


def print_differences(
    names: Sequence[str], ious: Array, samples: Sequence[Sample], *, against: str
) -> None:
    """Print by how much each method's success rate exceeds that of one method, by subset."""
    columns = []
    for head, rows in chosen_rows(samples):
        success = (ious[rows] >= 0.5).astype(float)
        success -= success[:, [names.index(against)]]
        ends = interval(resampled_means(success))
        columns.append([head, *map(percent, success.mean(axis=0), *ends)])
    print_table(f"Success rate minus that of {against}, points", names, columns)


def percent(value: float, low: float, high: float) -> str:
    """A share and its interval in percent."""
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table with a row for each head and a column for each subset."""
    lines = ["", title, "", f"| | {' | '.join(row[0] for row in rows)} |"]
    lines += [f"|{' --- |' * (len(rows) + 1)}"]
    for number, head in enumerate(heads, 1):
        lines += [f"| {head} | {' | '.join(row[number] for row in rows)} |"]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()

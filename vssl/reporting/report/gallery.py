"""The samples of a report's gallery: which are shown, and their native similarity maps."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization, native_maps
from vssl.records.rows import first_draws
from vssl.records.scores import object_area
from vssl.records.store import column_names, read_columns
from vssl.reporting.report.collection import Group, ReportRun
from vssl.types import POSITIVE, Box, SoundingObject

QUARTERS = ("smallest quarter", "second quarter", "third quarter", "largest quarter")
"""Of the samples of a test set, by the area of their ground truth."""

_WORST = 200  # of each run and condition that may have to be looked at
_WORST_OF = {
    SoundingObject.OWN: "lowest cIoU",
    SoundingObject.OTHER: "highest cIoU with the silent object",
    SoundingObject.NONE: "largest marked area",
}
_SPREAD = "spread over classes and object sizes"
_KEY = ("sample_id", "audio_condition")
_FIELDS = ("sample_id", "image_path", "category", "boxes", "box_weights")

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ShownSample:
    """What the gallery knows of a sample, whatever the run.

    Attributes:
        sample_id: its id.
        image_path: its image.
        category: class of the sounding object.
        area: share of the image that the ground truth covers.
        quarter: which quarter of the test set by area, 0 the smallest.
        boxes: ground-truth boxes in pixels of the evaluation size.
        weights: weight of each box.
        why: why it was chosen.
    """

    sample_id: str
    image_path: Path
    category: str
    area: float
    quarter: int
    boxes: tuple[Box, ...]
    weights: tuple[float, ...]
    why: str


@dataclass(frozen=True)
class RunMaps:
    """The first draw of every audio condition of a run, for the samples shown.

    Attributes:
        run: the run.
        native: sample and condition to native similarity map, `[h, w]`.
        objects: sample to object map `[s, s]`; empty without an object prior.
        sources: sample and condition to the id whose clip was heard; no entry for made sounds.
        clips: such an id to the clip's file; no entry in records of earlier versions.
        extremes: map variant to the lowest and highest value of the localization maps.
        scores: map variant, sample and condition to cIoU and pIA under the page's policy.
    """

    run: ReportRun
    native: Mapping[tuple[str, str], Float32]
    objects: Mapping[str, Float32]
    sources: Mapping[tuple[str, str], str]
    clips: Mapping[str, Path]
    extremes: Mapping[str, tuple[float, float]]
    scores: Mapping[tuple[str, str, str], tuple[float, float]]

    def packed(self, sample_id: str) -> str:
        """A sample's maps as text: base64 of zlib of float32, little endian.

        The native map of each condition in the order of the run, then the object map.
        """
        maps = [self.native[sample_id, condition] for condition in self.run.conditions]
        if sample_id in self.objects:
            maps.append(self.objects[sample_id])
        values = np.concatenate([each.ravel() for each in maps]).astype("<f4")
        return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def choose(group: Group, count: int, *, policy: str) -> list[ShownSample]:
    """Samples spread over classes and object sizes, and those on which each run does worst.

    Half of them are the worst, in the first draw under `policy`: of every run in turn the lowest
    cIoU where the own object sounds, the highest where another one does, and the largest marked
    area where none does. Where the test set is small all of it.

    Args:
        group: runs on one list of ids.
        count: how many.
        policy: threshold policy.
    """
    facts = _facts(group.runs[0].folder / RECORDS_FILE)
    chosen: dict[str, str] = {}
    if len(facts) <= count:
        chosen = dict.fromkeys(facts["sample_id"], "the whole test set is shown")
    else:
        spread = _spread(facts)
        worst = _worst(group.runs, policy)
        for sample_id in islice(spread, (count + 1) // 2):
            chosen[sample_id] = _SPREAD
        for sample_id, why in chain(worst, zip(spread, repeat(_SPREAD), strict=False)):
            if len(chosen) >= count:
                break
            chosen.setdefault(sample_id, why)
    rows = facts.set_index("sample_id", drop=False).loc[list(chosen)]
    return [_shown(row, chosen[str(row["sample_id"])]) for row in rows.to_dict("records")]


def read_maps(run: ReportRun, samples: Iterable[str], *, policy: str) -> RunMaps:
    """Read the first draws of some samples, without reading others' maps into memory.

    Raises:
        RecordsError: when the records cannot be read.
    """
    wanted = list(samples)
    recipe = Localization.of(run.provenance)
    native: dict[tuple[str, str], Float32] = {}
    objects: dict[str, Float32] = {}
    sources: dict[tuple[str, str], str] = {}
    clips: dict[str, Path] = {}
    extremes: dict[str, tuple[float, float]] = {}
    path = run.folder / RECORDS_FILE
    heard_as = [n for n in ("audio_source_id", "audio_path") if n in column_names(path)]
    columns = dict.fromkeys((*_KEY, *heard_as, *MAP_COLUMNS))
    for rows in first_draws(path, wanted, list(columns)).to_batches():
        keys = list(zip(*(rows.column(c).to_pylist() for c in _KEY), strict=True))
        native.update(zip(keys, native_maps(rows), strict=True))
        heard = rows.column("audio_source_id").to_pylist()
        sources.update({key: name for key, name in zip(keys, heard, strict=True) if name})
        if "audio_path" in heard_as:
            files = rows.column("audio_path").to_pylist()
            clips.update({n: Path(f) for n, f in zip(heard, files, strict=True) if n and f})
        if recipe.prior is not None:
            seen = rows.column("object_map").to_pylist()
            for (sample_id, _), values in zip(keys, seen, strict=True):
                side = round(len(values) ** 0.5)
                objects[sample_id] = np.array(values, np.float32).reshape(side, side)
        for variant, maps in recipe.maps(rows).items():
            low, high = extremes.get(variant, (np.inf, -np.inf))
            bottom, top = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
            whole = bottom.isfinite() & top.isfinite()
            if whole.any():
                bottom, top = bottom[whole].min(), top[whole].max()
                extremes[variant] = min(low, float(bottom)), max(high, float(top))
    scores = _scores(run, policy)
    scores = scores[scores["sample_id"].isin(wanted)]
    by_key = {
        (variant, sample_id, condition): (ciou, pia)
        for variant, sample_id, condition, ciou, pia in zip(
            *(scores[c] for c in ("map_variant", *_KEY, "ciou", "pia")), strict=True
        )
    }
    return RunMaps(run, native, objects, sources, clips, extremes, by_key)


def _facts(records: Path) -> pd.DataFrame:
    """One row per sample, with `area` and `quarter`."""
    filters = [("audio_condition", "=", POSITIVE), ("draw", "=", 0)]
    rows: pd.DataFrame = read_columns(records, list(_FIELDS), filters).to_pandas()
    rows["area"] = [
        object_area([_box(box) for box in boxes], weights)
        for boxes, weights in zip(rows["boxes"], rows["box_weights"], strict=True)
    ]
    order = np.argsort(np.argsort(rows["area"].to_numpy(), kind="stable"))
    rows["quarter"] = order * len(QUARTERS) // len(rows)
    return rows


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = (int(v) for v in values)
    return x0, y0, x1, y1


def _spread(facts: pd.DataFrame) -> Iterator[str]:
    """All samples, so that the first few already have every size and many classes.

    One quarter of sizes after the other; in each the classes in turn.
    """
    quarters = []
    for quarter in range(len(QUARTERS)):
        rows = facts[facts["quarter"] == quarter]
        classes = [list(ids) for _, ids in rows.groupby("category")["sample_id"]]
        start = quarter * len(classes) // len(QUARTERS)  # every quarter starts at another class
        quarters.append(_in_turn(classes[start:] + classes[:start]))
    return _in_turn(quarters)


def _worst(runs: Sequence[ReportRun], policy: str) -> Iterator[tuple[str, str]]:
    """Samples on which a run does worst, with the reason; runs and conditions in turn."""
    lists = []
    for run in runs:
        scores = _scores(run, policy)
        scores = scores[scores["map_variant"] == AUDIO_VISUAL]
        for condition in run.conditions:
            rows = scores[scores["audio_condition"] == condition]
            sounding = run.sounding[condition]
            column = "pia" if sounding == SoundingObject.NONE else "ciou"
            lowest = sounding == SoundingObject.OWN
            rows = rows.dropna(subset=[column])
            rows = rows.sort_values([column, "sample_id"], ascending=[lowest, True])
            what = _WORST_OF[sounding]
            what += "" if condition == POSITIVE else f" under {condition}"
            why = f"among the worst of {run.label}: {what} ({policy})"
            lists.append([(str(sample_id), why) for sample_id in rows["sample_id"].head(_WORST)])
    return _in_turn(lists)


def _in_turn(lists: Iterable[Iterable[Any]]) -> Iterator[Any]:
    """One of each, then the next of each."""
    nothing = object()
    for layer in zip_longest(*lists, fillvalue=nothing):
        yield from (each for each in layer if each is not nothing)


def _scores(run: ReportRun, policy: str) -> pd.DataFrame:
    """IoU and area of the first draws under a policy; empty where the run was not scored so."""
    columns = ["map_variant", *_KEY, "ciou", "pia"]
    path = run.folder / SCORES_FILE
    if not path.is_file() or not {"ciou", "pia"} <= set(column_names(path)):
        return pd.DataFrame(columns=columns)
    filters = [("threshold_policy", "=", policy), ("draw", "=", 0)]
    rows: pd.DataFrame = read_columns(path, columns, filters).to_pandas()
    return rows.astype(dict.fromkeys(columns[:3], str))


def _shown(row: Mapping[Any, Any], why: str) -> ShownSample:
    return ShownSample(
        sample_id=str(row["sample_id"]),
        image_path=Path(str(row["image_path"])),
        category=str(row["category"]),
        area=float(row["area"]),
        quarter=int(row["quarter"]),
        boxes=tuple(_box(box) for box in row["boxes"]),
        weights=tuple(float(w) for w in row["box_weights"]),
        why=why,
    )

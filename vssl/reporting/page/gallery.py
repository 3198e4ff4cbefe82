"""The samples of a report's gallery: which are shown, and their native similarity maps."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, repeat, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.localization import AUDIO_VISUAL
from vssl.records.store import column_names, read_columns
from vssl.records.truth import GroundTruth, object_area
from vssl.reporting.collection import Group, ReportRun
from vssl.reporting.figures.samples import RunScene, read_scenes
from vssl.reporting.tables.model import percent
from vssl.types import POSITIVE, SoundingObject

QUARTERS = ("smallest quarter", "second quarter", "third quarter", "largest quarter")
"""Of the samples of a test set, by the area of their ground truth."""

_EVERY = 8  # row and column of the maps whose median is taken
_TELLING = 0.2  # of the samples shown
_WORST = 200  # of each run and condition that may have to be looked at
_WORST_OF = {
    SoundingObject.OWN: "lowest cIoU",
    SoundingObject.OTHER: "highest cIoU with the silent object",
    SoundingObject.NONE: "largest marked area",
}
_WHOLE = "the whole test set is shown"
_SPREAD = "spread over classes and object sizes"
_FIELDS = ("sample_id", "image_path", "category")
_TRUTH = ("boxes", "box_weights", "masks", "mask_weights")


@dataclass(frozen=True)
class RunMaps:
    """The first draw of every audio condition of a run, for the samples shown.

    `scenes` are without their localization maps, of which `extremes` has lowest, median and highest
    value by map variant; `scores`: cIoU and pIA by sample, map variant and condition.
    """

    run: ReportRun
    scenes: Mapping[str, RunScene]
    extremes: Mapping[str, tuple[float, float, float]]
    scores: Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]]

    @cached_property
    def clips(self) -> dict[str, Path]:
        """Files of clips, by the sample that they are of; of earlier versions none are known."""
        return {
            source: Path(clip)
            for scene in self.scenes.values()
            for source, clip in zip(scene.sources.values(), scene.clips.values(), strict=True)
            if source and clip
        }

    def packed(self, sample_id: str) -> tuple[list[int], str]:
        """A sample's maps: which of the packed ones each condition has, and these as text.

        Base64 of zlib of float32, little endian: all lowest bytes, all second bytes and so on,
        which compress better. Native maps, equal ones once, then the object map.
        """
        scene = self.scenes[sample_id]
        first: dict[bytes, int] = {}
        native = scene.native.astype("<f4")
        places = [first.setdefault(each.tobytes(), len(first)) for each in native]
        seen = b"" if scene.object_map is None else scene.object_map.astype("<f4").tobytes()
        whole = b"".join([*first, seen])
        planes = np.frombuffer(whole, np.uint8).reshape(-1, 4).T
        return places, base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()


def choose(group: Group, count: int, *, policy: str) -> pd.DataFrame:
    """The most telling samples, some spread over classes and object sizes, and the worst ones.

    The first fifth are the most telling, see `_telling`. Half of the others are spread, half are
    the worst in the first draw under `policy`: of every run in turn the lowest cIoU where the own
    object sounds, the highest where another one does, and the largest marked area where none does.
    A test set of no more than `count` samples is taken whole, the most telling first.

    A row has `_FIELDS`, `_TRUTH`, `natural`, `area` (share of the image that the ground truth
    covers), `quarter` (of the test set by area, 0 the smallest), and `why` it was chosen.
    """
    facts = _samples_by_area(group.runs[0].folder)
    telling = _telling(group, facts, policy)
    candidates = chain(telling, zip(facts["sample_id"], repeat(_WHOLE), strict=False))
    if len(facts) > count:
        spread = zip(_spread_out(facts), repeat(_SPREAD), strict=False)
        first = round(_TELLING * count)
        half = islice(spread, (count - first + 1) // 2)
        candidates = chain(islice(telling, first), half, _worst(group.runs, policy), spread)
    chosen: dict[str, str] = {}
    for sample_id, why in candidates:
        if len(chosen) == count:
            break
        chosen.setdefault(sample_id, why)
    return (
        facts.set_index("sample_id", drop=False).loc[list(chosen)].assign(why=list(chosen.values()))
    )


def models_of(group: Group) -> list[ReportRun]:
    """The runs of a group that are no baselines, or all where there are only these."""
    return [run for run in group.runs if not run.is_baseline] or list(group.runs)


def read_maps(run: ReportRun, samples: Sequence[str], *, policy: str) -> RunMaps:
    """Read the first draws of some samples, without reading others' maps into memory."""
    scenes = read_scenes(run.folder, samples, variants=run.variants)
    extremes: dict[str, tuple[float, float, float]] = {}
    for variant in run.variants:
        maps = torch.cat([scene.maps[variant] for scene in scenes])
        bottom, top = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
        whole = bottom.isfinite() & top.isfinite()
        if whole.any():
            middle = maps[whole][:, ::_EVERY, ::_EVERY].median()
            extremes[variant] = float(bottom[whole].min()), float(middle), float(top[whole].max())
    scores: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in samples}
    rows = _scores(run, policy)
    rows = rows[rows["sample_id"].isin(samples)]
    for variant, name, condition, *values in rows.itertuples(index=False):
        scores[name].setdefault(variant, {})[condition] = [finite(value) for value in values]
    kept = {scene.sample_id: replace(scene, maps={}) for scene in scenes}
    return RunMaps(run, kept, extremes, scores)


def finite(value: float) -> float | None:
    """A number as JSON can hold it: None for what is not finite."""
    return float(value) if np.isfinite(value) else None


def _samples_by_area(run: Path) -> pd.DataFrame:
    """One row per sample, with `area` and `quarter`."""
    filters = [("audio_condition", "=", POSITIVE), ("draw", "=", 0)]
    rows: Any = read_columns(run / RECORDS_FILE, list(_FIELDS), filters).to_pandas()
    rows = rows.astype(dict.fromkeys(_FIELDS, str))
    truth = GroundTruth.of(run)
    objects = truth.objects(rows["sample_id"].to_list())
    for name, column in zip(_TRUTH, zip(*objects, strict=True), strict=True):
        rows[name] = list(column)
    rows["natural"] = truth.natural[truth.rows(rows["sample_id"].to_list())]
    rows["area"] = [object_area(*each) for each in objects]
    order = rows["area"].rank(method="first").astype(int) - 1
    return pd.DataFrame(rows.assign(quarter=order * len(QUARTERS) // len(rows)))


def _telling(group: Group, facts: pd.DataFrame, policy: str) -> Iterator[tuple[str, str]]:
    """Samples where a model finds the object, and one marks much though nothing of it sounds.

    By the largest cIoU of a model plus the largest marked area under a negative, classes in turn.
    """
    found = []
    for run in models_of(group):
        rows = _scores(run, policy)
        rows = rows[rows["map_variant"] == AUDIO_VISUAL].assign(run=run.label)
        silent = rows["audio_condition"].isin(run.negatives)
        own = rows["audio_condition"] == POSITIVE
        found.append(
            rows.assign(value=rows["ciou"].where(own, rows["pia"]), silent=silent)[own | silent]
        )
    rows = pd.concat(found).dropna(subset=["value"]).sort_values(["value", "sample_id"])
    largest = rows.drop_duplicates(["sample_id", "silent"], keep="last").set_index("sample_id")
    best, alarm = largest[~largest["silent"]], largest[largest["silent"]]
    both = best.merge(alarm, left_index=True, right_index=True, suffixes=("", "_alarm"))
    both["total"] = both["value"] + both["value_alarm"]
    both["category"] = facts.set_index("sample_id")["category"]
    both = both.sort_values("total", ascending=False, kind="stable")
    by_class = [list(each.itertuples()) for _, each in both.groupby("category", sort=False)]
    for row in in_turn(by_class):
        why = (
            f"own sound: {row.run} reaches cIoU {percent(row.value)} %;"
            f" {row.audio_condition_alarm}: {row.run_alarm} marks {percent(row.value_alarm)} % of"
            f" the image ({policy})"
        )
        yield row.Index, why


def _spread_out(facts: pd.DataFrame) -> Iterator[str]:
    """All samples, the quarters of sizes in turn, and in each the classes."""
    quarters = []
    for quarter in range(len(QUARTERS)):
        rows = facts[facts["quarter"] == quarter]
        classes = [list(ids) for _, ids in rows.groupby("category")["sample_id"]]
        start = quarter * len(classes) // len(QUARTERS)  # every quarter starts at another class
        quarters.append(in_turn(classes[start:] + classes[:start]))
    return in_turn(quarters)


def _worst(runs: Sequence[ReportRun], policy: str) -> Iterator[tuple[str, str]]:
    """Samples on which a run does worst, with the reason; runs and conditions in turn."""
    lists = []
    for run in runs:
        scores = _scores(run, policy)
        scores = scores[scores["map_variant"] == AUDIO_VISUAL]
        for condition in run.conditions:
            sounding = run.sounding[condition]
            column = "pia" if sounding == SoundingObject.NONE else "ciou"
            rows = scores[scores["audio_condition"] == condition].dropna(subset=[column])
            lowest = sounding == SoundingObject.OWN
            rows = rows.sort_values([column, "sample_id"], ascending=[lowest, True])
            under = "" if condition == POSITIVE else f" under {condition}"
            why = f"among the worst of {run.label}: {_WORST_OF[sounding]}{under} ({policy})"
            lists.append([(sample_id, why) for sample_id in rows["sample_id"].head(_WORST)])
    return in_turn(lists)


def in_turn(lists: Iterable[Iterable[Any]]) -> Iterator[Any]:
    """One of each, then the next of each."""
    nothing = object()
    for layer in zip_longest(*lists, fillvalue=nothing):
        yield from (each for each in layer if each is not nothing)


def _scores(run: ReportRun, policy: str) -> pd.DataFrame:
    """IoU and area of the first draws under a policy; empty where the run was not scored so."""
    columns = ["map_variant", "sample_id", "audio_condition", "ciou", "pia"]
    path = run.folder / SCORES_FILE
    if not path.is_file() or not {"ciou", "pia"} <= set(column_names(path)):
        return pd.DataFrame(columns=columns)
    filters = [("threshold_policy", "=", policy), ("draw", "=", 0)]
    rows: pd.DataFrame = read_columns(path, columns, filters).to_pandas()
    return rows.astype(dict.fromkeys(columns[:3], str))

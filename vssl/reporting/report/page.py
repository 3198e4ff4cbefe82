"""The report as one HTML page that needs no network: tables, figures, and a gallery of maps."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from vssl.records.files import SUMMARY_FILE, write_text
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.records.rows import categories_of
from vssl.reporting.report.collection import Collection, Group, ReportRun
from vssl.reporting.report.figures import Figure
from vssl.reporting.report.gallery import (
    QUARTERS,
    RunMaps,
    ShownSample,
    choose,
    read_maps,
)
from vssl.reporting.report.media import (
    CLIP_SECONDS,
    Sounds,
    figure_address,
    figure_size,
    small_clip,
    small_image,
)
from vssl.reporting.tables import GAP, MISSING, Cell, Column, Row, Table, percent, points
from vssl.types import EVALUATION_SIZE, POSITIVE

PAGE_FILE = "index.html"
PAGE_LIMIT = 20_000_000
"""Bytes of a page, at most; what does not fit is counted and said on the page."""

_WEB = "web"
_FIGURES = 1 / 3  # of the page, at most: they are in files of their own too
_PER_CARD = 1_500  # bytes of a sample's text on the page, beside what is counted


def write_page(
    collection: Collection,
    output: Path,
    *,
    figures: Mapping[str, Sequence[Figure]],
    tables: Mapping[str, Sequence[Table]],
    gallery: int = 60,
    policy: str = "universal_q3",
    limit: int = PAGE_LIMIT,
) -> Path:
    """Write the page of a report.

    Everything is inside: style, script, figures, images, sounds (the first 5 s, mono) and native
    similarity maps (float32, compressed), from which the script makes every map at the threshold
    that a reader chooses, with the numbers that vssl gives.

    Args:
        collection: groups of runs.
        output: folder of the page.
        figures: of each group, by its name.
        tables: of each group, by its name.
        gallery: samples shown of each group, at most.
        policy: threshold policy that the gallery starts at and chooses the worst samples by.
        limit: bytes of the page, at most. First come tables and, up to a third, figures, then the
            gallery's maps and images, then its sounds; what does not fit is left out and counted on
            the page.

    Returns:
        The page, `output/index.html`.
    """
    output.mkdir(parents=True, exist_ok=True)
    budget = _Budget(limit)
    web = files(__package__) / _WEB
    style, maths, script, template = (
        (web / name).read_text(encoding="utf-8")
        for name in ("page.css", "maps.js", "page.js", "template.html.j2")
    )
    budget.spend(sum(map(len, (style, maths, script, template))))
    titles = _titles(collection.groups)
    pages = []
    for group in collection.groups:
        shown_tables = [_table(table, output) for table in tables.get(group.name, ())]
        budget.spend(3 * len(json.dumps(shown_tables)))  # markup around each number
        pages.append(
            {
                "name": group.name,
                "title": titles[group.name],
                "facts": _facts(group),
                "thresholds": _thresholds(group),
                "tables": shown_tables,
            }
        )
    room = _Budget(round(_FIGURES * limit))
    drawn = _figures([figures.get(group.name, ()) for group in collection.groups], output, room)
    budget.spend(round(_FIGURES * limit) - room.left)
    galleries = [_Gallery.of(group, gallery, policy) for group in collection.groups]
    _fill(galleries, budget)
    for page, own, shown in zip(pages, drawn, galleries, strict=True):
        page.update(figures=own, gallery=shown.notes())
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(template).render(
        groups=pages,
        left_out=[
            {"folder": os.path.relpath(each.folder, output), "reason": each.reason}
            for each in collection.left_out
        ],
        policy=policy,
        style=_Inline(style),
        maths=_Inline(maths),
        script=_Inline(script),
        galleries=[_Inline(_json(shown.data(output))) for shown in galleries if shown.maps],
        names=[page["title"] for page, shown in zip(pages, galleries, strict=True) if shown.maps],
        seconds=CLIP_SECONDS,
        quarters=QUARTERS,
        gap=GAP,
    )
    path = output / PAGE_FILE
    write_text(path, text)
    return path


class _Inline(str):
    """Text that is made here and stands in the page as it is."""

    def __html__(self) -> str:
        return str(self)

    @property
    def sha256(self) -> str:
        """As a content security policy names it."""
        return base64.b64encode(hashlib.sha256(self.encode()).digest()).decode()


@dataclass
class _Budget:
    """Bytes that a page may still grow by."""

    left: int

    def spend(self, size: int) -> None:
        """Use bytes that cannot be done without."""
        self.left -= size

    def take(self, size: int) -> bool:
        """Use bytes if there are so many."""
        if size > self.left:
            return False
        self.left -= size
        return True


# -- tables and figures -----------------------------------------------------------------------


def _titles(groups: Sequence[Group]) -> dict[str, str]:
    """Of each group by its name; with what tells groups of one test set and protocol apart."""
    titles = {each.name: f"{each.dataset}, protocol {each.protocol}" for each in groups}
    count = Counter(titles.values())
    return {
        name: f"{title} ({name})" if count[title] > 1 else title for name, title in titles.items()
    }


def _facts(group: Group) -> dict[str, str]:
    """What every number of a group rests on."""
    summary = pd.concat([run.summary for run in group.runs])
    covered = ", ".join(f"{100 * c:.4g} %" for c in sorted(summary["coverage"].unique()))
    draws = summary.groupby("condition")["draws"].max()
    negatives = dict.fromkeys(c for run in group.runs for c in run.conditions if c != POSITIVE)
    seeds = ", ".join(str(int(s)) for s in sorted(summary["seed"].dropna().unique()))
    return {
        "test set": group.dataset,
        "protocol": group.protocol,
        "samples": f"{summary['n'].max()} (coverage {covered}, list {group.manifest_hash[:8]})",
        "audio conditions": ", ".join(
            [POSITIVE, *(f"{name} × {draws.get(name, 1)}" for name in negatives)]
        ),
        "seed": seeds or "none",
        "intervals": "95 %: images, shared sounds, learnt thresholds",
    }


def _thresholds(group: Group) -> dict[str, Any]:
    """Thresholds of each run under each policy that has one for all maps, with their sources."""
    policies: list[str] = []
    rows: list[dict[str, Any]] = []
    for run in group.runs:
        for variant in run.variants:
            chosen = run.summary[run.summary["map_variant"] == variant]
            chosen = chosen.dropna(subset=["threshold"]).drop_duplicates("threshold_policy")
            names = [str(name) for name in chosen["threshold_policy"]]
            values = dict(zip(names, chosen["threshold"].astype(float), strict=True))
            learnt = dict.fromkeys(
                str(s) for s in chosen["threshold_source"] if str(s).startswith("fit on")
            )
            policies += [name for name in names if name not in policies]
            rows.append({"label": _name(run, variant), "values": values, "sources": list(learnt)})
    for row in rows:
        values = row["values"]
        row["values"] = [f"{values[p]:.4f}" if p in values else GAP for p in policies]
    return {"policies": policies, "rows": rows}


def _name(run: ReportRun, variant: str) -> str:
    return run.label if variant == AUDIO_VISUAL else f"{run.label} + OGL"


def _table(table: Table, output: Path) -> dict[str, Any]:
    """A table for the template; what columns share in their headers stands above them once."""
    tops = [(top, len(list(same))) for top, same in groupby(c.top for c in table.columns)]
    return {
        "title": table.title,
        "caption": f"{table.caption[:1].upper()}{table.caption[1:]}",
        "tops": tops if any(top for top, _ in tops) else [],
        "columns": [
            {"header": c.bottom or c.header, "whole": c.header, "higher": c.higher_is_better}
            for c in table.columns
        ],
        "thresholds": any(row.threshold is not None for row in table.rows),
        "rows": [
            {
                "name": row.name,
                "baseline": row.baseline,
                "reason": row.reason,
                "threshold": row.threshold,
                "cells": [
                    cell and _cell(cell, column, row, output)
                    for cell, column in zip(row.cells, table.columns, strict=True)
                ],
            }
            for row in table.rows
        ],
    }


def _cell(cell: Cell, column: Column, row: Row, output: Path) -> dict[str, Any]:
    folder = Path(os.path.relpath(cell.run, output)).as_posix()
    interval = published = ""
    if cell.low is not None and cell.high is not None:
        interval = f"{_text(cell.low, column)}–{_text(cell.high, column)}"
    if cell.published is not None and cell.difference is not None:
        published = f"{100 * cell.published:.2f}, {points(cell.difference)}"
    return {
        "text": _text(cell.value, column),
        "value": "" if cell.value is None else repr(float(cell.value)),
        "interval": interval,
        "published": published,
        "source": cell.source,
        "rank": cell.rank,
        "link": quote(f"{folder}/{SUMMARY_FILE}"),
        "record": {
            "name": row.name,
            "header": column.header,
            "folder": folder,
            "metric": column.metric,
            "condition": column.condition,
            "policy": column.policy,
            "variant": row.variant,
            "n": cell.n,
            "std": None if cell.std is None else _text(cell.std, column),
            "draws": cell.draws,
            "undefined": cell.n_undefined,
            "threshold": cell.threshold,
            "source": cell.threshold_source,
            "published": published and f"{published} ({cell.source})",
        },
    }


def _text(value: float | None, column: Column) -> str:
    if value is None or np.isnan(value):
        return MISSING
    return percent(value)


def _figures(
    groups: Sequence[Sequence[Figure]], output: Path, budget: _Budget
) -> list[list[dict[str, Any]]]:
    """Each group's figures for the template; groups take turns for what the page has room for."""
    shown: list[list[dict[str, Any]]] = [[] for _ in groups]
    for place in range(max(map(len, groups), default=0)):
        for figures, its in zip(groups, shown, strict=True):
            if place < len(figures):
                its.append(_figure(figures[place], output, budget))
    return shown


def _figure(figure: Figure, output: Path, budget: _Budget) -> dict[str, Any]:
    """A figure inside the page, or a link where it does not fit."""
    content = figure_address(figure.svg, figure.png)
    fits = budget.take(len(content))
    links = {
        path.suffix.removeprefix(".").upper(): quote(Path(os.path.relpath(path, output)).as_posix())
        for path in (figure.svg, figure.png)
    }
    width, height = figure_size(figure.png)
    return {
        "title": figure.title,
        "alt": figure.alt or figure.title,
        "width": width,
        "height": height,
        "guided": figure.name.endswith("_ogl"),
        "caption": figure.caption,
        "source": content if fits else "",
        **links,
    }


# -- gallery ----------------------------------------------------------------------------------


@dataclass
class _Gallery:
    """The gallery of a group, as far as it fits into the page."""

    group: Group
    policy: str
    listed: int
    samples: list[ShownSample]
    runs: list[RunMaps]
    sounds: Sounds
    classes: dict[str, str]
    maps: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, group: Group, count: int, policy: str) -> _Gallery:
        """Choose samples and read their maps."""
        samples = choose(group, count, policy=policy) if count else []
        ids = [each.sample_id for each in samples]
        runs = [read_maps(run, ids, policy=policy) for run in group.runs] if samples else []
        heard = [name for each in runs for name in each.sources.values()]
        classes = categories_of(group.runs[0].folder, heard) if heard else {}
        listed = int(max(run.provenance["evaluated"] for run in group.runs))
        sounds = Sounds.of(group.runs[0].folder)
        return cls(group, policy, listed, samples, runs, sounds, classes)

    @property
    def conditions(self) -> list[str]:
        """Audio conditions of all runs, in their order."""
        return list(dict.fromkeys(c for each in self.runs for c in each.run.conditions))

    def heard(self, sample_id: str) -> list[dict[str, Any]]:
        """Whose clips are heard with an image, and by which runs where they differ."""
        found: dict[tuple[str, str], list[str]] = {}
        for each in self.runs:
            for condition in each.run.conditions:
                source = each.sources.get((sample_id, condition))
                if source is not None:
                    found.setdefault((condition, source), []).append(each.run.label)
        shared = {c: sum(1 for condition, _ in found if condition == c) for c, _ in found}
        return [
            {
                "condition": condition,
                "id": source,
                "category": self.classes.get(source, source),
                "runs": labels if shared[condition] > 1 else [],
            }
            for (condition, source), labels in found.items()
        ]

    def clip(self, name: str, image_path: Path) -> Path | None:
        """The file of a clip, None where it is not at hand: as the records say, or looked for."""
        known = (each.clips[name] for each in self.runs if name in each.clips)
        found = next((path for path in known if path.is_file()), None)
        return found or self.sounds.find(name, image_path)

    def count(self, what: str) -> None:
        """Count one more of something."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def notes(self) -> list[str]:
        """What is shown, and what is not and why."""
        shown = f"{len(self.maps)} of {self.listed} samples are shown"
        if 0 < len(self.maps) < self.listed:
            shown += ", chosen as each card says; they are no random sample"
        return [shown, *(f"{what}: {n}" for what, n in self.counts.items())]

    def data(self, output: Path) -> dict[str, Any]:
        """What the script draws from."""
        return {
            "name": self.group.name,
            "policy": self.policy,
            "size": EVALUATION_SIZE,
            "conditions": self.conditions,
            "models": [_model(each, output) for each in self.runs],
            "samples": [self._sample(s) for s in self.samples if s.sample_id in self.maps],
            "clips": self.clips,
        }

    def _sample(self, sample: ShownSample) -> dict[str, Any]:
        scores = []
        for each in self.runs:
            by_variant = {}
            for variant in each.run.variants:
                keys = {c: (variant, sample.sample_id, c) for c in each.run.conditions}
                by_variant[variant] = {
                    c: [_number(v) for v in each.scores[key]]
                    for c, key in keys.items()
                    if key in each.scores
                }
            scores.append(by_variant)
        return {
            "id": sample.sample_id,
            "category": sample.category,
            "area": sample.area,
            "quarter": sample.quarter,
            "boxes": sample.boxes,
            "weights": sample.weights,
            "why": sample.why,
            "image": self.images.get(sample.sample_id),
            "heard": self.heard(sample.sample_id),
            "maps": self.maps[sample.sample_id],
            "scores": scores,
        }


def _model(each: RunMaps, output: Path) -> dict[str, Any]:
    run = each.run
    recipe = Localization.of(run.provenance)
    first = next(iter(each.native.values()))
    seen = next(iter(each.objects.values()), None)
    low, high = recipe.value_range
    prior = recipe.prior and {
        "alpha": float(recipe.prior["alpha"]),
        "corrected": recipe.prior["scale"] == "corrected",
        "side": 0 if seen is None else len(seen),
    }
    policies = [str(p) for p in pd.unique(run.summary["threshold_policy"])]
    return {
        "label": run.label,
        "folder": quote(os.path.relpath(run.folder, output).replace(os.sep, "/")),
        "variants": run.variants,
        "conditions": run.conditions,
        "sounding": {name: run.sounding[name].value for name in run.conditions},
        "height": first.shape[0],
        "width": first.shape[1],
        "upsampling": dict(recipe.upsampling),
        "transform": recipe.transform,
        "range": [_number(low), _number(high)],
        "prior": prior,
        "extremes": {v: list(each.extremes.get(v, (0.0, 1.0))) for v in run.variants},
        "thresholds": {
            variant: {
                name: value
                for name in policies
                if (value := run.threshold(name, variant)) is not None
            }
            for variant in run.variants
        },
    }


def _number(value: float) -> float | None:
    """A number as JSON can hold it: None for what is not finite."""
    return float(value) if np.isfinite(value) else None


def _fill(galleries: Sequence[_Gallery], budget: _Budget) -> None:
    """Put maps and images into the page, sample by sample of each group in turn; then sounds."""
    longest = max((len(each.samples) for each in galleries), default=0)
    for place in range(longest):
        for shown in galleries:
            if place < len(shown.samples):
                _add_sample(shown, shown.samples[place], budget)
    for place in range(longest):
        for shown in galleries:
            if place < len(shown.samples) and shown.samples[place].sample_id in shown.maps:
                _add_clips(shown, shown.samples[place], budget)


def _add_sample(shown: _Gallery, sample: ShownSample, budget: _Budget) -> None:
    maps = [each.packed(sample.sample_id) for each in shown.runs]
    image = small_image(sample.image_path)
    if image is None:
        shown.count("images whose file is not at hand")
    if not budget.take(sum(map(len, maps)) + len(image or "") + _PER_CARD * len(maps)):
        shown.count("samples left out so that the page stays below its size")
        return
    shown.maps[sample.sample_id] = maps
    if image is not None:
        shown.images[sample.sample_id] = image


def _add_clips(shown: _Gallery, sample: ShownSample, budget: _Budget) -> None:
    for heard in shown.heard(sample.sample_id):
        name = str(heard["id"])
        if name in shown.tried:
            continue
        shown.tried.add(name)
        path = shown.clip(name, sample.image_path)
        clip = None if path is None else small_clip(path)
        if clip is None:
            shown.count("sounds whose file is not at hand")
        elif budget.take(len(clip) + len(name)):
            shown.clips[name] = clip
        else:
            shown.count("sounds left out so that the page stays below its size")


def _json(data: Mapping[str, Any] | Iterable[Any]) -> str:
    """JSON that can stand inside an HTML script element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")

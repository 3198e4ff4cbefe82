"""The report as one HTML page that needs no network: tables, figures, and a gallery of maps."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from vssl.core.files import write_text
from vssl.records.files import SUMMARY_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.reporting.collection import Collection, Group, ReportRun
from vssl.reporting.figures.style import Figure
from vssl.reporting.interpret import finding, in_words
from vssl.reporting.page import media
from vssl.reporting.page.gallery import (
    QUARTERS,
    RunMaps,
    choose,
    finite,
    in_turn,
    models_of,
    read_maps,
)
from vssl.reporting.tables.captions import marks_nothing
from vssl.reporting.tables.model import GAP, Table, caption, percent
from vssl.types import EVALUATION_SIZE, POSITIVE

PAGE_FILE = "index.html"
PAGE_LIMIT = 15_000_000
"""Largest size of a page in bytes; the page counts what does not fit."""

OPENING_FIGURE = "overview"
"""Name of the figure that is shown beside a group's finding."""

_FIGURES = 1 / 3  # of the page, at most: they are in files of their own too
_PER_ELEMENT = 120  # bytes of markup around a part of the gallery's data, at most


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
    """Write the page of a report, `output/index.html`.

    The page holds style, script, figures, images, sounds (the first 5 s, mono) and native
    similarity maps (float32, compressed). The script makes every mask from them, at the threshold
    that a reader chooses, with the numbers of vssl.

    `figures` and `tables` are by name of the group. The gallery shows at most `gallery` samples of
    each group, at the threshold of `opening_policy`. `limit` bytes, at most, are for tables, then
    figures (up to a third), then maps and images, then sounds; what does not fit is left out and
    counted on the page.
    """
    output.mkdir(parents=True, exist_ok=True)
    render = partial(_template(output).render, policy=policy, left_out=collection.left_out)
    titles = [f"{each.dataset}, protocol {each.protocol}" for each in collection.groups]
    pages: list[dict[str, Any]] = [
        {
            "name": group.name,
            "title": f"{title} ({group.name})" if titles.count(title) > 1 else title,
            "tests": title,
            **_words(group, policy),
            "settings": caption(pd.concat([run.summary for run in group.runs])),
            "tables": tables.get(group.name, ()),
            "figures": _shown_figures(group, figures.get(group.name, ())),
            "gallery": [],
        }
        for group, title in zip(collection.groups, titles, strict=True)
    ]
    empty = [{"title": page["title"], "data": "", "parts": {}} for page in pages]
    room = limit - len(render(groups=pages, galleries=empty).encode())
    rest = room - min(room, round(_FIGURES * limit))
    for figure in in_turn(page["figures"] for page in pages):
        content = media.figure_address(figure["svg"], figure["png"])
        figure["source"] = content if rest <= room - len(content) else ""
        room -= len(figure["source"])
    galleries = [_Gallery(each, gallery, policy) for each in collection.groups]
    samples = list(in_turn([(shown, each) for each in shown.samples] for shown in galleries))
    room -= sum(len(_json(shown.data("data"))) for shown in galleries if shown.samples)
    for add in (_Gallery.add_sample, _Gallery.add_clips):
        for shown, sample in samples:
            room -= add(shown, sample, room)
    with_maps: list[dict[str, Any]] = []
    for page, shown in zip(pages, galleries, strict=True):
        page["gallery"] = shown.notes()
        if shown.parts:
            name = f"data-{len(with_maps)}"
            parts = {f"{name}-{place}": _json(each) for place, each in enumerate(shown.parts)}
            data = _json(shown.data(name))
            with_maps.append({"title": page["title"], "data": data, "parts": parts})
    path = output / PAGE_FILE
    write_text(path, render(groups=pages, galleries=with_maps))
    return path


def _json(content: Any) -> Markup:
    """Content of a script element, which would end at a "</"."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _template(output: Path) -> jinja2.Template:
    """The page's template, with what it needs besides the groups."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "sha256": lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        "relative": lambda path: Path(os.path.relpath(path, output)).as_posix(),
        "quoted": quote,
    }
    texts = {path.name: path.read_text("utf-8") for path in (files(__package__) / "web").iterdir()}
    environment.globals |= {
        "style": Markup(texts["page.css"]),
        "maths": Markup(texts["maps.js"]),
        "script": Markup(texts["page.js"]),
        "tops_of": lambda table: [
            (top, len(list(same))) for top, same in groupby(column.top for column in table.columns)
        ],
        "seconds": media.PLAYED_SECONDS,
        "quarters": QUARTERS,
        "gap": GAP,
        "summary_file": SUMMARY_FILE,
    }
    return environment.from_string(texts["template.html.j2"])


def opening_policy(group: Group, policy: str) -> str:
    """The threshold at which the gallery opens, and of which the finding speaks first.

    It is the usual one, `overview.marked` of the runs' configuration (`fixed`), or `policy` where
    most models lack that or mark nothing with it under the own sound.
    """
    usual = _overview(group).get("marked", policy)
    marking = [
        run.number("pia", POSITIVE, usual) is not None
        and not marks_nothing(run, usual, AUDIO_VISUAL)
        for run in models_of(group)
    ]
    return usual if 2 * sum(marking) > len(marking) else policy


def _overview(group: Group) -> dict[str, str]:
    """Threshold policies of the overview, as the runs' configuration names them."""
    return (group.runs[0].run_file.get("config") or {}).get("overview") or {}


def _words(group: Group, policy: str) -> dict[str, Any]:
    """The finding of a group, and each of its models in words."""
    policies = dict.fromkeys(("positives", "equal"), "") | _overview(group)
    policies |= {"marked": opening_policy(group, policy), "universal": policy}
    rows = {
        run.label: run.summary[run.summary["map_variant"] == AUDIO_VISUAL]
        for run in models_of(group)
    }
    words = {
        label: text for label, summary in rows.items() if (text := in_words(summary, **policies))
    }
    if len(rows) == 1:
        return {"finding": words.values(), "words": {}}
    return {"finding": finding(rows, **policies), "words": words}


def _shown_figures(group: Group, figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Figures for the template, the opening one first, so far without their content."""
    first = f"{group.name}_{OPENING_FIGURE}"
    shown = []
    for figure in sorted(figures, key=lambda figure: figure.name != first):
        width, height = media.figure_size(figure.png)
        guided = figure.name.endswith("_ogl")
        more = {"width": width, "height": height, "guided": guided, "source": ""}
        shown.append(vars(figure) | more)
    return shown


class _Gallery:
    """The part of a group's gallery that fits into the page.

    `parts` are the large ones, image and maps of a sample or a clip, which the script reads when
    they are needed; `shown` and `clips` say where a sample's and a clip's are among them, None for
    a clip that is not at hand or does not fit.
    """

    def __init__(self, group: Group, count: int, policy: str) -> None:
        self.group = group
        self.policy = opening_policy(group, policy)
        rows = choose(group, count, policy=self.policy).itertuples() if count else ()
        self.samples: list[Any] = list(rows)
        ids = [each.sample_id for each in self.samples]
        self.runs = [read_maps(run, ids, policy=self.policy) for run in group.runs] if ids else []
        self.parts: list[Any] = []
        self.shown: dict[str, int] = {}
        self.clips: dict[str, int | None] = {}
        self.counts: Counter[str] = Counter()

    def heard(self, sample_id: str) -> list[dict[str, Any]]:
        """The clips that play with an image, and the runs of each where runs differ."""
        found: dict[tuple[str, str, str | None], list[str]] = {}
        for each in self.runs:
            scene = each.scenes[sample_id]
            for condition, source in scene.sources.items():
                if source is not None:
                    key = condition, source, scene.heard[condition]
                    found.setdefault(key, []).append(each.run.label)
        shared = Counter(condition for condition, *_ in found)
        names = ("condition", "id", "category")
        return [
            {**dict(zip(names, key, strict=True)), "runs": labels if shared[key[0]] > 1 else []}
            for key, labels in found.items()
        ]

    def add_sample(self, sample: Any, room: int) -> int:
        """Put maps and image of a sample into the page, if there is room; return their bytes."""
        image = media.small_image(Path(sample.image_path))
        if image is None:
            self.counts["images whose file is not at hand"] += 1
        part = {"image": image, "maps": [each.packed(sample.sample_id) for each in self.runs]}
        size = len(_json([part, self._sample(sample)]).encode()) + _PER_ELEMENT
        if size > room:
            self.counts["samples left out so that the page stays below its size"] += 1
            return 0
        self.shown[sample.sample_id] = len(self.parts)
        self.parts.append(part)
        return size

    def add_clips(self, sample: Any, room: int) -> int:
        """Put the sounds of a sample into the page, as far as there is room; return their bytes."""
        used = 0
        for name in (heard["id"] for heard in self.heard(sample.sample_id)):
            if name in self.clips or sample.sample_id not in self.shown:
                continue
            known = (each.clips[name] for each in self.runs if name in each.clips)
            clip = next(filter(None, map(media.small_clip, known)), None)
            self.clips[name] = None
            size = len(clip or "") + len(name.encode()) + _PER_ELEMENT
            if clip is None:
                self.counts["sounds whose file is not at hand"] += 1
            elif used + size > room:
                self.counts["sounds left out so that the page stays below its size"] += 1
            else:
                self.clips[name] = len(self.parts)
                self.parts.append(clip)
                used += size
        return used

    def notes(self) -> list[str]:
        """Counts of what the gallery shows and leaves out, with reasons."""
        listed = int(max(run.provenance["evaluated"] for run in self.group.runs))
        shown = f"{len(self.shown)} of {listed} samples are shown"
        if 0 < len(self.shown) < listed:
            shown += ", chosen as each card says; they are no random sample"
        return [shown, *(f"{what}: {n}" for what, n in self.counts.items())]

    def data(self, name: str) -> dict[str, Any]:
        """Data of the page's script; `name` is that of the elements of `parts`, before a number."""
        return {
            "name": name,
            "policy": self.policy,
            "size": EVALUATION_SIZE,
            "conditions": list(dict.fromkeys(c for run in self.group.runs for c in run.draws)),
            "models": [_model(each, models_of(self.group)) for each in self.runs],
            "samples": [self._sample(s) for s in self.samples if s.sample_id in self.shown],
            "clips": {clip: place for clip, place in self.clips.items() if place is not None},
        }

    def _sample(self, sample: Any) -> dict[str, Any]:
        return {
            "id": sample.sample_id,
            "category": sample.category,
            "area": sample.area,
            "quarter": sample.quarter,
            "boxes": sample.boxes,
            "weights": sample.box_weights,
            "masks": [base64.b64encode(mask).decode() for mask in sample.masks],
            "maskWeights": sample.mask_weights,
            "natural": sample.natural,
            "why": sample.why,
            "heard": self.heard(sample.sample_id),
            "part": self.shown.get(sample.sample_id, 0),
            "scores": [each.scores[sample.sample_id] for each in self.runs],
        }


def _model(each: RunMaps, models: Sequence[ReportRun]) -> dict[str, Any]:
    run = each.run
    recipe = Localization.of(run.provenance)
    first = next(iter(each.scenes.values()))
    prior = recipe.prior and {
        "alpha": float(recipe.prior["alpha"]),
        "corrected": recipe.prior["scale"] == "corrected",
        "side": 0 if first.object_map is None else len(first.object_map),
    }
    policies = [str(p) for p in pd.unique(run.summary["threshold_policy"])]
    return {
        "label": run.label,
        "baseline": run not in models,
        "variants": run.variants,
        "conditions": list(run.draws),
        "sounding": {name: run.sounding[name].value for name in run.conditions},
        "height": first.native.shape[1],
        "width": first.native.shape[2],
        "upsampling": dict(recipe.upsampling),
        "transform": recipe.transform,
        "range": [finite(bound) for bound in recipe.value_range],
        "prior": prior,
        "extremes": {v: list(each.extremes.get(v, (0.0, 0.0, 1.0))) for v in run.variants},
        "thresholds": {
            v: {p: value for p in policies if (value := run.threshold(p, v)) is not None}
            for v in run.variants
        },
    }

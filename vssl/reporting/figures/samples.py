"""One image under every audio condition: its maps, its objects, and what is heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vssl.core.arrays import Floats
from vssl.images import read_image
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import (
    AUDIO_VISUAL,
    MAP_COLUMNS,
    Localization,
    native_maps,
    object_maps,
)
from vssl.records.read import categories_of, records_of
from vssl.records.store import column_names, read_provenance
from vssl.records.truth import GroundTruth
from vssl.types import EVALUATION_SIZE, NATURAL, POSITIVE, Box, Mask

_SCENE_COLUMNS = ("audio_source_id", "image_path", "category", *MAP_COLUMNS)
_CLIPS = "audio_path"  # which records of earlier versions lack


@dataclass(frozen=True)
class RunScene:
    """A sample of a run, first draw of each of K audio conditions, in the order of the run.

    The own sound of a natural negative has the condition `natural`.
    """

    sample_id: str
    image_path: Path
    category: str
    boxes: tuple[Box, ...]  # in pixels of 224
    masks: tuple[Mask, ...]
    natural: bool  # whether nothing in the image sounds
    conditions: tuple[str, ...]
    # by audio condition: class, sample and file of the sound, None where it has none
    heard: Mapping[str, str | None]
    sources: Mapping[str, str | None]
    clips: Mapping[str, str | None]
    native: Floats  # [K, h, w]
    object_map: Floats | None  # [s, s]
    maps: Mapping[str, torch.Tensor]  # by map variant, [K, 224, 224]
    # by map variant, [K, 2]: least and largest value of the native similarity map where the model's
    # map is not processed further, else of the localization map
    extremes: Mapping[str, torch.Tensor]

    def label(self, condition: str) -> str:
        """The audio condition, and in a second line the class that is heard in it."""
        heard = self.heard[condition]
        return condition if heard is None else f"{condition}\n({heard})"


def read_scenes(
    run: Path, ids: Sequence[str], *, variants: Sequence[str] = (AUDIO_VISUAL,)
) -> list[RunScene]:
    """Read some samples of a run, with the wanted map variants, as far as the run has them."""
    localization = Localization.of(read_provenance(run / RECORDS_FILE))
    wanted = [name for name in variants if name in localization.variants]
    known = [_CLIPS] if _CLIPS in column_names(run / RECORDS_FILE) else []
    found = records_of(run, ids, [*_SCENE_COLUMNS, *known])
    sources = {name: rows.column("audio_source_id").to_pylist() for name, rows in found.items()}
    classes = categories_of(run, [s for each in sources.values() for s in each if s is not None])
    truth = GroundTruth.of(run)
    natural = truth.natural[truth.rows(ids)].tolist()
    scenes = []
    for name, (boxes, _, masks, _), silent in zip(ids, truth.objects(ids), natural, strict=True):
        rows = found[name]
        conditions = [
            NATURAL if silent and condition == POSITIVE else condition
            for condition in rows.column("audio_condition").to_pylist()
        ]
        own = dict(zip(conditions, sources[name], strict=True))
        files = rows.column(_CLIPS).to_pylist() if known else [None] * len(rows)
        maps = localization.maps(rows, wanted)
        native = native_maps(rows)
        plain = localization.transform == "none"
        reached = {**maps, AUDIO_VISUAL: torch.from_numpy(native)} if plain else maps
        seen = None if localization.prior is None else object_maps(rows)[0].numpy()
        scenes.append(
            RunScene(
                sample_id=name,
                image_path=Path(rows.column("image_path")[0].as_py()),
                category=rows.column("category")[0].as_py(),
                boxes=tuple(tuple(box) for box in boxes),
                masks=tuple(masks),
                natural=silent,
                conditions=tuple(conditions),
                heard={c: None if s is None else classes.get(s, s) for c, s in own.items()},
                sources=own,
                clips=dict(zip(conditions, files, strict=True)),
                native=native,
                object_map=seen,
                maps={variant: maps[variant] for variant in wanted},
                extremes={
                    variant: torch.stack([map_.amin(dim=(1, 2)), map_.amax(dim=(1, 2))], dim=1)
                    for variant, map_ in reached.items()
                    if variant in wanted
                },
            )
        )
    return scenes


def evaluation_image(path: Path) -> torch.Tensor:
    """An image at the evaluation size, `[224, 224, 3]` in [0, 1]."""
    size = (EVALUATION_SIZE, EVALUATION_SIZE)
    shrunk = torch.nn.functional.interpolate(
        read_image(path)[None], size=size, mode="bilinear", antialias=True
    )
    return shrunk[0].permute(1, 2, 0).clamp(0, 1)

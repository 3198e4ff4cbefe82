"""vssl-localize on an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console

from vssl.audio import inspect_audio, read_clip
from vssl.engine.localizer import NativeMaps
from vssl.images import Pixels, decode_image, read_bytes
from vssl.localize.figures import draw_pair
from vssl.localize.output import Output, file_facts, say
from vssl.localize.setup import LocalizeOptions, Setup, set_up
from vssl.localize.verdict import MapNumbers, highest, in_percent, measure
from vssl.reporting.tables.model import Table, text_columns, text_row
from vssl.reporting.tables.render import show_table
from vssl.types import POSITIVE, AudioClip

PICTURE_FILE = "localize.png"

_log = logging.getLogger(__name__)


def localize_image(picture: Path, sound: Path, options: LocalizeOptions, output: Path) -> None:
    """Localize a sound in an image: table, picture, numbers and native maps in a folder."""
    pixels = decode_image(read_bytes(picture), picture)
    _warn_if_turned(picture)
    inspect_audio(sound)
    setup = set_up(options)  # once the files are known to be usable
    clip = read_clip(sound, setup.rate)
    native, pairings = native_maps(setup, pixels, picture, [(sound, clip)])
    maps, numbers = measure(setup.recipe, native, pairings, setup.threshold)
    verdict = setup.judge([numbers], video=False)

    results = Output(output, setup)
    results.save_maps(pairings, native)
    title = f"{sound.name} in {picture.name}"
    columns = [
        (_map_title(numbers[place], setup), maps[place], numbers[place])
        for place in highest(numbers).values()
    ]
    draw_pair(output / PICTURE_FILE, pixels, columns, setup, title, verdict)
    maps_json = [each.as_json() for each in numbers]
    files = {"image": file_facts(picture), "sound": file_facts(sound)}
    results.finish(verdict, {**files, "maps": maps_json})
    show_table(Console(highlight=False), _numbers_table(title, numbers, setup))
    results.show(verdict)
    say(f"picture, numbers and native maps: {output}")


def native_maps(
    setup: Setup, pixels: Pixels, picture: Path, sounds: Sequence[tuple[Path, AudioClip]]
) -> tuple[NativeMaps, list[tuple[str, int]]]:
    """Compute the maps of an image under a sound, under its negatives, and under other sounds.

    The image `[H, W, 3]` and the sounds, the given one first, come with their files, for messages.
    Other sounds are further draws of the positive condition, behind the negatives. Returns the maps
    of the image, and the (audio condition, draw) pair of each.

    Raises:
        UsageError: for a sound that the model cannot take.
    """
    (sound, clip), *others = sounds
    pairings, negatives = setup.encode_negatives(clip, sound)
    vectors = [*setup.encode([clip], sound), *negatives]
    for draw, (path, other) in enumerate(others, start=1):
        pairings.append((POSITIVE, draw))
        vectors += setup.encode([other], path)
    prepared = setup.localizer.prepare(pixels, picture.name)
    native = setup.localizer.localize([prepared], torch.stack(vectors)[None], pairings)
    return native.of(0), pairings


def _warn_if_turned(picture: Path) -> None:
    """Warn that an orientation tag is not applied, as in evaluations."""
    try:
        with Image.open(picture) as image:
            orientation = image.getexif().get(0x0112, 1)
    except Exception:  # Pillow raises many things on a damaged tag
        return
    if orientation not in (0, 1):
        _log.warning(
            "%s: its orientation tag (%s) is not applied, as vssl-evaluate applies none; save it"
            " upright if it looks turned in %s",
            picture, orientation, PICTURE_FILE,
        )  # fmt: skip


def _map_title(numbers: MapNumbers, setup: Setup) -> str:
    if numbers.condition == POSITIVE:
        return "given sound"
    draws = setup.facts["draws"][numbers.condition]
    return numbers.condition + (f" (highest of {draws} draws)" if draws > 1 else "")


def _numbers_table(title: str, numbers: Sequence[MapNumbers], setup: Setup) -> Table:
    """Numbers of the highest map of each audio condition."""
    headers, rows = ["largest value", "smallest"], []
    if setup.threshold is not None:
        headers += [f"pIA above {setup.threshold.value:.4f}", "points somewhere"]
    for condition, place in highest(numbers).items():
        shown = numbers[place]
        texts = [f"{shown.largest:.4f}", f"{shown.smallest:.4f}"]
        if setup.threshold is not None:
            points = [each.points for each in numbers if each.condition == condition]
            count = f"{sum(points)} of {len(points)}" if points[1:] else ("no", "yes")[points[0]]
            texts += [in_percent(shown.marked), count]
        rows.append(text_row(_map_title(shown, setup), *texts))
    return Table(title, text_columns(*headers), tuple(rows), label="sound")

"""vssl-localize on an image: a table, a picture, all numbers, and the native maps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vssl.audio import read_clip
from vssl.commands.localize_output import (
    MAPS_FILE,
    described,
    file_facts,
    prepare_folder,
    say,
    show_verdict,
    write_json,
)
from vssl.commands.localize_setup import Setup, encode_given, encode_negatives, measure_maps
from vssl.growing import save_arrays
from vssl.images import decode_image, read_bytes
from vssl.reporting.pair_figure import draw_pair
from vssl.reporting.verdict import MapNumbers, Verdict, highest, in_percent, judge
from vssl.types import POSITIVE

PICTURE_FILE = "localize.png"
GIVEN = "given sound"

_log = logging.getLogger(__name__)


def localize_image(
    picture: Path, sound: Path, set_up: Callable[[], Setup], output: Path
) -> Verdict:
    """Localize a sound in an image: table, picture, numbers and native maps.

    Args:
        picture: image file.
        sound: audio file.
        set_up: makes what to localize with; called when the files are known to be usable.
        output: folder for the files.

    Returns:
        The verdict.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    pixels = decode_image(read_bytes(picture), picture)
    _warn_if_turned(picture)
    clip = read_clip(sound)
    setup = set_up()
    localizer = setup.localizer
    pairings, vectors = encode_negatives(setup, clip, sound)
    pairings = [(POSITIVE, 0), *pairings]
    vectors = [encode_given(setup, [clip], sound)[0], *vectors]
    prepared = localizer.prepare(pixels, picture.name)
    native = localizer.localize([prepared], torch.stack(vectors)[None], pairings)
    conditions, draws = [c for c, _ in pairings], [d for _, d in pairings]
    objects = None if native.objects is None else native.objects[0]
    maps, numbers = measure_maps(setup, pairings, native.similarity[0], objects)
    transform = setup.recipe.transform
    verdict = judge(
        numbers, setup.threshold, model=setup.name, transform=transform, rates=setup.rates
    )

    prepare_folder(output)
    arrays: dict[str, Any] = {
        "similarity_map": native.similarity[0].numpy(),
        "draw": np.array(draws),
    }
    arrays["audio_condition"] = np.array(conditions)
    if objects is not None:
        arrays["object_map"] = objects.numpy()
    save_arrays(output / MAPS_FILE, arrays)
    files = f"{sound.name} in {picture.name}"
    drawn = [
        (_named(numbers[place], setup), maps[place], numbers[place])
        for place in highest(numbers).values()
    ]
    draw_pair(
        output / PICTURE_FILE,
        pixels,
        drawn,
        bounds=setup.bounds,
        threshold=setup.threshold,
        files=files,
        verdict=verdict,
        note=described(setup),
    )
    write_json(output, setup, verdict, {
        "image": file_facts(picture), "sound": file_facts(sound),
        "maps": [each.as_json() for each in numbers],
    })  # fmt: skip
    _show(numbers, setup, title=files)
    show_verdict(verdict, setup)
    say(f"picture, numbers and native maps: {output}")
    return verdict


def _warn_if_turned(picture: Path) -> None:
    """Say that a photo's orientation tag is not looked at, as it is not in evaluations."""
    try:
        with Image.open(picture) as image:
            orientation = image.getexif().get(0x0112, 1)
    except Exception:  # a damaged tag says nothing, whatever Pillow raises on it
        return
    if orientation not in (0, 1):
        _log.warning(
            "%s: its orientation tag (%s) is not applied, as vssl-evaluate applies none; save it"
            " upright if it looks turned in %s",
            picture, orientation, PICTURE_FILE,
        )  # fmt: skip


def _named(numbers: MapNumbers, setup: Setup) -> str:
    """Title of a column: the sound, and which of several draws."""
    draws = setup.facts["draws"].get(numbers.condition, 1)
    if numbers.condition == POSITIVE:
        return GIVEN
    if draws == 1:
        return numbers.condition
    return f"{numbers.condition} (highest of {draws} draws)"


def _show(numbers: Sequence[MapNumbers], setup: Setup, *, title: str) -> None:
    """Print the table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    threshold = setup.threshold
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("sound", no_wrap=True)
    headers = ["largest value", "smallest"]
    if threshold is not None:
        headers += [f"pIA above {threshold.value:.4f}", "points somewhere"]
    for header in headers:
        table.add_column(header, justify="right")
    for place in highest(numbers).values():
        each = numbers[place]
        cells = [f"{each.largest:.4f}", f"{each.smallest:.4f}"]
        if threshold is not None:
            same = [n for n in numbers if n.condition == each.condition]
            count = sum(n.points for n in same)
            cells.append(in_percent(each.marked))
            cells.append(
                ("yes" if count else "no") if len(same) == 1 else f"{count} of {len(same)}"
            )
        table.add_row(_named(each, setup), *cells)
    say(Text(f"\n{title}", style="bold"))
    console.print(table)

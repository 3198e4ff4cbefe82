"""vssl-localize on an image or a video: maps, figures, numbers, and the words on the terminal."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from rich.text import Text

from vssl.audio import clip_at, read_clip
from vssl.audio.containers import no_sound, opened_sound
from vssl.core.errors import UsageError
from vssl.core.files import whole_file, write_text
from vssl.core.hashing import file_sha256
from vssl.core.progress import progress_bar
from vssl.engine.localizer import Picture
from vssl.images import Pixels, decode_image, read_bytes
from vssl.localize.figures import Captions, draw_pair, draw_timeline, frame_layer
from vssl.localize.setup import LocalizeOptions, Setup, set_up
from vssl.localize.verdict import MapNumbers, Verdict, highest, in_percent, judge, measure, pointing
from vssl.localize.video_file import (
    VideoFacts,
    VideoFrame,
    find_encoder,
    read_frames,
    video_facts,
    write_video,
)
from vssl.reporting.tables.model import Cell, Column, Row, Table
from vssl.reporting.tables.render import show_table
from vssl.types import POSITIVE, SAMPLE_RATE, AudioClip

JSON_FILE, MAPS_FILE, PICTURE_FILE = "localize.json", "localize.npz", "localize.png"
VIDEO_FILE, TIMELINE_FILE, NUMBERS_FILE = "localize.mp4", "timeline.png", "timeline.csv"

_MOST_MEMORY = 4e9
"""Bytes that the maps and the sound of a video may take."""

_log = logging.getLogger(__name__)


def localize_image(picture: Path, sound: Path, options: LocalizeOptions, output: Path) -> None:
    """Localize a sound in an image: table, picture, numbers and native maps in a folder."""
    pixels = decode_image(read_bytes(picture), picture)
    _warn_if_turned(picture)
    clip = read_clip(sound)
    setup = set_up(options)  # once the files are known to be usable
    pairings, negatives = setup.encode_negatives(clip, sound)
    vectors = torch.stack([*setup.encode([clip], sound), *negatives])
    prepared = setup.localizer.prepare(pixels, picture.name)
    native = setup.localizer.localize([prepared], vectors[None], pairings)
    similarity = native.similarity[0]
    objects = None if native.objects is None else native.objects[0]
    maps, numbers = measure(setup.recipe, similarity, pairings, objects, setup.threshold)
    verdict = _judged([numbers], setup, video=False)

    _prepare_folder(output)
    _save_maps(output, pairings, similarity, objects)
    files = f"{sound.name} in {picture.name}"
    draw_pair(
        output / PICTURE_FILE,
        pixels,
        [
            (_map_title(numbers[place], setup), maps[place], numbers[place])
            for place in highest(numbers).values()
        ],
        bounds=setup.bounds,
        threshold=setup.threshold,
        captions=Captions(files, verdict, described(setup)),
    )
    _write_json(output, setup, verdict, {
        "image": _file_facts(picture), "sound": _file_facts(sound),
        "maps": [each.as_json() for each in numbers],
    })  # fmt: skip
    show_table(Console(highlight=False), _numbers_table(files, numbers, setup))
    _show_verdict(verdict, setup)
    _say(f"picture, numbers and native maps: {output}")


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


def _map_title(numbers: MapNumbers, setup: Setup) -> str:
    """Title of a map: its sound, and which of several draws."""
    if numbers.condition == POSITIVE:
        return "given sound"
    draws = setup.facts["draws"][numbers.condition]
    return numbers.condition + (f" (highest of {draws} draws)" if draws > 1 else "")


def _numbers_table(title: str, numbers: Sequence[MapNumbers], setup: Setup) -> Table:
    """Numbers of the map that reaches highest under each sound."""
    headers, rows = ["largest value", "smallest"], []
    if setup.threshold is not None:
        headers += [f"pIA above {setup.threshold.value:.4f}", "points somewhere"]
    for condition, place in highest(numbers).items():
        each = numbers[place]
        texts = [f"{each.largest:.4f}", f"{each.smallest:.4f}"]
        if setup.threshold is not None:
            points = [other.points for other in numbers if other.condition == condition]
            count = f"{sum(points)} of {len(points)}" if points[1:] else ("no", "yes")[points[0]]
            texts += [in_percent(each.marked), count]
        rows.append(Row(_map_title(each, setup), tuple(Cell(text=text) for text in texts)))
    return Table(title, tuple(Column((header,)) for header in headers), tuple(rows), label="sound")


@dataclass
class VideoMaps:
    """Maps of the T frames of a video that were looked at, `fps` in a second."""

    facts: VideoFacts
    heard: Path
    fps: float
    pairings: Sequence[tuple[str, int]]  # K pairs (audio condition, draw)
    seconds: list[float]
    native: torch.Tensor  # `[T, K, h, w]`
    objects: torch.Tensor | None  # `[T, g, g]`
    numbers: list[list[MapNumbers]]  # of each frame, of its K maps


def localize_video(
    video: Path,
    sound: Path | None,
    options: LocalizeOptions,
    output: Path,
    *,
    fps: float,
    draw_video: bool = True,
) -> None:
    """Localize the sound around each moment of a video: drawn video, timeline, numbers and maps.

    The video is read twice: to look at `fps` frames a second (all for infinity), and to draw on
    all. Another sound than its own begins with it.
    """
    facts = video_facts(video)
    if sound is None and not facts.has_sound:
        raise no_sound(video)
    if draw_video:
        find_encoder()
    setup, heard = set_up(options), sound or video
    found = _look(setup, facts, heard, fps)
    verdict = _judged(found.numbers, setup, video=True)
    count = len(found.seconds)
    files = video.name if sound is None else f"{sound.name} in {video.name}"
    rate = "all" if math.isinf(fps) or fps >= facts.rate else f"{fps:g} frames a second"
    sampled = f"{count} frames looked at ({rate})"
    _prepare_folder(output)
    draw_timeline(
        output / TIMELINE_FILE,
        found.seconds,
        found.numbers,
        threshold=setup.threshold,
        captions=Captions(files, verdict, f"{sampled}; {described(setup)}"),
    )
    _save_maps(output, found.pairings, found.native, found.objects, seconds=np.array(found.seconds))
    _write_numbers(output / NUMBERS_FILE, found, setup)
    if draw_video:
        _draw(setup, found, output / VIDEO_FILE)
    given = [numbers[0] for numbers in found.numbers]
    marked = [each.marked for each in given if each.marked]
    largest = [each.largest for each in given if math.isfinite(each.largest)]
    _write_json(output, setup, verdict, {
        "video": _file_facts(video),
        "sound": _file_facts(heard),
        "frames": count,
        "frames_localized": len(marked),
        "frames_pointing_under": pointing(found.numbers),
        "largest": max(largest, default=None),
        "mean_marked_where_localized": sum(marked) / len(marked) if marked else None,
        "frames_per_second": None if math.isinf(fps) else fps,
        "size": [facts.width, facts.height],
        "average_frame_rate": float(facts.rate),
        "drawn": VIDEO_FILE if draw_video else None,
        "versions": {name: version(name) for name in ("av", "soxr")},
    })  # fmt: skip
    _say(f"{files}, {sampled}")
    _show_verdict(verdict, setup)
    if draw_video and (facts.width % 2 or facts.height % 2):
        _say(f"{VIDEO_FILE} is one pixel larger than {video.name} where its side is odd (H.264)")
    _say(f"{'drawn video, ' if draw_video else ''}timeline, numbers and native maps: {output}")


def _looked_at(facts: VideoFacts, fps: float) -> Iterator[tuple[VideoFrame, bool]]:
    """The frames of a video, and whether each is looked at: the first at or after every 1 / fps."""
    following = 0.0
    for frame in read_frames(facts):
        # frame times are rounded to the file's clock
        looked = math.isinf(fps) or frame.seconds + 1e-6 >= following
        if looked and not math.isinf(fps):
            following = (math.floor(frame.seconds * fps + 1e-6) + 1) / fps
        yield frame, looked


def _look(setup: Setup, facts: VideoFacts, heard: Path, fps: float) -> VideoMaps:
    """Run the networks over frames of a video; a sound around several moments is encoded once."""
    localizer = setup.localizer
    window = localizer.frontend().window if localizer.hears else None
    frames = facts.frames
    if not math.isinf(fps):
        frames = min(frames, math.ceil(frames * fps / facts.rate))
    with opened_sound(heard) as stream:
        _check_memory(setup, facts.path, frames, stream.seconds, stream.channels)
        shift = facts.begin - stream.begin if heard == facts.path else 0.0
        sound = stream.resampled()
    pairings, negatives = setup.encode_negatives(clip_at(sound, shift, window)[1], heard)

    def moments() -> Iterator[tuple[float, Picture, int, AudioClip]]:
        for frame, looked in _looked_at(facts, fps):
            if looked:
                name = f"{facts.path.name} at {frame.seconds:.3f} s"
                picture = localizer.prepare(frame.pixels(), name)
                yield frame.seconds, picture, *clip_at(sound, frame.seconds + shift, window)

    known: dict[int, torch.Tensor] = {}
    seconds: list[float] = []
    numbers, native, objects = [], [], []
    remaining = moments()
    with progress_bar("frames looked at", max(frames, 1)) as advance:
        while batch := list(itertools.islice(remaining, setup.batch_size)):
            times, pictures, begins, clips = zip(*batch, strict=True)
            fresh = {b: clip for b, clip in zip(begins, clips, strict=True) if b not in known}
            known.update(zip(fresh, setup.encode(list(fresh.values()), heard), strict=True))
            sounds = torch.stack([torch.stack([known[begin], *negatives]) for begin in begins])
            known = {begins[-1]: known[begins[-1]]}
            maps = localizer.localize(pictures, sounds, pairings)
            for place, similarity in enumerate(maps.similarity):
                seen = None if maps.objects is None else maps.objects[place]
                numbers += [measure(setup.recipe, similarity, pairings, seen, setup.threshold)[1]]
            seconds += times
            native.append(maps.similarity)
            objects += [] if maps.objects is None else [maps.objects]
            advance(len(batch))
    joined = torch.cat(objects) if objects else None
    return VideoMaps(facts, heard, fps, pairings, seconds, torch.cat(native), joined, numbers)


def _check_memory(setup: Setup, video: Path, frames: int, seconds: float, channels: int) -> None:
    """Refuse a video whose maps and sound do not fit into memory, before the networks run."""
    height, width = setup.localizer.model.map_size
    count = 1 + sum(condition.draws for condition in setup.conditions)
    # both are joined from parts, which doubles them for a moment; a map's numbers take a kilobyte
    maps = frames * count * (8.0 * height * width + 1000)
    sound = 8.0 * seconds * SAMPLE_RATE * channels
    if maps + sound > _MOST_MEMORY:
        raise UsageError(
            f"{video}: would take about {(maps + sound) / 1e9:.1f} GB of memory, and at most"
            f" {_MOST_MEMORY / 1e9:g} GB are used: {maps / 1e9:.1f} for {frames} frames with"
            f" {count} maps of {height} x {width}, {sound / 1e9:.1f} for {seconds / 60:.0f} minutes"
            f" of sound in {channels} channels. Look at fewer frames (--fps 1), play fewer noises"
            " (--noise-draws 2), or cut it: ffmpeg -ss 0 -t 600 -i VIDEO part.mp4"
        )


def _write_numbers(path: Path, found: VideoMaps, setup: Setup) -> None:
    """Write the numbers of every map of a video as csv; p values stand at the given sound's."""
    rows = []
    for seconds, numbers in zip(found.seconds, found.numbers, strict=True):
        for each in numbers:
            row = {"seconds": f"{seconds:.6f}", **each.as_json()}
            if setup.rates is not None and each.condition == POSITIVE:
                values = setup.rates.p_values(each.largest)
                row |= {f"p_{name}": value for name, value in values.items()}
            rows.append(row)
    table = pd.DataFrame(rows).rename(columns={"condition": "audio_condition"})
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.7g", lineterminator="\n")


def _draw(setup: Setup, found: VideoMaps, path: Path) -> None:
    """Draw the maps over the frames; a map stays until the next frame that was looked at."""
    facts, bounds, threshold = found.facts, setup.bounds, setup.threshold
    size, judged = (facts.height, facts.width), setup.recipe.transform == "none"
    if not all(map(math.isfinite, bounds)):
        given = [value for each in found.numbers for value in (each[0].smallest, each[0].largest)]
        finite = [value for value in given if math.isfinite(value)] or [0.0]
        bounds = (min(finite), max(finite) + 1e-12)

    def drawn(advance: Callable[[int], None]) -> Iterator[tuple[VideoFrame, Pixels]]:
        places = itertools.count()
        for frame, looked in _looked_at(facts, found.fps):
            if looked:
                place = next(places)
                numbers = found.numbers[place]
                p = None if setup.rates is None else setup.rates.wrong_sound_p(numbers[0].largest)
                objects = None if found.objects is None else found.objects[place]
                native, pairings = found.native[place, :1], found.pairings[:1]
                (given,), _ = measure(setup.recipe, native, pairings, objects, threshold)
                factor, summand = frame_layer(
                    given,
                    numbers,
                    size=size,
                    bounds=bounds,
                    threshold=threshold,
                    judged=judged,
                    p=p,
                )
            yield frame, (frame.pixels() * factor + summand).astype(np.uint8)
            advance(1)

    with progress_bar("frames drawn", max(facts.frames, 1)) as advance:
        write_video(path, facts, drawn(advance), found.heard)


def _judged(numbers: Sequence[Sequence[MapNumbers]], setup: Setup, *, video: bool) -> Verdict:
    model, transform = setup.localizer.name, setup.recipe.transform
    return judge(
        numbers, setup.threshold, model=model, transform=transform, rates=setup.rates, video=video
    )


def _prepare_folder(output: Path) -> None:
    """Make the folder; the numbers of another command that stood there are gone from now on."""
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON_FILE).unlink(missing_ok=True)


def _save_maps(
    output: Path,
    pairings: Sequence[tuple[str, int]],
    similarity: torch.Tensor,
    objects: torch.Tensor | None,
    **more: npt.NDArray[Any],
) -> None:
    arrays: dict[str, Any] = {
        "similarity_map": similarity.numpy(),
        "audio_condition": np.array([condition for condition, _ in pairings]),
        "draw": np.array([draw for _, draw in pairings]),
        **more,
    }
    if objects is not None:
        arrays["object_map"] = objects.numpy()
    with whole_file(output / MAPS_FILE) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _file_facts(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": file_sha256(path)}


def _write_json(output: Path, setup: Setup, verdict: Verdict, found: dict[str, Any]) -> None:
    """Write all numbers with where they come from; the last file to be written."""
    content = {
        "verdict": asdict(verdict),
        "threshold": asdict(setup.threshold) if setup.threshold else None,
        "error_rates": setup.rates.as_json() if setup.rates else None,
        **found,
        "provenance": setup.facts,
    }
    text = json.dumps(content, indent=1, default=str, allow_nan=False)
    write_text(output / JSON_FILE, text + "\n")


def _show_verdict(verdict: Verdict, setup: Setup) -> None:
    """Print a verdict, its warnings, how often it is wrong, and where it comes from."""
    _say(Text(verdict.words, style="bold"))
    for warning in verdict.warnings:
        _say(Text("warning: ", style="bold yellow") + Text(warning))
    for line in verdict.errors:
        _say(line)
    _say(Text(described(setup), style="dim"))


def described(setup: Setup) -> str:
    """Where the numbers come from, in a line."""
    facts, threshold = setup.facts, setup.threshold
    weights = (facts["weights"] or {}).get("sha256")
    parts = [
        f"model {facts['model']}",
        f"weights {weights[:8]}" if weights else "no weights",
        f"protocol {facts['protocol']}",
    ]
    if facts["prior"]:
        parts.append(f"object-guided maps, alpha {facts['prior']['alpha']:g}")
    if threshold is None:
        parts.append("no threshold")
    else:
        learnt = f", run {threshold.calibration_hash[:8]}" if threshold.calibration_hash else ""
        parts.append(f"threshold {threshold.value:.4f} ({threshold.words}{learnt})")
    parts += [f"{name} x {draws}" for name, draws in facts["draws"].items()]
    low, high = setup.bounds
    finite = math.isfinite(low + high)
    drawn = f"in the range [{low:g}, {high:g}]" if finite else "between their own extremes"
    return "; ".join([*parts, f"seed {facts['seed']}", f"maps drawn {drawn}"])


def _say(text: Text | str) -> None:
    """Print a line, however long."""
    Console(highlight=False, soft_wrap=True, markup=False).print(text)

"""vssl-localize on a video."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vssl.audio import clip_at
from vssl.audio.containers import no_sound, opened_sound
from vssl.core.errors import UsageError
from vssl.core.files import whole_file
from vssl.core.progress import progress_bar
from vssl.engine.localizer import NativeMaps, Picture
from vssl.images import Pixels
from vssl.localize.figures import draw_timeline, frame_layer
from vssl.localize.output import Output, file_facts, say
from vssl.localize.setup import LocalizeOptions, Setup, set_up
from vssl.localize.verdict import MapNumbers, measure, pointing
from vssl.localize.video_file import find_encoder, write_video
from vssl.types import POSITIVE, AudioClip
from vssl.videos import VideoFacts, VideoFrame, read_frames, video_facts

VIDEO_FILE, TIMELINE_FILE, NUMBERS_FILE = "localize.mp4", "timeline.png", "timeline.csv"
_MOST_MEMORY = 4e9  # bytes that the maps and the sound of a video may take


@dataclass
class VideoMaps:
    """Maps of the T frames that were looked at, `fps` in a second of a video."""

    facts: VideoFacts
    sound: Path
    fps: float
    pairings: Sequence[tuple[str, int]]  # K pairs (audio condition, draw)
    seconds: list[float]
    native: NativeMaps
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

    The networks look at `fps` frames a second, at all for infinity. A second reading of the video
    draws on all frames. Another sound than the video's begins with its first frame.
    """
    facts = video_facts(video)
    if sound is None and not facts.has_sound:
        raise no_sound(video)
    if draw_video:
        find_encoder()
    setup = set_up(options)
    maps = _look(setup, facts, sound or video, fps)
    verdict = setup.judge(maps.numbers, video=True)
    count = len(maps.seconds)
    title = video.name if sound is None else f"{sound.name} in {video.name}"
    rate = "all" if math.isinf(fps) or fps >= facts.rate else f"{fps:g} frames a second"
    sampled = f"{count} frames looked at ({rate})"
    results = Output(output, setup)
    timeline = output / TIMELINE_FILE
    draw_timeline(timeline, maps.seconds, maps.numbers, setup, title, verdict, sampled)
    results.save_maps(maps.pairings, maps.native, seconds=np.array(maps.seconds))
    _write_numbers(output / NUMBERS_FILE, maps, setup)
    if draw_video:
        _draw(setup, maps, output / VIDEO_FILE)
    given = [numbers[0] for numbers in maps.numbers]
    marked = [each.marked for each in given if each.marked]
    largest = [each.largest for each in given if math.isfinite(each.largest)]
    results.finish(verdict, {
        "video": file_facts(video),
        "sound": file_facts(maps.sound),
        "frames": count,
        "frames_localized": len(marked),
        "frames_pointing_under": pointing(maps.numbers),
        "largest": max(largest, default=None),
        "mean_marked_where_localized": sum(marked) / len(marked) if marked else None,
        "frames_per_second": None if math.isinf(fps) else fps,
        "size": [facts.width, facts.height],
        "average_frame_rate": float(facts.rate),
        "drawn": VIDEO_FILE if draw_video else None,
        "versions": {name: version(name) for name in ("av", "soxr")},
    })  # fmt: skip
    say(f"{title}, {sampled}")
    results.show(verdict)
    if draw_video and (facts.width % 2 or facts.height % 2):
        say(f"{VIDEO_FILE} is one pixel larger than {video.name} where its side is odd (H.264)")
    say(f"{'drawn video, ' if draw_video else ''}timeline, numbers and native maps: {output}")


def _sampled(facts: VideoFacts, fps: float) -> Iterator[tuple[VideoFrame, bool]]:
    """Frames, and whether each is looked at: the first at or after every 1 / fps seconds."""
    following = 0.0
    for frame in read_frames(facts):
        # frame times are rounded to the file's clock
        looked = math.isinf(fps) or frame.seconds + 1e-6 >= following
        if looked and not math.isinf(fps):
            following = (math.floor(frame.seconds * fps + 1e-6) + 1) / fps
        yield frame, looked


def _look(setup: Setup, facts: VideoFacts, sound: Path, fps: float) -> VideoMaps:
    """Run the networks over frames of a video; a sound around several moments is encoded once."""
    localizer = setup.localizer
    window = localizer.frontend().window if localizer.uses_audio else None
    frames = facts.frames
    if not math.isinf(fps):
        frames = min(frames, math.ceil(frames * fps / facts.rate))
    with opened_sound(sound) as stream:
        _check_memory(setup, facts.path, frames, stream.seconds, stream.channels)
        shift = facts.begin - stream.begin if sound == facts.path else 0.0
        samples = stream.resampled(setup.rate)
    first = clip_at(samples, shift, window, setup.rate)[1]
    pairings, negatives = setup.encode_negatives(first, sound)

    def moments() -> Iterator[tuple[float, Picture, int, AudioClip]]:
        for frame, looked in _sampled(facts, fps):
            if looked:
                name = f"{facts.path.name} at {frame.seconds:.3f} s"
                picture = localizer.prepare(frame.pixels(), name)
                moment = frame.seconds + shift
                yield frame.seconds, picture, *clip_at(samples, moment, window, setup.rate)

    vectors: dict[int, torch.Tensor] = {}  # by the begin of a clip in the sound
    seconds: list[float] = []
    numbers, native = [], []
    remaining = moments()
    with progress_bar("frames looked at", max(frames, 1)) as advance:
        while batch := list(itertools.islice(remaining, setup.batch_size)):
            times, pictures, begins, clips = zip(*batch, strict=True)
            fresh = {b: clip for b, clip in zip(begins, clips, strict=True) if b not in vectors}
            vectors.update(zip(fresh, setup.encode(list(fresh.values()), sound), strict=True))
            sounds = torch.stack([torch.stack([vectors[b], *negatives]) for b in begins])
            vectors = {begins[-1]: vectors[begins[-1]]}
            maps = localizer.localize(pictures, sounds, pairings)
            for place in range(len(batch)):
                measured = measure(setup.recipe, maps.of(place), pairings, setup.threshold)
                numbers.append(measured[1])
            seconds += times
            native.append(maps)
            advance(len(batch))
    objects = [each.objects for each in native if each.objects is not None]
    joined = NativeMaps(
        torch.cat([each.similarity for each in native]), torch.cat(objects) if objects else None
    )
    return VideoMaps(facts, sound, fps, pairings, seconds, joined, numbers)


def _check_memory(setup: Setup, video: Path, frames: int, seconds: float, channels: int) -> None:
    """Refuse a video whose maps and sound do not fit into memory, before the networks run."""
    height, width = setup.localizer.model.map_size
    count = 1 + sum(condition.draws for condition in setup.conditions)
    # both are joined from parts, which doubles them for a moment; a map's numbers take a kilobyte
    maps = frames * count * (8.0 * height * width + 1000)
    sound = 8.0 * seconds * setup.rate * channels
    if maps + sound > _MOST_MEMORY:
        raise UsageError(
            f"{video}: would take about {(maps + sound) / 1e9:.1f} GB of memory, and at most"
            f" {_MOST_MEMORY / 1e9:g} GB are used: {maps / 1e9:.1f} for {frames} frames with"
            f" {count} maps of {height} x {width}, {sound / 1e9:.1f} for {seconds / 60:.0f} minutes"
            f" of sound in {channels} channels. Look at fewer frames (--fps 1), play fewer noises"
            " (--noise-draws 2), or cut it: ffmpeg -ss 0 -t 600 -i VIDEO part.mp4"
        )


def _write_numbers(path: Path, maps: VideoMaps, setup: Setup) -> None:
    """Write the numbers of every map as csv; rows of the given sound also have p values."""
    rows = []
    for seconds, numbers in zip(maps.seconds, maps.numbers, strict=True):
        for each in numbers:
            row = {"seconds": f"{seconds:.6f}", **each.as_json()}
            if setup.rates is not None and each.condition == POSITIVE:
                values = setup.rates.p_values(each.largest)
                row |= {f"p_{name}": value for name, value in values.items()}
            rows.append(row)
    table = pd.DataFrame(rows).rename(columns={"condition": "audio_condition"})
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.7g", lineterminator="\n")


def _draw(setup: Setup, maps: VideoMaps, path: Path) -> None:
    """Draw the maps over the frames; a map stays until the next frame that was looked at."""
    facts, bounds, threshold = maps.facts, setup.bounds, setup.threshold
    size, judged = (facts.height, facts.width), setup.recipe.transform == "none"
    if not all(map(math.isfinite, bounds)):
        values = [value for each in maps.numbers for value in (each[0].smallest, each[0].largest)]
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        bounds = (min(finite), max(finite) + 1e-12)

    def drawn(advance: Callable[[int], None]) -> Iterator[tuple[VideoFrame, Pixels]]:
        places = itertools.count()
        for frame, looked in _sampled(facts, maps.fps):
            if looked:
                place = next(places)
                numbers = maps.numbers[place]
                p = None if setup.rates is None else setup.rates.wrong_sound_p(numbers[0].largest)
                (given,), _ = measure(
                    setup.recipe, maps.native.of(place), maps.pairings[:1], threshold
                )
                factor, summand = frame_layer(
                    given, numbers, size=size, bounds=bounds, threshold=threshold, judged=judged,
                    p=p,
                )  # fmt: skip
            yield frame, (frame.pixels() * factor + summand).astype(np.uint8)
            advance(1)

    with progress_bar("frames drawn", max(facts.frames, 1)) as advance:
        write_video(path, facts, drawn(advance), maps.sound)

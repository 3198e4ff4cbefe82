"""vssl-localize on videos: maps of its frames with the sound around each, drawn over the video."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import torch

from vssl.commands.localize_frames import Sampler, Seen, look
from vssl.commands.localize_output import (
    MAPS_FILE,
    described,
    file_facts,
    prepare_folder,
    say,
    show_verdict,
    write_json,
)
from vssl.commands.localize_setup import Setup, measure_maps
from vssl.growing import GrowingArray, save_arrays
from vssl.progress import progress_bar
from vssl.reporting.overlay import FrameOverlay, caption_bar
from vssl.reporting.timeline import draw_timeline
from vssl.reporting.verdict import Verdict, why_no_verdict
from vssl.video import VideoFacts, no_sound, read_frames, video_facts
from vssl.video_writer import find_encoder, opened_writer

VIDEO_FILE, TIMELINE_FILE, NUMBERS_FILE = "localize.mp4", "timeline.png", "timeline.csv"


def localize_video(
    video: Path,
    sound: Path | None,
    set_up: Callable[[], Setup],
    output: Path,
    *,
    fps: float,
    draw_video: bool = True,
) -> Verdict:
    """Localize the sound around each moment of a video: drawn video, timeline, numbers and maps.

    The video is read twice, once to look at its frames and once to draw on them, and no more of it
    is held than a batch of small pictures and one window of the sound.

    Args:
        video: video file.
        sound: another sound, which begins with the video; None takes the video's own.
        set_up: makes what to localize with; called when the files are known to be usable.
        output: folder for the files.
        fps: frames that are looked at in a second; infinity for all.
        draw_video: whether the drawn video is wanted.

    Returns:
        The verdict.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    facts = video_facts(video)
    if sound is None and not facts.has_sound:
        raise no_sound(video)
    if draw_video:
        find_encoder()
    setup = set_up()
    prepare_folder(output)
    heard = sound or video
    with ExitStack() as stack:
        native = stack.enter_context(GrowingArray(output / "similarity_maps.partial"))
        objects = stack.enter_context(GrowingArray(output / "object_maps.partial"))
        numbers_file = output / f"{NUMBERS_FILE}.partial"
        stack.callback(numbers_file.unlink, missing_ok=True)
        seen = Seen(native, objects if setup.recipe.prior is not None else None)
        with numbers_file.open("w", encoding="utf-8", newline="") as file:
            look(setup, facts, heard, seen, file, fps=fps)
        verdict = seen.verdict(setup)
        files = video.name if sound is None else f"{sound.name} in {video.name}"
        sampled = _sampled(seen, facts, fps)
        draw_timeline(
            output / TIMELINE_FILE,
            seen.timeline,
            threshold=setup.threshold,
            files=files,
            verdict=verdict,
            note=f"{sampled}; {described(setup)}",
        )
        save_arrays(output / MAPS_FILE, seen.arrays())
        numbers_file.replace(output / NUMBERS_FILE)
        if draw_video:
            _draw(setup, facts, heard, seen, output / VIDEO_FILE, fps=fps)
    found = {
        "video": file_facts(video),
        "sound": file_facts(heard),
        "frames": len(seen.timeline.seconds),
        "frames_localized": seen.localized,
        "frames_pointing_under": seen.pointing,
        "largest": seen.largest if math.isfinite(seen.largest) else None,
        "mean_marked_where_localized": seen.mean_marked if seen.localized else None,
        "frames_per_second": None if math.isinf(fps) else fps,
        "size": [facts.width, facts.height],
        "average_frame_rate": float(facts.rate),
        "drawn": VIDEO_FILE if draw_video else None,
        "versions": {name: version(name) for name in ("av", "soxr")},
    }
    write_json(output, setup, verdict, found)
    say(f"{files}, {sampled}")
    show_verdict(verdict, setup)
    odd = [side for side in (facts.width, facts.height) if side % 2]
    if draw_video and odd:
        say(f"{VIDEO_FILE} is one pixel larger than {video.name} where its side is odd (H.264)")
    say(f"{'drawn video, ' if draw_video else ''}timeline, numbers and native maps: {output}")
    return verdict


def _sampled(seen: Seen, facts: VideoFacts, fps: float) -> str:
    rate = "all" if math.isinf(fps) or fps >= facts.rate else f"{fps:g} frames a second"
    return f"{len(seen.timeline.seconds)} frames looked at ({rate})"


def _draw(
    setup: Setup, facts: VideoFacts, heard: Path, seen: Seen, path: Path, *, fps: float
) -> None:
    """Draw the maps over the frames; a map stays until the next frame that was looked at."""
    bounds = setup.bounds
    if not all(map(math.isfinite, bounds)):
        bounds = (seen.smallest, seen.largest + 1e-12)
    judged = not why_no_verdict(setup.threshold, model=setup.name, transform=setup.recipe.transform)
    overlay = FrameOverlay(facts.width, facts.height, bounds, setup.threshold)
    natives = seen.native.read()
    objects = None if seen.objects is None else seen.objects.read()
    sampler, seconds = Sampler(fps), 0.0
    with (
        opened_writer(path, facts, heard) as writer,
        progress_bar("frames drawn", max(facts.frames, 1)) as advance,
    ):
        for frame in read_frames(facts):
            if sampler.takes(frame):
                native = torch.from_numpy(next(natives).copy())
                seen_objects = None if objects is None else torch.from_numpy(next(objects).copy())
                maps, numbers = measure_maps(setup, seen.pairings, native, seen_objects)
                bar = caption_bar(
                    facts.width, facts.height, numbers, bounds=bounds, threshold=setup.threshold,
                    judged=judged,
                    p=None if setup.rates is None
                    else setup.rates.wrong_sound_p(numbers[0].largest),
                )  # fmt: skip
                overlay.show(maps[0], bar)
            writer.write(frame, overlay.draw(frame.pixels()))
            seconds = frame.seconds
            advance(1)
        writer.finish(seconds + float(1 / facts.rate))

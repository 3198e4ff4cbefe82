"""Reading of video files: their facts, and their frames one by one, turned upright.

Times are in seconds from the first frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from vssl.audio.containers import VideoFileError, decoded_frames, opened_media
from vssl.core.media import decoding
from vssl.images import Pixels

CLIP_RATE = 25
"""Frames per second in which the middle frame of VGG-SS is counted."""
MIDDLE_SLOT = 124
"""The middle frame of VGG-SS, counted from 0 at `CLIP_RATE`: the 125th, at 4.96 s."""
_CLIP_SLOTS = 10 * CLIP_RATE
"""Length of a clip of VGG-Sound; some are a little shorter or longer."""


@dataclass(frozen=True)
class VideoFacts:
    """Facts of a video before its frames are read; sizes are of an upright frame."""

    path: Path
    width: int
    height: int
    turned: int  # quarter turns, counter-clockwise, that bring stored frames upright
    rate: Fraction  # average frames per second
    frames: int  # approximate number; 0 if unknown
    time_base: Fraction  # unit of the times of frames, in seconds
    first: int  # time of the first frame in that unit
    lead: int  # the same from the begin of the file's earliest stream
    pixel_aspect: Fraction  # width of a pixel over its height
    has_sound: bool
    seconds: float  # stated length of the file; 0 if unknown

    @property
    def begin(self) -> float:
        """Time of the first frame on the clock of the file, in seconds."""
        return float(self.first * self.time_base)


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video, with its time since the first one in ticks and in seconds."""

    ticks: int
    seconds: float
    _frame: av.VideoFrame
    _facts: VideoFacts

    @property
    def duration(self) -> int:
        """Ticks for which it is shown; 0 if unknown."""
        return int(self._frame.duration or 0)

    @property
    def is_damaged(self) -> bool:
        """Whether the decoder had to guess parts of it."""
        return bool(self._frame.is_corrupt)

    def pixels(self) -> Pixels:
        """Convert the upright frame to `[H, W, 3]` RGB."""
        with decoding(self._facts.path, VideoFileError, "holds a frame that cannot be shown"):
            stored = self._frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(stored, self._facts.turned))


def video_facts(path: Path) -> VideoFacts:
    """Read a video's first frame and the file's facts of the others."""
    with opened_media(path) as container:
        if not container.streams.video:
            raise VideoFileError(
                f"{path}: holds no pictures, only sound. Are picture and sound swapped?"
            )
        stream = container.streams.video[0]
        frame = next(decoded_frames(container, stream, path), None)
        if frame is None or stream.time_base is None:
            raise VideoFileError(f"{path}: holds no frame that can be decoded.")
        turned = round(frame.rotation / 90)
        if abs(frame.rotation - 90 * turned) > 1:  # PyAV cuts FFmpeg's angle to whole degrees
            raise VideoFileError(
                f"{path}: is to be shown turned by about {frame.rotation:g} degrees, and only"
                " quarter turns are known. Write it upright: ffmpeg -i VIDEO upright.mp4"
            )
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if turned % 2:
            width, height, aspect = height, width, 1 / aspect
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        seconds = (container.duration or 0) / av.time_base
        begin = round(Fraction(container.start_time or 0, av.time_base) / stream.time_base)
        return VideoFacts(
            path=path,
            width=width,
            height=height,
            turned=turned % 4,
            rate=rate,
            frames=stream.frames or round(seconds * rate),
            time_base=stream.time_base,
            first=frame.pts or 0,
            lead=(frame.pts or 0) - begin,
            pixel_aspect=Fraction(aspect),
            has_sound=bool(container.streams.audio),
            seconds=seconds,
        )


def read_frames(facts: VideoFacts) -> Iterator[VideoFrame]:
    """Read all frames of a video in the order in which they are shown."""
    with opened_media(facts.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stored = (facts.width, facts.height)[:: -1 if facts.turned % 2 else 1]
        last = -1
        for frame in decoded_frames(container, stream, facts.path):
            if (frame.width, frame.height) != stored:
                raise VideoFileError(
                    f"{facts.path}: changes its size from {stored[0]} x {stored[1]} to"
                    f" {frame.width} x {frame.height}. Give it one size first: ffmpeg -i VIDEO"
                    f" -vf scale={facts.width}:{facts.height} one-size.mp4"
                )
            # frames without a time, or with one that is taken, follow one tick later
            last = last + 1 if frame.pts is None else max(frame.pts - facts.first, last + 1)
            yield VideoFrame(last, float(last * facts.time_base), frame, facts)


class PickedFrame(NamedTuple):
    """A frame, its number among the stored ones from 0, and how many were looked through."""

    frame: VideoFrame
    number: int
    slots: int  # up to its end, at `CLIP_RATE`; of the whole video where that is shorter
    is_short: bool = False  # whether the wanted slot lies behind the end


def frame_in_slot(facts: VideoFacts, slot: int | None) -> PickedFrame:
    """Read the frame that FFmpeg's filters `fps=25,select=eq(n,SLOT)` show.

    A slot behind the end takes the middle of the whole video, `(slots - 1) // 2`. None takes
    `MIDDLE_SLOT` of a clip of about 10 seconds, else the middle of the whole video.

    Raises:
        VideoFileError: when the frames up to it cannot be decoded.
    """
    end = 0
    for picked in _in_slots(facts):
        end = picked.slots
        if slot is not None and slot < end:
            return picked
    is_clip = slot is None and abs(end - _CLIP_SLOTS) <= _CLIP_SLOTS // 20
    middle = MIDDLE_SLOT if is_clip else (end - 1) // 2
    found = next(picked for picked in _in_slots(facts) if middle < picked.slots)
    return found._replace(slots=end, is_short=slot is not None)


def frame_at(facts: VideoFacts, seconds: Fraction) -> PickedFrame:
    """Read the frame that is shown at a time after the first frame.

    Raises:
        VideoFileError: when the video is over by then, or cannot be decoded so far.
    """
    last = None
    for picked in _in_slots(facts):
        if picked.frame.ticks * facts.time_base > seconds:
            break
        last = picked
    else:
        end = 0.0 if last is None else float(_end_of(last.frame, facts))
        if last is None or seconds >= _end_of(last.frame, facts):
            raise VideoFileError(
                f"{facts.path}: is {end:.3f} s long, so that no frame is shown at"
                f" {float(seconds):g} s."
            )
    assert last is not None  # the first frame is at 0
    return last


def _in_slots(facts: VideoFacts) -> Iterator[PickedFrame]:
    """Frames with the first slot behind each, by the rule of FFmpeg's filter `fps`."""
    lead = facts.lead * facts.time_base

    def nearest(seconds: Fraction) -> int:
        return math.floor((lead + seconds) * CLIP_RATE + Fraction(1, 2))

    number, last = -1, None
    for number, frame in enumerate(read_frames(facts)):
        if last is not None:
            slots = nearest(frame.ticks * facts.time_base) - nearest(Fraction(0))
            yield PickedFrame(last, number - 1, slots)
        last = frame
    if last is not None:
        slots = nearest(_end_of(last, facts)) - nearest(Fraction(0))
        yield PickedFrame(last, number, max(slots, 1))


def _end_of(frame: VideoFrame, facts: VideoFacts) -> Fraction:
    """Time at which a last frame is over: its duration, else by the average rate."""
    begin = frame.ticks * facts.time_base
    return begin + (frame.duration * facts.time_base or 1 / facts.rate)

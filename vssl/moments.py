"""Which part of a long sound belongs to a moment: a model's own window, centred there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vssl.audio import Waveform, Window
from vssl.types import SAMPLE_RATE, AudioClip

CLIP_SECONDS = 10.0
"""Length of VGG-Sound's clips: what a model hears whose front end takes clips of any length."""


@dataclass(frozen=True)
class HeardSpan:
    """What a front end's window takes of a clip, in samples at `SAMPLE_RATE`.

    Attributes:
        clip: length of a clip that the window neither tiles nor shortens.
        start: first sample of it that is heard.
        stop: where what is heard ends.
    """

    clip: int
    start: int
    stop: int

    @classmethod
    def of(cls, window: Window) -> HeardSpan:
        """The span of a window: its attributes `seconds`, `start` and `stop`, where it has them.

        A window without `seconds`, as RCGrad's, takes clips of any length: it gets `CLIP_SECONDS`.
        """
        seconds = getattr(window, "seconds", CLIP_SECONDS)
        start, stop = getattr(window, "start", 0.0), getattr(window, "stop", seconds)
        clip, first, last = (round(each * SAMPLE_RATE) for each in (seconds, start, stop))
        return cls(clip, first, last)

    @property
    def length(self) -> int:
        """How many samples are heard."""
        return self.stop - self.start


class SoundAround:
    """Clips of a sound around moments that follow each other; holds one window of the sound.

    What is heard is centred at the moment. Near an end of the sound, where the window would stick
    out, it is moved inside: a model then hears as much real sound as ever, and no seam of silence
    or repetition, which would be an event of its own. A sound that is shorter than what is heard
    is given whole, and the front end does with it what it does with short files.

    Args:
        chunks: the sound at `SAMPLE_RATE`, piece by piece, `[channels, n]` each.
        span: what the front end's window takes of a clip.
    """

    def __init__(self, chunks: Iterator[Waveform], span: HeardSpan) -> None:
        self._chunks = chunks
        self._span = span
        self._held: Waveform | None = None  # of the sound, from sample `_first` on
        self._first = 0
        self._ended = False

    def at(self, seconds: float) -> tuple[int, AudioClip]:
        """The clip around a moment.

        Args:
            seconds: time since the begin of the sound, not before that of the last call.

        Returns:
            The sample at which what is heard begins, which tells clips apart, and the clip.
        """
        span = self._span
        start = max(0, round(seconds * SAMPLE_RATE) - span.length // 2)
        self._read_until(start + span.length)
        held = self._held
        if held is None:
            raise ValueError("Expected a sound with samples, but it has none.")
        end = self._first + held.shape[1]
        if self._ended:
            start = max(self._first, min(start, end - span.length))
        heard = held[:, start - self._first : start - self._first + span.length]
        self._held, self._first = held[:, start - self._first :], start
        if heard.shape[1] < span.length:
            return start, AudioClip(np.ascontiguousarray(heard))
        # what lies outside of the span is cut away by the window, whatever it is
        clip = np.zeros((heard.shape[0], span.clip), np.float32)
        clip[:, span.start : span.stop] = heard
        return start, AudioClip(clip)

    @property
    def held(self) -> int:
        """Number of samples in memory."""
        return 0 if self._held is None else self._held.shape[1]

    def _read_until(self, stop: int) -> None:
        """Hold the sound up to a sample, or to its end."""
        pieces = [] if self._held is None else [self._held]
        end = self._first + sum(piece.shape[1] for piece in pieces)
        while not self._ended and end < stop:
            piece = next(self._chunks, None)
            if piece is None:
                self._ended = True
                break
            pieces.append(piece)
            end += piece.shape[1]
        if len(pieces) > 1 or self._held is None:
            self._held = np.concatenate(pieces, axis=1) if pieces else None

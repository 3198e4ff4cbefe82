"""Audio files and waveforms: read, resample, tile and cut.

All waveforms are float32, nominally in [-1, 1]; times are in seconds, lengths in samples.
"""

from vssl.audio.files import AudioFacts, AudioFileError, check_audio, is_constant, read_clip
from vssl.audio.windows import (
    CenterWindow,
    Channels,
    MiddleWindow,
    SpanWindow,
    Waveform,
    WholeClip,
    Window,
    amplitude,
    clip_at,
    mix_down,
    rms,
    tile,
)

__all__ = [
    "AudioFacts",
    "AudioFileError",
    "CenterWindow",
    "Channels",
    "MiddleWindow",
    "SpanWindow",
    "Waveform",
    "WholeClip",
    "Window",
    "amplitude",
    "check_audio",
    "clip_at",
    "is_constant",
    "mix_down",
    "read_clip",
    "rms",
    "tile",
]

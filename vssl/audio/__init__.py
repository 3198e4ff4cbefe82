"""Audio files and waveforms: read, resample, tile and cut.

All waveforms are float32, nominally in [-1, 1]; times are in seconds, lengths in samples.
"""

from vssl.audio.files import AudioFileError as AudioFileError
from vssl.audio.files import SoundFacts as SoundFacts
from vssl.audio.files import inspect_audio as inspect_audio
from vssl.audio.files import read_clip as read_clip
from vssl.audio.files import resample as resample
from vssl.audio.windows import HIGHEST_RATE as HIGHEST_RATE
from vssl.audio.windows import LOWEST_RATE as LOWEST_RATE
from vssl.audio.windows import BeginWindow as BeginWindow
from vssl.audio.windows import CenterWindow as CenterWindow
from vssl.audio.windows import MiddleWindow as MiddleWindow
from vssl.audio.windows import SpanWindow as SpanWindow
from vssl.audio.windows import TiledMiddle as TiledMiddle
from vssl.audio.windows import WholeClip as WholeClip
from vssl.audio.windows import Window as Window
from vssl.audio.windows import amplitude as amplitude
from vssl.audio.windows import clip_at as clip_at
from vssl.audio.windows import mix_down as mix_down
from vssl.audio.windows import rms as rms
from vssl.audio.windows import tile as tile

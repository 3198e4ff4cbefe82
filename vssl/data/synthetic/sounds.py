"""Sounds of the embedded benchmark, a voice for each class of object.

A voice builds a 10 s track from short events (struck, plucked, blown, spoken) with its own rhythm.
`synthesize` adds the effects of a recording: a little room, a level, and a faint noise floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import cycle

import numpy as np
import scipy  # loads scipy.signal when it is first used, which takes half a second

from vssl.audio import amplitude, rms
from vssl.core.arrays import AnyFloats, Floats

RATE = 16_000
LENGTH = 10 * RATE
Generator = np.random.Generator


def _seconds(duration: float) -> AnyFloats:
    return np.arange(round(duration * RATE)) / RATE


def _phase(frequency: AnyFloats) -> AnyFloats:
    """Phase in radians of an oscillator of the given frequency in hertz."""
    return np.asarray(2 * np.pi / RATE * np.cumsum(frequency))


def _harmonics(phase: AnyFloats, strengths: Sequence[float]) -> AnyFloats:
    """Harmonic series over a phase, the first strength being that of the fundamental."""
    turn, partial = np.exp(1j * phase), np.ones(phase.size, np.complex128)
    highest = 0.94 * np.pi / np.maximum(np.gradient(phase), 1e-3)
    total = np.zeros(phase.size)
    for order, strength in enumerate(strengths, start=1):
        partial *= turn
        # a partial fades out before it would fold over at half the sampling rate
        total += strength * partial.imag * np.clip(10 * (highest - order), 0, 1)
    return total


def _partials(time: AnyFloats, rows: Sequence[tuple[float, float, float]]) -> AnyFloats:
    """Decaying sines from rows of (frequency in hertz, strength, decay in seconds)."""
    audible = [row for row in rows if row[0] < 0.47 * RATE]
    sines = [a * np.exp(-time / decay) * np.sin(2 * np.pi * f * time) for f, a, decay in audible]
    return np.asarray(np.sum(sines, axis=0))


def _shape(sound: AnyFloats, gain: Callable[[AnyFloats], AnyFloats]) -> AnyFloats:
    """Filter a sound by a gain over frequency in hertz."""
    gains = gain(np.fft.rfftfreq(sound.size, 1 / RATE))
    return np.fft.irfft(np.fft.rfft(sound) * gains, sound.size)


def _hiss(generator: Generator, duration: float, centre: float, octaves: float) -> AnyFloats:
    """Noise of unit level around a centre frequency, `octaves` wide on either side."""
    white = generator.standard_normal(round(duration * RATE))
    noise = _shape(white, lambda f: 2 ** -((np.log2((f + 1) / centre) / octaves) ** 2))
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def _swell(time: AnyFloats, attack: float, release: float) -> AnyFloats:
    """An envelope that rises over `attack` and falls over the last `release` seconds."""
    nearer = np.minimum(time / attack, (time[-1] + 1 / RATE - time) / release)
    return np.asarray(np.sin(np.pi / 2 * np.clip(nearer, 0, 1)) ** 2)


def _add(track: AnyFloats, event: AnyFloats, start: float, gain: float = 1.0) -> None:
    """Mix an event into a track from `start` seconds on, cut at the track's end."""
    first = round(start * RATE)
    track[first : first + event.size] += gain * event[: max(track.size - first, 0)]


def _event_times(generator: Generator, spacing: float, jitter: float = 0.0) -> Iterator[float]:
    """Draw times of events in seconds, `spacing` apart within a relative jitter."""
    now = generator.uniform(0.02, 0.5) * spacing
    while now < LENGTH / RATE - 0.1:
        yield now
        now += spacing * (1 + jitter * generator.uniform(-1, 1))


def _drum_sound(generator: Generator) -> AnyFloats:
    track, step = np.zeros(LENGTH), 60 / generator.uniform(80, 150) / 4
    time, pitch = _seconds(0.4), generator.uniform(60, 110)
    kick = np.sin(_phase(pitch * (1 + 1.6 * np.exp(-time / 0.025)))) * np.exp(-time / 0.13)
    modes = [(2.2 * pitch * ratio, 0.5 / ratio, 0.09 / ratio) for ratio in (1, 1.59, 2.14, 2.65)]
    snare = 0.4 * _hiss(generator, 0.4, 2200, 0.9) * np.exp(-time / 0.07) + _partials(time, modes)
    patterns = ("K..sS..kK.K.S.ss", "K.s.S.sKs.K.S.s.", "K...S..K.K..S..s", "KssSsKssSsK.S.SS")
    for stroke, start in zip(cycle(generator.choice(patterns)), _event_times(generator, step)):
        if stroke != ".":
            gain = (0.35 if stroke.islower() else 1.0) * generator.uniform(0.8, 1)
            _add(track, kick if stroke in "Kk" else snare, start, gain)
    return track


def _bell_sound(generator: Generator) -> AnyFloats:
    track, base = np.zeros(LENGTH), generator.uniform(330, 760)
    ratios = (0.5, 1, 1.19, 1.5, 2, 2.51, 3.01, 4.17, 5.43)
    rows = [(base * r, 0.25 + 0.4 / r + (r == 2) / 2, 2.2 / r**0.8) for r in ratios]
    beating = [(f * 1.002 + 0.4, 0.5 * a, decay) for f, a, decay in rows]
    time = _seconds(4.5)
    ring = _partials(time, rows + beating) * np.minimum(time / 0.002, 1) * _swell(time, 0.001, 0.5)
    for start in _event_times(generator, generator.uniform(1.0, 2.4), 0.05):
        _add(track, ring, start, generator.uniform(0.7, 1))
    return track


def _dog_sound(generator: Generator) -> AnyFloats:
    track, pitch, size = np.zeros(LENGTH), generator.uniform(210, 420), generator.uniform(0.8, 1.3)

    def throat(frequency: AnyFloats) -> AnyFloats:
        formants = ((620, 160), (1250, 220), (2500, 400))
        gains = [1 / (1 + ((frequency / size - f) / width) ** 2) for f, width in formants]
        return np.asarray(np.sum(gains, axis=0))

    for start in _event_times(generator, generator.uniform(1.0, 1.7), 0.25):
        for repeat in range(generator.integers(1, 4)):
            time = _seconds(generator.uniform(0.14, 0.24))
            arc = np.sin(np.linspace(0.25, 3, time.size))
            phase = _phase(pitch * (0.75 + 0.75 * arc) * generator.uniform(0.95, 1.05))
            voice = _harmonics(phase, [1 / k**0.5 for k in range(1, 15)])
            voice *= 1 + 0.5 * np.sin(phase / 2)
            voice += 1.2 * generator.standard_normal(time.size)
            voice = _shape(voice, throat) * arc**1.5 * np.exp(-time / 0.25)
            _add(track, voice, start + 0.32 * repeat)
    return track


def _bird_sound(generator: Generator) -> AnyFloats:
    track, high = np.zeros(LENGTH), generator.uniform(3000, 4800)
    ranges = ([0.05, 0, 0.7, 0.7], [0.16, 0.12, 1.3, 1.3])
    motif = generator.uniform(*ranges, (generator.integers(3, 7), 4)).tolist()
    for start in _event_times(generator, generator.uniform(1.2, 2.2), 0.15):
        for duration, warble, low, top in motif:
            time = _seconds(duration)
            glide = np.linspace(low, top, time.size) + warble * np.sin(2 * np.pi * 45 * time)
            chirp = _harmonics(_phase(high * glide), [1, 0.12]) * _swell(time, 0.01, 0.03)
            for _ in range(1 if duration > 0.09 else 4):
                _add(track, chirp, start, generator.uniform(0.7, 1))
                start += duration + 0.025
    return track


def _car_sound(generator: Generator) -> AnyFloats:
    time, idle = _seconds(10), generator.uniform(26, 42)
    revs = np.interp(time, np.linspace(0, 10, 8), generator.uniform(0, 1, 8) ** 1.5)
    phase = _phase(idle * (1 + 1.6 * revs))
    firing = _harmonics(phase, [0.7, 1, 0.5, 0.9, 0.35, 0.5, 0.25, 0.3, 0.2, 0.2, 0.12, 0.12])
    rumble = (0.4 + 0.4 * np.cos(2 * phase)) * (1 + revs) * _hiss(generator, 10, 260, 1.2)
    track = np.asarray((firing + rumble) * (0.5 + revs))
    horn = generator.uniform(370, 450)
    for start in generator.uniform((1.0, 5.5), (4.0, 8.5)):
        blare = _seconds(generator.uniform(0.35, 0.8))
        for pitch in (horn, 1.26 * horn):
            tone = _harmonics(2 * np.pi * pitch * blare, [0.6, 0.8, 1, 0.7, 0.6, 0.3, 0.2])
            _add(track, tone * _swell(blare, 0.02, 0.05), start, 0.6)
    return track


def _guitar_sound(generator: Generator) -> AnyFloats:
    track, root = np.zeros(LENGTH), generator.uniform(82, 130)
    step, strum = 60 / generator.uniform(80, 130) / 2, generator.random() < 0.5
    steps = (0, 7, 12, 16, 19, 24)

    @cache
    def string(semitones: int) -> AnyFloats:
        # Karplus and Strong: a burst of noise goes round a lossy loop, here turn by turn at once.
        period = round(RATE / root / 2 ** (semitones / 12))
        burst = _shape(generator.uniform(-1, 1, period), lambda f: 1 / (1 + (f / 2500) ** 2))
        loss = 0.996 * (0.85 + 0.15 * np.exp(-2j * np.pi * np.fft.rfftfreq(period)))
        turns = np.fft.rfft(burst) * loss ** np.arange(1.6 * RATE // period)[:, None]
        wave = np.fft.irfft(turns, period).ravel()
        return wave * _swell(_seconds(wave.size / RATE), 1e-4, 0.03)

    for beat, start in enumerate(_event_times(generator, 2 * step if strum else step)):
        chord = (0, 5, 7, 0)[beat // (2 if strum else 8) % 4]
        picked = range(6) if strum else [(0, 2, 3, 4, 5, 4, 3, 2)[beat % 8]]
        for order, place in enumerate(picked):
            _add(track, string(steps[place] + chord), start + 0.022 * order)
    return track


def _piano_sound(generator: Generator) -> AnyFloats:
    track, root = np.zeros(LENGTH), generator.uniform(196, 330)
    step, scale = 60 / generator.uniform(90, 150), (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)
    time, degree = _seconds(1.2), 4
    swell = np.minimum(time / 0.004, 1) * _swell(time, 0.001, 0.15)
    thump = 0.05 * _hiss(generator, 1.2, 300, 0.8) * np.exp(-time / 0.02)

    @cache
    def note(semitones: int) -> AnyFloats:
        pitch = root * 2 ** (semitones / 12)
        rows = [(pitch * k**1.002, 0.75**k / k**0.5, 0.9 / (1 + 0.35 * k)) for k in range(1, 9)]
        return np.asarray(_partials(time, rows) * swell + thump)

    for beat, start in enumerate(_event_times(generator, step)):
        degree = int(np.clip(degree + generator.integers(-2, 3), 0, 9))
        _add(track, note(scale[degree] + 12), start, generator.uniform(0.6, 1))
        if beat % 2 == 0:
            for third in (-12, -8, -5):
                _add(track, note((0, -7, -5, 0)[beat // 4 % 4] + third), start, 0.5)
        elif generator.random() < 0.4:
            _add(track, note(scale[degree] + 14), start + step / 2, 0.7)
    return track


def _kettle_sound(generator: Generator) -> AnyFloats:
    time, boiling = _seconds(10), generator.uniform(1.0, 3.5)
    rise = 1 / (1 + np.exp(-(time - boiling) / 0.5))
    flutter = np.interp(time, np.arange(0, 10.5, 0.5), generator.uniform(-1, 1, 21))
    pitch = generator.uniform(1700, 3400) * (0.8 + 0.2 * rise + 0.015 * flutter)
    whistle = _harmonics(_phase(pitch), [1, 0.25]) * rise * (1 + 0.15 * flutter)
    steam = _hiss(generator, 10, 4500, 0.7) * (0.12 + 0.15 * rise)
    bubbles = _hiss(generator, 10, 320, 0.5) * np.clip(_hiss(generator, 10, 9, 0.5), 0, 2)
    return np.asarray(whistle + steam + 0.16 * bubbles)


def _clock_sound(generator: Generator) -> AnyFloats:
    track, tempo = np.zeros(LENGTH), generator.uniform(0.25, 0.55)
    time, pitch = _seconds(0.09), generator.uniform(1500, 2400)
    click = 0.25 * _hiss(generator, 0.09, 5000, 0.6) * np.exp(-time / 0.003)
    for beat, start in enumerate(_event_times(generator, tempo, 0.01)):
        tone = pitch * (1, 0.76)[beat % 2]
        tick = _partials(time, [(tone * r, 1 / r, 0.014 / r) for r in (1, 1.74, 2.63)])
        _add(track, tick + click, start)
        _add(track, click, start + 0.028, 0.6)
    return track


def _train_sound(generator: Generator) -> AnyFloats:
    track, rate = np.zeros(LENGTH), generator.uniform(2.6, 4.2)
    time = _seconds(min(0.9 / rate, 0.28))
    cloud = np.exp(-time / 0.09) * np.minimum(time / 0.015, 1)
    for beat, start in enumerate(_event_times(generator, 1 / rate, 0.02)):
        puff = cloud * _hiss(generator, time.size / RATE, 650, 1.0)
        _add(track, puff, start, 0.6 if beat % 4 else 1.0)
    long = _seconds(generator.uniform(1.0, 1.8))
    base = generator.uniform(420, 620) * (1 - 0.12 * np.exp(-long / 0.12))
    whistle = 0.3 * _hiss(generator, long.size / RATE, 1500, 0.8)
    for ratio in (1, 1.19, 1.5):
        whistle += _harmonics(_phase(base * ratio), [1, 0.4, 0.2])
    for start in generator.uniform((0.3, 5.2), (2.5, 7.5)):
        _add(track, whistle * _swell(long, 0.1, 0.3), start, 0.4)
    return track + 0.12 * _hiss(generator, 10, 110, 0.8)


def _frog_sound(generator: Generator) -> AnyFloats:
    track, pitch, buzz = np.zeros(LENGTH), generator.uniform(480, 900), generator.uniform(32, 60)
    for start in _event_times(generator, generator.uniform(0.8, 1.5), 0.12):
        for wait, duration, begin, end in ((0, 0.16, 0.85, 0.95), (0.2, 0.26, 1.0, 1.3)):
            time = _seconds(duration)
            glide = np.linspace(begin, end, time.size)
            pulses = np.clip(np.cos(_phase(buzz * glide)), 0, 1) ** 2 * _swell(time, 0.04, 0.06)
            throat = _harmonics(_phase(pitch * glide), [1, 0.7, 0.35, 0.3, 0.15])
            _add(track, throat * pulses, start + wait)
    return track


def _siren_sound(generator: Generator) -> AnyFloats:
    time, low = _seconds(10), generator.uniform(480, 700)
    period, high = generator.uniform(0.35, 3.2), low * generator.uniform(1.7, 2.4)
    turn = time / period + generator.random()
    wail, two_tone = 0.5 - 0.5 * np.cos(2 * np.pi * turn), turn // 1 % 2
    sweep = two_tone if generator.random() < 0.35 else wail**0.8
    return _harmonics(_phase(low * (high / low) ** sweep), [1, 0.1, 0.6, 0.08, 0.35, 0.05, 0.2])


VOICES: dict[str, Callable[[Generator], AnyFloats]] = {
    "drum": _drum_sound, "bell": _bell_sound, "guitar": _guitar_sound, "piano": _piano_sound,
    "clock": _clock_sound, "dog": _dog_sound, "bird": _bird_sound, "frog": _frog_sound,
    "car": _car_sound, "kettle": _kettle_sound, "train": _train_sound, "siren": _siren_sound,
}  # fmt: skip


def synthesize(name: str, generator: np.random.Generator) -> Floats:
    """Synthesize a recording of a class in `VOICES`, of random pitch, tempo, level and room.

    Returns:
        Mono waveform [160000] at 16 kHz within [-1, 1], RMS between -30 and -10 dBFS.
    """
    time = _seconds(0.35)
    room = generator.standard_normal(time.size) * np.exp(-time / generator.uniform(0.03, 0.09))
    room *= generator.uniform(0.1, 0.35) / np.sqrt(np.sum(room**2))
    room[0] = 1.0
    sound = scipy.signal.fftconvolve(VOICES[name](generator), room)[:LENGTH]
    # round off isolated peaks, which would force the recording below the stated level
    sound = np.tanh(sound / (10 * np.sqrt(np.mean(sound**2))))
    level = 10 ** (generator.uniform(-29.5, -10.5) / 20)
    sound *= min(level / np.sqrt(np.mean(sound**2)), 0.9 / np.abs(sound).max())
    floor = 10 ** (generator.uniform(-62, -54) / 20) * _hiss(generator, 10, 700, 2.5)
    return np.asarray(np.clip(sound + floor, -1, 1), np.float32)


PEAK = 0.95
"""Largest absolute value of a sum; above it, its parts are scaled down together."""


def mix_equally(recordings: Sequence[AnyFloats]) -> Floats:
    """Sum waveforms [L], made equally loud (RMS over the clip); none may be silent.

    The sum has the level of the first, or less if its peak would pass `PEAK`.
    """
    mixed = np.add.reduce([each / rms(each) for each in np.asarray(recordings, np.float64)])
    return _within_peak(mixed * (rms(recordings[0]) / rms(mixed)))


def add_noise(recording: AnyFloats, snr: float, generator: np.random.Generator) -> Floats:
    """Add pink noise (power falls as 1 / frequency) to a waveform [L], `snr` dB below its RMS.

    The recording keeps its level, unless the peak would pass `PEAK`: then both are scaled down. One
    generator gives the same noise at every level.
    """
    spectrum = np.fft.rfft(generator.standard_normal(recording.size))
    bins = np.arange(spectrum.size)
    # no power at 0 Hz; constant power below 20 Hz, which is inaudible
    spectrum *= (bins > 0) / np.sqrt(np.maximum(bins, 20 * recording.size / 16_000))
    noise = np.fft.irfft(spectrum, recording.size)
    noise *= rms(recording) * amplitude(-snr) / rms(noise)
    return _within_peak(recording + noise)


def _within_peak(waveform: AnyFloats) -> Floats:
    scaled = waveform * min(1.0, PEAK / np.abs(waveform).max())
    return np.asarray(scaled, np.float32)

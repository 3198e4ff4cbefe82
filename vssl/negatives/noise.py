"""Gaussian noise, white or coloured, or noise from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vssl.audio import Window, amplitude, mix_down, read_clip, resample, rms, tile
from vssl.core.checks import check_choice, check_finite, check_positive
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.negatives.base import AudioCondition, ReadClip, check_draws
from vssl.negatives.colours import COLOURS, BesideClip, Colour, Over, coloured_noise
from vssl.types import SAMPLE_RATE, AudioClip, AudioRequest, Sample


class Noise(AudioCondition):
    """Noise as long as the image's own clip.

    White by default, with the paper's unit variance, which is much louder than any recording and
    clipped by a front end that clips to [-1, 1]. By default all images of a draw share a waveform,
    cut to each clip's length: the spread over draws then shows the noise's own effect. Its loudness
    is one of `level`, `dbfs` and `snr`.

    Args:
        level: standard deviation, 1 is full scale; None is 1 unless another loudness is given.
        dbfs: root mean square in dB relative to full scale, so that 0 is level 1.
        snr: RMS of the image's own clip over that of the noise, in dB; the noise of each image is
            scaled. Beside a clip of digital silence the noise is silence.
        over: part that `snr` is measured on: `window`, the part of clip and noise that the front
            end hears, or `clip`, the mono mix of the whole clip and all of the noise.
        colour: `white`, `pink` or `brown`, see `vssl.negatives.colours`.
        per: `draw` shares a waveform among all samples of a draw, `sample` draws for each sample.
        file: .npy (one waveform `[T]`, or `[draws, T]`, at 16 kHz) or audio file to take the noise
            from, from its first sample on, repeated when too short. `dbfs` (of the whole file) and
            `snr` scale it, `level` does not. Each waveform of the file is a draw.

    Raises:
        UsageError: for a bad option or a file that holds no noise.

    Example:
        >>> quiet = Noise(draws=1, dbfs=-20)
        >>> made = quiet.make(AudioRequest("noise", length=16_000), {}.__getitem__)
        >>> made.samples.shape, round(float(made.samples.std()), 2)
        ((1, 16000), 0.1)
    """

    name = "noise"

    def __init__(
        self,
        *,
        draws: int = 10,
        level: float | None = None,
        dbfs: float | None = None,
        snr: float | None = None,
        over: Over = "clip",
        colour: Colour = "white",
        per: Literal["draw", "sample"] = "draw",
        file: str | None = None,
    ) -> None:
        loudness = {"level": level, "dbfs": dbfs, "snr": snr}
        chosen = {name: value for name, value in loudness.items() if value is not None}
        if len(chosen) > 1:
            raise UsageError(
                f"negatives.noise: {' and '.join(chosen)} are given, but the noise has one"
                " loudness. Set one of level, dbfs and snr, and leave the others null."
            )
        for name, value in chosen.items():
            check_finite(value, name=f"negatives.noise.{name}")
        if level is not None:
            check_positive(level, name="negatives.noise.level")
        check_choice(colour, COLOURS, name="negatives.noise.colour")
        check_choice(per, ("draw", "sample"), name="negatives.noise.per")
        if file is not None and colour != "white":
            raise UsageError(
                f"negatives.noise.colour={colour}: noise from negatives.noise.file has the colour"
                " that it has there; leave one of them out."
            )
        self.level = 1.0 if level is None else level
        if dbfs is not None:
            self.level = amplitude(dbfs)
        self.beside = None if snr is None else BesideClip(snr, over, key="negatives.noise")
        self.colour = colour
        self.per = per
        self._file = None if file is None else Path(file)
        self._scaled = dbfs is not None
        self._banks: dict[int, npt.NDArray[np.float32]] = {}  # by rate
        self.draws = check_draws(draws) if self._file is None else len(self._bank(self._file))

    def hear(self, own: Window, made: Window) -> None:
        """Take the windows, which only `snr` depends on."""
        if self.beside is not None:
            self.beside.hear(own, made)

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Noise of `length`, keyed by seed and draw (by sample too with `per=sample` or `snr`)."""
        own = self.beside is not None or (self.per == "sample" and self._file is None)
        source = sample.sample_id if own else ""
        if self._file is not None:
            return AudioRequest(self.name, source_id=source, length=length, draw=draw)
        return AudioRequest(self.name, source_id=source, length=length, seed=seed, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Make noise `[1, length]`.

        A shorter noise of a draw is the beginning of a longer one, up to a factor with `snr`.
        """
        length = self.made_samples(request)
        if self._file is not None:
            waveform = tile(self._bank(self._file)[request.draw], length)
            if self.beside is None:
                return AudioClip(waveform[None], self.rate)
            noise = waveform.astype(np.float64)
        else:
            source = request.source_id if self.per == "sample" else ""
            generator = generator_for(request.seed, self.name, source, request.draw)
            noise = coloured_noise(generator, length, self.colour, self.rate) * self.level
        if self.beside is not None:
            noise = self.beside.scaled(noise, read(request.source_id), request.source_id)
        return AudioClip(noise.astype(np.float32)[None], self.rate)

    def _bank(self, file: Path) -> npt.NDArray[np.float32]:
        """Noise waveforms `[draws, T]` of the file at the rate, read once."""
        if self.rate not in self._banks:
            bank = _read_bank(file, self.rate)
            if self._scaled:
                own = np.array([rms(waveform) for waveform in bank])
                factors = self.level / np.where(own > 0, own, 1.0)  # silence stays silence
                bank = (bank * factors[:, None]).astype(np.float32)
            self._banks[self.rate] = bank
        return self._banks[self.rate]


def _read_bank(path: Path, rate: int) -> npt.NDArray[np.float32]:
    """Noise waveforms `[draws, T]` of a .npy, which is at `SAMPLE_RATE`, or audio file."""
    if path.suffix.lower() != ".npy":
        return mix_down(read_clip(path, rate), "mean")[None]
    if not path.is_file():
        raise UsageError(f"{path}: no such file (negatives.noise.file)")
    try:
        bank = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UsageError(f"{path}: not a .npy array ({error}) (negatives.noise.file)") from error
    bank = np.atleast_2d(bank)
    real = np.issubdtype(bank.dtype, np.floating) or np.issubdtype(bank.dtype, np.integer)
    if bank.ndim != 2 or bank.size == 0 or not real:
        raise UsageError(
            f"{path}: expected noise as [T] or [draws, T] numbers, but got {bank.dtype}"
            f" {list(bank.shape)} (negatives.noise.file)"
        )
    with np.errstate(over="ignore"):
        waveforms = bank.astype(np.float32)
    if not np.isfinite(waveforms).all():
        raise UsageError(f"{path}: holds NaN or infinite values (negatives.noise.file)")
    return resample(waveforms, SAMPLE_RATE, rate)

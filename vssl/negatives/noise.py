"""White Gaussian noise, or noise from a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vssl.audio import mix_down, read_clip, tile
from vssl.checks import check_choice, check_positive
from vssl.errors import UsageError
from vssl.negatives.base import AudioCondition, ReadClip, check_draws
from vssl.randomness import generator_for
from vssl.types import AudioClip, AudioRequest, Sample


class Noise(AudioCondition):
    """Noise as long as the image's own clip.

    Gaussian by default, with the paper's unit variance (much louder than any recording; a front
    end that clips to [-1, 1] clips it too). By default one waveform per draw is shared by all
    images, cut to each clip's length: the spread over draws then shows the noise's own effect.

    Args:
        draws: number of noise waveforms.
        level: standard deviation of the Gaussian, 1 is full scale.
        per: `draw` shares a waveform among all samples of a draw, `sample` draws for each sample.
        file: take the noise from this .npy (one waveform `[T]`, or `[draws, T]`) or audio file
            instead, at the level it has there, from its first sample on, repeated when too short.
            The number of draws is then the number of waveforms in the file.

    Raises:
        ValueError: for a bad option or a file that holds no noise.
    """

    name = "noise"

    def __init__(
        self,
        *,
        draws: int = 10,
        level: float = 1.0,
        per: Literal["draw", "sample"] = "draw",
        file: str | None = None,
    ) -> None:
        check_positive(level, name="negatives.noise.level")
        check_choice(per, ("draw", "sample"), name="negatives.noise.per")
        self.level = level
        self.per = per
        self.bank = None if file is None else _read_bank(Path(file))
        self.draws = check_draws(draws) if self.bank is None else len(self.bank)

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Noise of `length`, keyed by seed and draw (and by sample with `per=sample`)."""
        if self.bank is not None:
            return AudioRequest(self.name, length=length, draw=draw)
        source = sample.sample_id if self.per == "sample" else ""
        return AudioRequest(self.name, source_id=source, length=length, seed=seed, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Noise `[1, length]`; of two lengths of one draw, the shorter begins the longer."""
        if self.bank is not None:
            return AudioClip(tile(self.bank[request.draw], request.length)[None])
        generator = generator_for(request.seed, self.name, request.source_id, request.draw)
        noise = generator.standard_normal(request.length) * self.level
        return AudioClip(noise.astype(np.float32)[None])


def _read_bank(path: Path) -> npt.NDArray[np.float32]:
    """Noise waveforms `[draws, T]` of a .npy or audio file."""
    if path.suffix.lower() != ".npy":
        return mix_down(read_clip(path), "mean")[None]
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
    return waveforms

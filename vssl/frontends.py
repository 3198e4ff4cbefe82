"""Audio front ends: a clip becomes the tensor that an audio network takes.

The only place with a logarithm. A front end belongs to a model's weights and is declared beside
them in `conf/model/`; under `protocol=corrected` one and the same callable serves every audio
condition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from vssl.checks import check_positive
from vssl.types import AudioClip

FrontEnd = Callable[[AudioClip], torch.Tensor]
Window = Callable[[AudioClip], npt.NDArray[np.float32]]


class LogSpectrogram:
    """Log power spectrogram, equal to `scipy.signal.spectrogram` with its default settings.

    Power spectral density with a periodic Tukey(0.25) window, the mean removed from each segment,
    one-sided; then `log(x + floor) / scale`. Where `frames` is given, that many central frames are
    kept (a shorter spectrogram is zero-padded on both sides, as torchvision's centre crop does).
    Formula checked against scipy in the tests; settings of each model in `conf/model/`.

    Args:
        window: clip to mono waveform `[length]`.
        nperseg: segment length in samples.
        noverlap: samples shared by neighbouring segments.
        frames: number of central frames to keep, None for all.
        floor: added before the logarithm.
        scale: divisor after the logarithm.
        log: False leaves linear power (still divided by `scale`): what the released code does to
            silence and noise for EZ-VSL, SLAVC and FNAC (QUIRKS 14).

    Raises:
        ValueError: when the segments do not advance or a number is not positive.
    """

    def __init__(
        self,
        window: Window,
        *,
        nperseg: int = 512,
        noverlap: int = 274,
        frames: int | None = None,
        floor: float = 1e-7,
        scale: float = 12.0,
        log: bool = True,
    ) -> None:
        if not 0 <= noverlap < nperseg:
            raise ValueError(
                f"Expected `0 <= noverlap < nperseg`, but got noverlap={noverlap},"
                f" nperseg={nperseg}."
            )
        check_positive(floor, name="floor")
        check_positive(scale, name="scale")
        self.window = window
        self.nperseg = nperseg
        self.hop = nperseg - noverlap
        self.frames = frames
        self.floor = floor
        self.scale = scale
        self.log = log
        self.taper = _tukey(nperseg, 0.25)

    def __call__(self, clip: AudioClip) -> torch.Tensor:
        """Turn a clip into a spectrogram.

        Args:
            clip: `[channels, T]` waveform.

        Returns:
            `[1, nperseg // 2 + 1, frames]` float32.

        Raises:
            ValueError: when the window is shorter than one segment.
        """
        waveform = torch.from_numpy(np.ascontiguousarray(self.window(clip)))
        if waveform.shape[0] < self.nperseg:
            raise ValueError(
                f"Expected a window of at least {self.nperseg} samples, but got"
                f" {waveform.shape[0]} at {clip.rate} Hz. Is the clip nearly empty?"
            )
        segments = waveform.unfold(0, self.nperseg, self.hop)
        total = segments.shape[0]
        if self.frames is not None and total > self.frames:
            # round() is to even on halves, as in the centre crop of torchvision
            first = round((total - self.frames) / 2)
            segments = segments[first : first + self.frames]
        power = self._power(segments, clip.rate).T
        spectrogram: torch.Tensor = torch.log(power + self.floor) if self.log else power
        if self.frames is not None and total < self.frames:
            missing = self.frames - total
            spectrogram = torch.nn.functional.pad(
                spectrogram, (missing // 2, missing - missing // 2)
            )
        scaled: torch.Tensor = spectrogram / self.scale
        batch: torch.Tensor = scaled[None].contiguous()
        return batch

    def _power(self, segments: torch.Tensor, rate: int) -> torch.Tensor:
        """One-sided power spectral density of `[F, nperseg]` segments, in 1/Hz."""
        tapered = (segments - segments.mean(dim=1, keepdim=True)) * self.taper
        spectrum = torch.fft.rfft(tapered)
        density: torch.Tensor = spectrum.abs().square() / (rate * self.taper.square().sum())
        last = -1 if self.nperseg % 2 == 0 else density.shape[1]
        density[:, 1:last] *= 2
        return density


def _tukey(length: int, alpha: float) -> torch.Tensor:
    """Periodic Tukey (tapered cosine) window, `[length]` float32."""
    position = torch.arange(length, dtype=torch.float64) / length
    edge = torch.minimum(position, 1 - position).clamp(max=alpha / 2)
    return (0.5 * (1 - torch.cos(2 * torch.pi * edge / alpha))).float()

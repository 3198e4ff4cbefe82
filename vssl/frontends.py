"""Audio front ends, which turn a clip into the input of an audio network.

A front end belongs to a model's weights and is declared beside them in `conf/model/`. Under
`protocol=corrected` one front end serves every audio condition.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vssl.audio import HIGHEST_RATE, LOWEST_RATE, Window
from vssl.core.checks import check_choice, check_positive
from vssl.core.errors import UsageError
from vssl.types import SAMPLE_RATE, AudioClip

_LONGEST_TRIED = 60 * SAMPLE_RATE


class FrontEnd(nn.Module):
    """A window, cut clip by clip on the CPU, and a transform, batched on the model's device.

    Subclasses implement `forward`. The window brings a clip to a mono waveform `[T]`.
    """

    shortest: int = 1
    """Least number of samples that `forward` can take."""
    rate: int = SAMPLE_RATE
    """Sample rate of the waveforms in Hz, to which sounds are brought from that of their files."""

    def __init__(self, window: Window, *, rate: int | None = None) -> None:
        super().__init__()
        self.window = window
        if rate is not None:  # else that of the class
            if not isinstance(rate, int) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise UsageError(
                    f"Expected `rate` to be a whole number of Hz from {LOWEST_RATE} to"
                    f" {HIGHEST_RATE}, but got {rate!r}."
                )
            self.rate = rate

    def waveform(self, clip: AudioClip) -> torch.Tensor:
        """Cut the window out of a clip `[channels, length]`: `[T]` float32.

        Raises:
            UsageError: when the window gives less than `shortest` samples or no mono waveform, or
                the clip is at another rate than the front end's.
        """
        if clip.rate != self.rate:
            raise UsageError(
                f"Expected a clip at the front end's rate of {self.rate} Hz, but got {clip.rate}"
                " Hz. A negative makes clips at `self.rate`, AudioClip(samples, self.rate), and"
                " keeps the rate of those that it reads."
            )
        cut = np.ascontiguousarray(self.window(clip), dtype=np.float32)
        if cut.ndim != 1:
            raise UsageError(
                f"Expected the window to give a mono waveform [T], but got {list(cut.shape)}."
            )
        waveform = torch.from_numpy(cut)
        if waveform.shape[0] < self.shortest:
            raise UsageError(
                f"Expected a window of at least {self.shortest} samples, but got"
                f" {waveform.shape[0]} at {clip.rate} Hz. Is the clip nearly empty?"
            )
        return waveform

    def least_samples(self) -> int:
        """Find the least length of a clip at `SAMPLE_RATE` that the front end takes.

        By bisection, as a longer clip gives no shorter window. 1 if no length will do: the first
        use of the front end then raises the reason.
        """

        def takes(length: int) -> bool:
            try:
                own_length = math.ceil(length * self.rate / SAMPLE_RATE)
                self.waveform(AudioClip(np.zeros((1, own_length), np.float32), self.rate))
            except Exception:  # a user's window may raise anything
                return False
            return True

        lengths = range(1, _LONGEST_TRIED)
        place = bisect_left(lengths, True, key=takes)
        return lengths[place] if place < len(lengths) else 1

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Transform waveforms `[M, T]` to the audio network's input `[M, ...]`, both float32."""
        raise NotImplementedError

    def _other_rate(self) -> str:
        """The rate, for tables, where it is another than usual."""
        return "" if self.rate == SAMPLE_RATE else f", {self.rate} Hz"


class RawWaveform(FrontEnd):
    """The waveform itself, for networks that compute their spectrogram (RCGrad).

    `shortest` is the least number of samples that the network can take, `rate` their rate in Hz.
    """

    def __init__(self, window: Window, *, shortest: int = 1, rate: int | None = None) -> None:
        super().__init__(window, rate=rate)
        self.shortest = shortest

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """The waveforms `[M, T]` as they are."""
        return waveforms


class PaddedWaveform(FrontEnd):
    """The waveform, filled up with zeros and then brought to mean 0 and variance 1 (DenseAV).

    `(x - mean) / sqrt(variance + 1e-7)` over the whole length, as Hugging Face's
    `Wav2Vec2FeatureExtractor` does with a clip that was padded before: silence stays 0. A second
    row tells sound from padding.

    Args:
        samples: length that waveforms are padded or cut to.
        shortest: least number of samples that the network can take.
        rate: sample rate in Hz.

    Raises:
        ValueError: when `samples` is not positive.
    """

    def __init__(
        self, window: Window, *, samples: int, shortest: int = 1, rate: int | None = None
    ) -> None:
        super().__init__(window, rate=rate)
        check_positive(samples, name="samples")
        self.samples = samples
        self.shortest = shortest

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Waveforms `[M, T]` to `[M, 2, samples]`: standardized, and 1 where sound was, else 0."""
        filling = (0, self.samples - waveforms.shape[1])  # negative: cut
        padded, there = (
            nn.functional.pad(rows, filling) for rows in (waveforms, torch.ones_like(waveforms))
        )
        exact = padded.double()
        variance, mean = torch.var_mean(exact, dim=1, correction=0, keepdim=True)
        return torch.stack([((exact - mean) / (variance + 1e-7).sqrt()).float(), there], dim=1)

    def extra_repr(self) -> str:
        """Settings, for tables."""
        return f"padded to {self.samples} samples{self._other_rate()}"


class LogSpectrogram(FrontEnd):
    """Log power spectrogram, equal to `scipy.signal.spectrogram` with its default settings.

    Power spectral density with a periodic Tukey(0.25) window, the mean removed from each segment,
    one-sided; then `log(x + floor) / scale`. Settings of each model: `conf/model/`.

    Args:
        nperseg: segment length in samples.
        noverlap: samples shared by neighbouring segments.
        frames: number of central frames to keep, None for all; a shorter spectrogram is padded with
            zeros on both sides, as by torchvision's centre crop.
        floor: added before the logarithm.
        scale: divisor after the logarithm.
        log: False leaves linear power, divided by `scale`, as the released code does with silence
            and noise for EZ-VSL, SLAVC and FNAC (`log_missing` in docs/protocols.md).
        rate: sample rate in Hz.

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
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(window, rate=rate)
        if not 0 <= noverlap < nperseg:
            raise ValueError(
                f"Expected `0 <= noverlap < nperseg`, but got noverlap={noverlap},"
                f" nperseg={nperseg}."
            )
        check_positive(floor, name="floor")
        check_positive(scale, name="scale")
        self.shortest = nperseg
        self.nperseg = nperseg
        self.hop = nperseg - noverlap
        self.frames = frames
        self.floor = floor
        self.scale = scale
        self.log = log
        self.taper = nn.Buffer(torch.from_numpy(_tukey(nperseg)).float(), persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Spectrograms `[M, 1, nperseg // 2 + 1, frames]` of waveforms `[M, T]`."""
        segments = waveforms.unfold(1, self.nperseg, self.hop)
        total = segments.shape[1]
        if self.frames is not None and total > self.frames:
            # round() is to even on halves, as in the centre crop of torchvision
            first = round((total - self.frames) / 2)
            segments = segments[:, first : first + self.frames]
        spectrogram = self._power(segments).transpose(1, 2)
        if self.log:
            spectrogram = torch.log(spectrogram + self.floor)
        if self.frames is not None and total < self.frames:
            missing = self.frames - total
            spectrogram = nn.functional.pad(spectrogram, (missing // 2, missing - missing // 2))
        return (spectrogram / self.scale)[:, None].contiguous()

    def _power(self, segments: torch.Tensor) -> torch.Tensor:
        """One-sided power spectral density in 1/Hz of `[M, F, nperseg]` segments."""
        tapered = (segments - segments.mean(dim=2, keepdim=True)) * self.taper
        spectrum = torch.fft.rfft(tapered)
        density: torch.Tensor = spectrum.abs().square() / (self.rate * self.taper.square().sum())
        last = -1 if self.nperseg % 2 == 0 else density.shape[2]
        density[..., 1:last] *= 2
        return density

    def extra_repr(self) -> str:
        """Settings, for tables."""
        kept = "" if self.frames is None else f", central {self.frames} frames"
        return f"nperseg {self.nperseg}, hop {self.hop}{kept}{self._other_rate()}"


def _tukey(length: int) -> npt.NDArray[np.float64]:
    """Periodic Tukey(0.25) window; scipy.signal has it, and takes half a second to import."""
    place = np.arange(length)
    edges = [place <= length // 8, place >= length - length // 8]
    phase = np.select(edges, [8 * place / length - 1, 8 * place / length - 7])
    taper: npt.NDArray[np.float64] = 0.5 * (1 + np.cos(np.pi * phase))
    return taper if length > 1 else np.ones(length)


class MelSpectrogram(FrontEnd):
    """Mel spectrogram in decibels (SSL-TIE), equal to torchaudio's with `normalized="window"`.

    Centred frames with reflected edges and a periodic Hann window, divided by the window's norm
    before squaring; HTK mel bands without area norm; `10 log10(max(x, floor))`, not scaled. Bands
    narrower than a bin are empty, 28 of 257 at 16 kHz. Source: vssl_eval
    datasets/datasets_ssltie.py, also with float32 filters, which matter by 0.01 dB near the floor.

    Args:
        n_fft: frame length in samples.
        hop: samples between frames.
        bands: number of mel bands.
        floor: least power.
        log: False leaves linear power.
        rate: sample rate in Hz.

    Raises:
        ValueError: when a number is not positive.
    """

    def __init__(
        self,
        window: Window,
        *,
        n_fft: int = 512,
        hop: int = 239,
        bands: int = 257,
        floor: float = 1e-10,
        log: bool = True,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(window, rate=rate)
        check_positive(hop, name="hop")
        check_positive(floor, name="floor")
        self.shortest = n_fft // 2 + 1
        self.hop = hop
        self.floor = floor
        self.log = log
        filters = _mel_filters(rate=rate, bins=n_fft // 2 + 1, bands=bands)
        self.taper = nn.Buffer(torch.hann_window(n_fft), persistent=False)
        self.filters = nn.Buffer(filters, persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Spectrograms `[M, 1, bands, T // hop + 1]` of waveforms `[M, T]`, in dB."""
        norm = self.taper.square().sum().sqrt()
        mel = self.filters @ power_spectrogram(waveforms, self.taper, self.hop, divisor=norm)
        if self.log:
            mel = 10 * torch.log10(mel.clamp(min=self.floor))
        return mel[:, None]

    def extra_repr(self) -> str:
        """Settings, for tables."""
        bands = f"{len(self.filters)} mel bands"
        return f"n_fft {len(self.taper)}, hop {self.hop}, {bands}{self._other_rate()}"


class VGGishExamples(FrontEnd):
    """Log mel spectrograms of examples of 0.96 s for VGGish (SACL), at 16 kHz.

    Magnitudes of frames of 25 ms every 10 ms, not centred, with a periodic Hann window, in float64;
    64 mel bands from 125 to 7500 Hz; `log(x + 0.01)`. What does not fill an example is dropped.
    Sources: AudioSet's `mel_features.py` and `vggish_params.py`; zjsong/SACL utils.py.

    Args:
        scaling: `per_clip` brings each waveform to [-1, 1] before: its least value is subtracted,
            the largest of the result, plus 0.001, divides, and the result is doubled less 1 (SACL).
            Every sound is then about equally loud, and silence is a constant -1. `none`: the
            waveform as it is.

    Raises:
        UsageError: for another scaling.
    """

    shortest = 15_600  # 96 frames

    def __init__(
        self, window: Window, *, scaling: Literal["per_clip", "none"] = "per_clip"
    ) -> None:
        super().__init__(window)
        check_choice(scaling, ("per_clip", "none"), name="scaling")
        self.scaling = scaling
        self.taper = nn.Buffer(torch.hann_window(400, dtype=torch.float64), persistent=False)
        filters = _straight_filters(
            rate=self.rate, bins=257, bands=64, lowest=125.0, highest=7500.0
        )
        self.filters = nn.Buffer(filters, persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """E examples `[M, E, 1, 96, 64]`, time before frequency, of waveforms `[M, T]`."""
        if self.scaling == "per_clip":
            raised = waveforms - waveforms.amin(dim=1, keepdim=True)
            waveforms = (raised / (raised.amax(dim=1, keepdim=True) + 1e-3) - 0.5) * 2
        frames = waveforms.double().unfold(1, 400, 160)
        magnitudes = torch.fft.rfft(frames * self.taper, n=512).abs()
        logs = torch.log(magnitudes @ self.filters.T + 0.01).float()
        examples = logs.unfold(1, 96, 96).transpose(2, 3)
        return examples[:, :, None].contiguous()

    def extra_repr(self) -> str:
        """Settings, for tables."""
        scaled = "" if self.scaling == "none" else ", waveform scaled to [-1, 1]"
        return f"64 mel bands, examples of 0.96 s{scaled}"


class KaldiLogMel(FrontEnd):
    """Log mel spectrogram as of Kaldi's `compute-fbank-feats`, scaled (BEATs).

    Frames that lie wholly in the waveform lose their mean, are preemphasized by 0.97 (with their
    first sample before them), tapered by Povey's window, a Hann window to the power of 0.85, and
    padded with zeros to a power of two. Mel bands are triangles on Kaldi's mel scale,
    1127 log(1 + f / 700), from `lowest` Hz to half the rate; narrow ones may be empty.
    Then come `log(max(power, 2^-23))` and `(x - mean) / deviation`. Nothing is dithered. Source:
    torchaudio.compliance.kaldi.fbank with its default settings, here in float64.

    Args:
        frame: frame length in samples.
        hop: samples between frames.
        bands: number of mel bands.
        lowest: frequency in Hz at which the first band begins.
        full_scale: factor of the waveform; Kaldi's are 16-bit integers.
        mean: subtracted after the logarithm.
        deviation: divisor after that.
        rate: sample rate in Hz.

    Raises:
        ValueError: when a number is not positive.
    """

    def __init__(
        self,
        window: Window,
        *,
        frame: int = 400,
        hop: int = 160,
        bands: int = 128,
        lowest: float = 20.0,
        full_scale: float = 32768.0,
        mean: float = 0.0,
        deviation: float = 1.0,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(window, rate=rate)
        for name, value in (("frame", frame), ("hop", hop), ("deviation", deviation)):
            check_positive(value, name=name)
        self.shortest = frame
        self.hop = hop
        self.full_scale = full_scale
        self.mean = mean
        self.deviation = deviation
        taper = torch.hann_window(frame, periodic=False, dtype=torch.float64) ** 0.85
        bins = 2 ** (frame - 1).bit_length() // 2 + 1
        filters = _straight_filters(
            rate=rate, bins=bins, bands=bands, lowest=lowest, highest=rate / 2
        )
        self.taper = nn.Buffer(taper, persistent=False)
        self.filters = nn.Buffer(filters, persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Spectrograms `[M, frames, bands]` of waveforms `[M, T]`."""
        frames = (waveforms.to(self.taper.dtype) * self.full_scale).unfold(
            1, len(self.taper), self.hop
        )
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        n_fft = 2 * (self.filters.shape[1] - 1)
        power = torch.fft.rfft((frames - 0.97 * before) * self.taper, n_fft).abs().square()
        logs = torch.log((power @ self.filters.T).clamp(min=2.0**-23))
        return ((logs - self.mean) / self.deviation).float()

    def extra_repr(self) -> str:
        """Settings, for tables."""
        bands = f"{len(self.filters)} mel bands"
        return f"frame {len(self.taper)}, hop {self.hop}, {bands}{self._other_rate()}"


def power_spectrogram(
    waveforms: torch.Tensor, window: torch.Tensor, hop: int, *, divisor: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """Squared magnitude of the short-time Fourier transform, centred, with reflected edges.

    Waveforms `[M, T]`, longer than half a window `[n_fft]`, become `[M, n_fft // 2 + 1, T // hop +
    1]`. The divisor is of the spectrum, before it is squared.
    """
    spectrum = torch.stft(
        waveforms, len(window), hop, window=window, center=True, pad_mode="reflect",
        return_complex=True,
    )  # fmt: skip
    return (spectrum / divisor).abs().square()


def _mel_filters(*, rate: int, bins: int, bands: int) -> torch.Tensor:
    """Triangles `[bands, bins]` from 0 to half the rate on the HTK mel scale, in float32."""
    # equal to torchaudio's `melscale_fbanks` to the last bit; librosa's differ by 3e-5
    last = 2595.0 * math.log10(1.0 + rate / 2 / 700.0)
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, last, bands + 2) / 2595.0) - 1.0)
    above = edges[:, None] - torch.linspace(0.0, rate // 2, bins)
    width = edges.diff()[:, None]
    return torch.minimum(-above[:-2] / width[:-1], above[2:] / width[1:]).clamp(min=0.0)


def _straight_filters(
    *, rate: int, bins: int, bands: int, lowest: float, highest: float
) -> torch.Tensor:
    """Triangles `[bands, bins]`, straight on the mel scale 1127 log(1 + f / 700), in float64."""
    hertz = torch.linspace(0.0, rate / 2, bins, dtype=torch.float64)
    mels = 1127.0 * torch.log1p(hertz / 700.0)
    first, last = (1127.0 * math.log1p(edge / 700.0) for edge in (lowest, highest))
    edges = torch.linspace(first, last, bands + 2, dtype=torch.float64)[:, None]
    width = edges.diff(dim=0)
    rising, falling = (mels - edges[:-2]) / width[:-1], (edges[2:] - mels) / width[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)

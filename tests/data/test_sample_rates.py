"""Sounds at the rate of a model's front end, read from the file at its own rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tests.helpers.running import FAST, HEARS, records, run, run_settings
from vssl.audio import CenterWindow, SpanWindow, WholeClip, clip_at, read_clip, rms
from vssl.audio.containers import opened_sound
from vssl.config import build
from vssl.core.errors import UsageError
from vssl.data.dataset import AudioDataset
from vssl.data.vggss import VGGSS
from vssl.engine.training.data import TrainingSet
from vssl.frontends import FrontEnd, LogSpectrogram, MelSpectrogram, RawWaveform
from vssl.images import ImageTransform
from vssl.localize.setup import LocalizeOptions, set_up
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.mixed import Mixed
from vssl.negatives.noise import Noise
from vssl.negatives.plan import make_plan
from vssl.negatives.silence import Silence
from vssl.types import SAMPLE_RATE, AudioRequest, Sample

RATE, FILE_RATE, SECONDS = 22_050, 44_100, 2
TONES = (1_000.0, 9_500.0)


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav at 44.1 kHz: a tone of 1 kHz and, softer, one above what 16 kHz can hold."""
    time = np.arange(SECONDS * FILE_RATE) / FILE_RATE
    low, high = (np.sin(2 * np.pi * hertz * time) for hertz in TONES)
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    soundfile.write(path, 0.4 * low + 0.1 * high, FILE_RATE, subtype="PCM_16")
    return path


def loudness_at(samples: np.ndarray, rate: int, hertz: float) -> float:
    """Amplitude of a tone."""
    turns = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    return float(2 * np.abs((samples * turns).mean()))


@pytest.mark.parametrize("rate", [8_000, RATE, FILE_RATE, 48_000])
def test_a_clip_is_resampled_from_the_rate_of_its_file(tone: Path, rate: int) -> None:
    clip = read_clip(tone, rate)
    assert clip.rate == rate
    stored, _ = soundfile.read(tone, dtype="float32")
    wanted = librosa.resample(stored, orig_sr=FILE_RATE, target_sr=rate, res_type="soxr_hq")
    np.testing.assert_array_equal(clip.samples[0], wanted)
    low, high = (loudness_at(clip.samples[0], rate, tone) for tone in TONES)
    assert low == pytest.approx(0.4, abs=1e-3)
    assert high == pytest.approx(0.1 if rate > 2 * TONES[1] else 0.0, abs=1e-3)
    with opened_sound(tone) as stream:  # as of videos
        found = stream.resampled(rate)[0]
    assert 0 <= len(wanted) - len(found) <= 1  # librosa rounds 48000 / 44100 up
    np.testing.assert_allclose(found, wanted[: len(found)], atol=1e-6)


def test_the_peak_is_in_its_band(tone: Path) -> None:
    frontend = MelSpectrogram(WholeClip(), n_fft=2048, hop=512, bands=128, rate=RATE)
    waveform = frontend.waveform(read_clip(tone, RATE))
    mel = frontend(waveform[None])[0, 0].mean(1)
    edges = librosa.mel_frequencies(130, fmin=0, fmax=RATE / 2, htk=True)
    assert mel.argmax() == np.abs(edges[1:-1] - TONES[0]).argmin() == 40
    assert mel[95:].argmax() + 95 == np.abs(edges[1:-1] - TONES[1]).argmin()
    assert frontend.extra_repr().endswith(", 22050 Hz")
    assert "Hz" not in MelSpectrogram(WholeClip()).extra_repr()


def test_windows_and_needs_are_in_seconds() -> None:
    window = SpanWindow(seconds=10, start=3.5, stop=6.5)
    frontend = LogSpectrogram(window, rate=RATE)
    ramp = np.arange(10 * RATE, dtype=np.float32)[None] / (10 * RATE)
    begin, clip = clip_at(ramp, 5.0, window, RATE)
    assert (begin, clip.rate) == (round(5 * RATE) - 3 * RATE // 2, RATE)
    heard = frontend.waveform(clip)
    np.testing.assert_array_equal(heard, ramp[0, begin : begin + 3 * RATE])
    raw = RawWaveform(WholeClip(), shortest=RATE, rate=RATE)
    assert raw.least_samples() == SAMPLE_RATE  # a second


def test_a_rate_of_a_class() -> None:
    class Own(FrontEnd):
        rate = 8_000

    assert Own(WholeClip()).rate == 8_000
    assert Own(WholeClip(), rate=RATE).rate == RATE
    for bad in (22_050.5, 10, "fast"):
        with pytest.raises(UsageError, match="whole number of Hz"):
            RawWaveform(WholeClip(), rate=bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"model.frontend.rate` to be a whole number"):
        run_settings("model=ezvsl", "+model.frontend.rate=10")


@pytest.mark.parametrize("kind", [Noise, Mixed])
@pytest.mark.parametrize("over", ["clip", "window"])
def test_a_ratio_is_measured_at_the_rate(kind: Any, over: str, tone: Path) -> None:
    condition: AudioCondition = kind(draws=1, snr=0, over=over, colour="white")
    window = CenterWindow(seconds=1)
    condition.hear(window, window)
    condition.rate = RATE
    own = read_clip(tone, RATE).samples
    sample = Sample("tone", Path(), tone, audio_length=SECONDS * SAMPLE_RATE)
    noise = condition.clip(sample, lambda _: read_clip(tone, RATE), seed=3).samples
    noise -= own if kind is Mixed else 0
    heard = slice(RATE // 2, RATE // 2 + RATE) if over == "window" else slice(None)
    assert rms(noise[0, heard]) == pytest.approx(rms(own[0, heard]), rel=1e-3)


@pytest.mark.parametrize("dbfs", [None, -20])
def test_noise_of_a_file(tone: Path, tmp_path: Path, dbfs: float | None) -> None:
    stored = tmp_path / "bank.npy"  # at 16 kHz, as it says no rate
    np.save(stored, read_clip(tone).samples.repeat(2, 0))
    request = AudioRequest("noise", length=SAMPLE_RATE, draw=0)
    for file, reference in (
        (tone, read_clip(tone, RATE).samples[0]),
        (stored, librosa.resample(np.load(stored)[0], orig_sr=SAMPLE_RATE, target_sr=RATE)),
    ):
        noise = Noise(file=str(file), dbfs=dbfs)
        assert noise.draws == (1 if file == tone else 2)
        noise.rate = RATE
        clip = noise.make(request, {}.__getitem__)
        assert (clip.samples.shape, clip.rate) == ((1, RATE), RATE)
        scale = 1 if dbfs is None else 10 ** (dbfs / 20) / rms(reference)
        np.testing.assert_allclose(clip.samples[0], scale * reference[:RATE], rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def fast_folder(tone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-SS of three samples at 44.1 kHz."""
    root = tmp_path_factory.mktemp("fast")
    (root / "audio").mkdir()
    (root / "frames").mkdir()
    entries = []
    stored, _ = soundfile.read(tone)
    for number, category in enumerate(("dog", "bell", "train")):
        name = f"clip{number}"
        soundfile.write(root / "audio" / f"{name}.wav", stored * (number + 1) / 4, FILE_RATE)
        Image.new("RGB", (64, 64), (90 * number, 50, 50)).save(root / "frames" / f"{name}.jpg")
        entries.append({"file": name, "class": category, "bbox": [[0.1, 0.1, 0.6, 0.6]]})
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


def test_a_run_at_another_rate(fast_folder: Path, tmp_path: Path) -> None:
    draws = [f"negatives.{name}.draws=1" for name in ("noise", "mixed")]
    data = ("data=vggss", f"data.root={fast_folder}", "negatives=[noise,mixed]", *draws)
    options = (*HEARS, *data, f"+model.frontend.rate={RATE}")
    settings = run_settings(*FAST, *options)
    usual = run_settings(*FAST, *HEARS, *data)
    assert settings.identity_hash != usual.identity_hash
    assert settings.network_hash != usual.network_hash

    conditions = build.build_conditions(settings)
    localizer, _ = build.build_localizer(settings, conditions)
    assert {each.rate for each in conditions} == {RATE}
    reader = VGGSS(fast_folder)
    build.set_needs(reader, settings)
    assert reader.rate == RATE
    samples = reader.check().samples
    plan = make_plan(samples, conditions, seed=0)
    by_name = {each.name: each for each in (Positive(), *conditions)}
    sounds = AudioDataset(samples, plan, by_name, dict(localizer.frontends))
    for place, (_, request) in enumerate(plan.distinct):
        (batch,) = sounds[[place]]
        assert batch.waveforms.shape == (1, 10 * RATE)
        if request.condition == "positive":
            clip = read_clip(fast_folder / "audio" / f"{request.source_id}.wav", RATE)
            torch.testing.assert_close(
                batch.waveforms[0], localizer.frontend().waveform(clip), rtol=0, atol=0
            )
    run(tmp_path / "run", *options, "threshold=fixed", "metrics=ciou")
    assert set(records(tmp_path / "run")["audio_condition"]) == set(by_name)


def test_training_and_localization_hear_the_rate(fast_folder: Path, tone: Path) -> None:
    samples = VGGSS(fast_folder).check().samples
    frontend = RawWaveform(WholeClip(), rate=RATE)
    split = TrainingSet(
        samples, [Silence(), Noise(draws=1)], frontend=frontend, transform=ImageTransform(size=32)
    )
    batch = split[[(0, 0), (0, 1)]]
    assert batch.waveforms.shape == batch.negatives.shape == (2, SECONDS * RATE)
    overrides = [*(each for each in HEARS if not each.startswith("model=")), "trainer=cpu"]
    setup = set_up(
        LocalizeOptions(
            "ezvsl", threshold=0.5, noise_draws=1,
            overrides=[*overrides, f"+model.frontend.rate={RATE}"],
        )
    )  # fmt: skip
    assert setup.rate == RATE
    made = setup.negatives(read_clip(tone, setup.rate))
    for clips in made.values():
        assert [(clip.samples.shape[1], clip.rate) for clip in clips] == [(SECONDS * RATE, RATE)]

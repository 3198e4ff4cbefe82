"""Front ends: scipy's spectrogram, and the tensors that the authors' code gave their networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.configuration import evaluation_config
from tests.reference.spectrogram import log_spectrogram
from vssl.audio import WholeClip, read_clip
from vssl.commands.build import build_frontends, made_length
from vssl.frontends import LogSpectrogram
from vssl.types import POSITIVE, AudioClip

CONDITIONS = ("silence", "noise", "offscreen")
few = settings(deadline=None, max_examples=40)


def noise_clip(count: int, *, channels: int = 1, rate: int = 16_000, seed: int = 0) -> AudioClip:
    samples = np.random.default_rng(seed).normal(0, 0.1, (channels, count))
    return AudioClip(samples.astype(np.float32), rate)


@few
@given(
    count=st.integers(512, 6_000),
    # overlaps of EZ-VSL and LVS, none, and nearly all
    noverlap=st.sampled_from([274, 353, 0, 450]),
    nperseg=st.sampled_from([512, 511, 460]),
    rate=st.sampled_from([16_000, 8_000]),
    log=st.booleans(),
    seed=st.integers(0, 9),
)
def test_equals_scipy(
    count: int, noverlap: int, nperseg: int, rate: int, log: bool, seed: int
) -> None:
    clip = noise_clip(count, rate=rate, seed=seed)
    frontend = LogSpectrogram(WholeClip(), nperseg=nperseg, noverlap=noverlap, log=log)

    found = frontend(clip)

    expected = log_spectrogram(clip.samples[0], rate, nperseg=nperseg, noverlap=noverlap, log=log)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert found.shape == (1, *expected.shape)
    # linear power is of the order 1e-7, so only a relative tolerance says anything about it
    tolerance = {"atol": 1e-5, "rtol": 0} if log else {"atol": 1e-11, "rtol": 1e-4}
    np.testing.assert_allclose(found[0], expected, **tolerance)


@few
@given(
    # hop 238: 1 to 24 frames, of which 10 or 11 are kept
    count=st.integers(512, 6_000),
    frames=st.sampled_from([10, 11]),
    log=st.booleans(),
)
def test_central_frames(count: int, frames: int, log: bool) -> None:
    clip = noise_clip(count)
    found = LogSpectrogram(WholeClip(), frames=frames, log=log)(clip)
    expected = log_spectrogram(clip.samples[0], 16_000, frames=frames, log=log)
    assert found.shape == (1, 257, frames)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [512 + 238 * 2, 512 + 238 * 3])
def test_short_spectrograms_are_padded_with_zeros(length: int) -> None:
    # after the logarithm: 0 stands for a power of nearly 1, as in the released code (QUIRKS 13)
    made = length // 238 - 1
    found = LogSpectrogram(WholeClip(), frames=8)(noise_clip(length))[0]
    before = (8 - made) // 2
    assert (found[:, :before] == 0).all()
    assert (found[:, before + made :] == 0).all()
    assert (found[:, before : before + made] < -0.5).all()


def test_floor_and_scale() -> None:
    silence = AudioClip(np.zeros((1, 1024), dtype=np.float32))
    found = LogSpectrogram(WholeClip(), floor=1e-3, scale=2.0)(silence)
    np.testing.assert_allclose(found, np.log(1e-3) / 2, rtol=1e-6)
    # the value that QUIRKS 17 gives for the released settings
    found = LogSpectrogram(WholeClip())(silence)
    np.testing.assert_allclose(found, -1.3432, rtol=0, atol=1e-4)


def test_stereo_is_mixed_by_the_window() -> None:
    clip = noise_clip(3_000, channels=2)
    found = LogSpectrogram(WholeClip())(clip)[0]
    expected = log_spectrogram(clip.samples.mean(axis=0), 16_000)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_one_frontend_can_be_used_again() -> None:
    frontend = LogSpectrogram(WholeClip())
    first = frontend(noise_clip(2_000))
    frontend(noise_clip(3_000, seed=1))
    assert torch.equal(frontend(noise_clip(2_000)), first)


def test_errors() -> None:
    for noverlap in (512, 600, -1):
        with pytest.raises(
            ValueError, match=f"`0 <= noverlap < nperseg`, but got noverlap={noverlap}"
        ):
            LogSpectrogram(WholeClip(), noverlap=noverlap)
    for name in ("floor", "scale"):
        with pytest.raises(ValueError, match=f"Expected `{name}` to be greater than 0"):
            LogSpectrogram(WholeClip(), **{name: 0.0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 512 samples, but got 511 at 16000 Hz"):
        LogSpectrogram(WholeClip())(noise_clip(511))


@pytest.mark.parametrize("model", ["ezvsl", "lvs"])
class TestConfigured:
    @pytest.mark.parametrize("dataset", ["vggss_mini", "is3_mini"])
    def test_released_protocol_gives_the_authors_tensors(
        self, shared: Path, model: str, dataset: str
    ) -> None:
        golden = shared / "golden" / "dev" / dataset / model
        facts: dict[str, Any] = json.loads((golden / "preprocessing.json").read_text())
        folder = shared / "data" / dataset / ("audio" if dataset == "vggss_mini" else "audio_wav")
        config = evaluation_config(f"model={model}", "protocol=released")
        frontends = build_frontends(config, CONDITIONS)
        length = made_length(config)
        assert length is not None
        bank = np.load(shared / "golden" / "noise_bank.npy")[None, :length].astype(np.float32)
        silence = np.zeros((1, length), dtype=np.float32)

        def make(condition: str, clip: AudioClip) -> np.ndarray:
            return frontends.get(condition, frontends[POSITIVE])(clip).numpy()

        made = {
            "noise": make("noise", AudioClip(bank)),
            "silence": make("silence", AudioClip(silence)),
        }
        for sample_id in facts["samples"]:
            source = facts["offscreen_of_sample"][sample_id]
            made[f"{sample_id}/positive"] = make(POSITIVE, read_clip(folder / f"{sample_id}.wav"))
            made[f"{sample_id}/offscreen"] = make("offscreen", read_clip(folder / f"{source}.wav"))

        with np.load(golden / "preprocessing.npz") as expected:
            assert set(expected) == set(made)
            for key, tensor in expected.items():
                np.testing.assert_allclose(made[key], tensor, rtol=0, atol=1e-5, err_msg=key)

    def test_corrected_protocol_has_one_frontend_for_all(self, model: str) -> None:
        config = evaluation_config(f"model={model}", "protocol=corrected")
        assert list(build_frontends(config, CONDITIONS)) == [POSITIVE]
        # so silence and noise are as long as the image's own clip
        assert made_length(config) is None

    @pytest.mark.parametrize("count", [12_000, 19_286, 160_000, 200_001])
    def test_every_clip_length_gives_one_shape(self, model: str, count: int) -> None:
        frontend = build_frontends(evaluation_config(f"model={model}"), ())[POSITIVE]
        width = {"ezvsl": 200, "lvs": 299}[model]
        assert frontend(noise_clip(count)).shape == (1, 257, width)


@pytest.mark.parametrize("model", ["audio_blind", "constant", "oracle", "random"])
def test_models_without_audio_have_no_frontend(model: str) -> None:
    config = evaluation_config(f"model={model}", "protocol=released")
    assert build_frontends(config, CONDITIONS) == {}
    assert made_length(config) is None


def test_released_noise_and_silence_of_ezvsl_stay_linear() -> None:
    # QUIRKS 14: both are far above any positive
    config = evaluation_config("model=ezvsl", "protocol=released")
    frontends: dict[str, Callable[[AudioClip], torch.Tensor]] = build_frontends(config, CONDITIONS)
    silence = AudioClip(np.zeros((1, 160_000), dtype=np.float32))
    assert (frontends["silence"](silence) == 0).all()
    white = frontends["noise"](noise_clip(160_000))
    assert 0 <= white.min() <= white.max() < 1e-3
    assert frontends[POSITIVE](noise_clip(160_000)).max() < -0.5

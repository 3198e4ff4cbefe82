"""Front ends: scipy's and librosa's spectrograms, and the tensors the authors gave their nets."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import audio_utils

from tests.helpers.goldens import golden_clip
from tests.helpers.running import run_settings
from tests.reference.spectrogram import log_spectrogram, mel_spectrogram
from vssl.audio import WholeClip
from vssl.config.build import build_frontends, made_length
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.engine.localizer import Localizer
from vssl.frontends import (
    FrontEnd,
    KaldiLogMel,
    LogSpectrogram,
    MelSpectrogram,
    RawWaveform,
    VGGishExamples,
)
from vssl.images import ImageTransform
from vssl.models.base import LocalizationModel
from vssl.models.rcgrad import RCGrad
from vssl.models.weights import load_weights
from vssl.types import POSITIVE, AudioClip

CONDITIONS = ("silence", "noise", "offscreen")
EVERYONE = (POSITIVE, *CONDITIONS)
CONF = Path(__file__).resolve().parents[1] / "conf"

# one of each kind, with small settings where there are some
KINDS = {
    "log": LogSpectrogram(WholeClip()),
    "linear": LogSpectrogram(WholeClip(), log=False, frames=12),
    "mel": MelSpectrogram(WholeClip()),
    "linear mel": MelSpectrogram(WholeClip(), log=False, bands=40),
    "kaldi": KaldiLogMel(WholeClip(), bands=40),
    "raw": RawWaveform(WholeClip()),
}


def models_that_hear() -> list[str]:
    """Names of the networks in conf/model; baselines and stored maps hear nothing."""
    texts = {path.stem: path.read_text() for path in sorted((CONF / "model").glob("*.yaml"))}
    deaf = ("vssl.models.baselines", "vssl.models.stored")
    return [name for name, text in texts.items() if not any(each in text for each in deaf)]


def noise_clip(
    count: int, *, channels: int = 1, rate: int = 16_000, seed: int = 0, level: float = 0.1
) -> AudioClip:
    samples = np.random.default_rng(seed).normal(0, level, (channels, count))
    return AudioClip(samples.astype(np.float32), rate)


def silent_clip(count: int) -> AudioClip:
    return AudioClip(np.zeros((1, count), dtype=np.float32))


def applied(frontend: FrontEnd, clip: AudioClip) -> torch.Tensor:
    """What the network gets for one clip."""
    result: torch.Tensor = frontend(frontend.waveform(clip)[None])
    assert result.shape[0] == 1
    return result[0]


class TestLogSpectrogram:
    @given(
        # by the default hop of 238: 1 to 24 frames, of which 10 or 11 are kept
        count=st.integers(512, 6_000),
        # overlaps of EZ-VSL and LVS, none, and nearly all
        noverlap=st.sampled_from([274, 353, 0, 450]),
        nperseg=st.sampled_from([512, 511, 460]),
        frames=st.sampled_from([None, 10, 11]),
        rate=st.sampled_from([16_000, 8_000]),
        log=st.booleans(),
        seed=st.integers(0, 9),
    )
    def test_equals_scipy(self, count: int, rate: int, seed: int, **options: Any) -> None:
        clip = noise_clip(count, rate=rate, seed=seed)
        found = applied(LogSpectrogram(WholeClip(), rate=rate, **options), clip)
        expected = log_spectrogram(clip.samples[0], rate, **options)
        assert found.dtype == torch.float32
        assert found.is_contiguous()
        assert found.shape == (1, *expected.shape)
        # linear power is of the order 1e-7, so only a relative tolerance says anything about it
        bound = {"atol": 1e-5, "rtol": 0} if options["log"] else {"atol": 1e-11, "rtol": 1e-4}
        np.testing.assert_allclose(found[0], expected, **bound)

    @pytest.mark.parametrize("length", [1, 2, 9, 460, 511, 512])
    def test_its_taper_is_scipys(self, length: int) -> None:
        taper = LogSpectrogram(WholeClip(), nperseg=length, noverlap=0).taper
        expected = scipy.signal.get_window(("tukey", 0.25), length).astype(np.float32)
        np.testing.assert_array_equal(taper, expected)

    def test_floor_and_scale(self) -> None:
        found = applied(LogSpectrogram(WholeClip(), floor=1e-3, scale=2.0), silent_clip(1024))
        np.testing.assert_allclose(found, np.log(1e-3) / 2, rtol=1e-6)
        # the value of silence at the released settings
        found = applied(LogSpectrogram(WholeClip()), silent_clip(1024))
        np.testing.assert_allclose(found, -1.3432, rtol=0, atol=1e-4)


class TestMelSpectrogram:
    @given(
        # from the shortest that can be reflected at its ends
        count=st.integers(257, 6_000),
        hop=st.sampled_from([239, 160, 512]),
        bands=st.sampled_from([257, 64]),
        log=st.booleans(),
        seed=st.integers(0, 9),
    )
    def test_equals_librosa(self, count: int, hop: int, bands: int, log: bool, seed: int) -> None:
        clip = noise_clip(count, seed=seed)
        frontend = MelSpectrogram(WholeClip(), hop=hop, bands=bands, log=log)
        found = applied(frontend, clip)
        # the filters of their own are checked below: the released ones are float32
        expected = mel_spectrogram(
            clip.samples[0], hop=hop, filters=frontend.filters.numpy(), log=log
        )
        assert found.dtype == torch.float32
        assert found.shape == (1, bands, count // hop + 1)
        assert found.shape[1:] == expected.shape
        if not log:
            # a value far below its neighbours is known to the precision of its neighbours
            np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6 * expected.max())
            return
        near = expected > expected.max() - 60
        assert near.mean() > 0.85, "all but the empty bands and a few chance zeros"
        np.testing.assert_allclose(found[0][torch.from_numpy(near)], expected[near], atol=2e-3)
        assert np.median(np.abs(found[0].numpy() - expected)) < 5e-6

    @pytest.mark.parametrize(("bands", "empty"), [(257, 28), (64, 0)])
    def test_filters_are_librosas(self, bands: int, empty: int) -> None:
        found = MelSpectrogram(WholeClip(), bands=bands).filters.numpy()
        assert found.dtype == np.float32
        # narrower than the bins are apart
        assert np.count_nonzero(found.max(axis=1) == 0) == empty
        with pytest.warns() if empty else contextlib.nullcontext():  # librosa's, of empty bands
            librosas = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=bands, htk=True, norm=None)
        np.testing.assert_allclose(found, librosas, rtol=0, atol=5e-5)

    @pytest.mark.parametrize("floor", [1e-10, 1e-6])
    def test_silence_is_at_the_floor(self, floor: float) -> None:
        found = applied(MelSpectrogram(WholeClip(), floor=floor), silent_clip(2_000))
        np.testing.assert_allclose(found, 10 * np.log10(floor), rtol=1e-6)
        found = applied(MelSpectrogram(WholeClip(), floor=floor, log=False), silent_clip(2_000))
        assert (found == 0).all()


class TestKaldiLogMel:
    @pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
    @pytest.mark.parametrize(
        ("frame", "hop", "bands", "rate"), [(400, 160, 128, 16_000), (200, 90, 40, 8_000)]
    )
    @pytest.mark.parametrize("level", [0.1, 1e-4])
    def test_equals_transformers(
        self, frame: int, hop: int, bands: int, rate: int, level: float
    ) -> None:
        clip = noise_clip(6_000, rate=rate, level=level)
        options: dict[str, Any] = {"frame": frame, "hop": hop, "bands": bands, "rate": rate}
        found = applied(KaldiLogMel(WholeClip(), **options), clip)
        n_fft = 2 ** math.ceil(math.log2(frame))
        filters = audio_utils.mel_filter_bank(
            n_fft // 2 + 1, bands, 20.0, rate / 2, rate,
            mel_scale="kaldi", triangularize_in_mel_space=True,
        )  # fmt: skip
        expected = audio_utils.spectrogram(
            clip.samples[0] * 32768.0,
            audio_utils.window_function(frame, "povey", periodic=False),
            frame, hop, n_fft,
            power=2.0, center=False, preemphasis=0.97, remove_dc_offset=True,
            mel_filters=filters, mel_floor=2.0**-23, log_mel="log",
        ).T  # fmt: skip
        assert found.dtype == torch.float32
        assert found.shape == expected.shape == ((6_000 - frame) // hop + 1, bands)
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)

    def test_silence_is_at_the_floor(self) -> None:
        frontend = KaldiLogMel(WholeClip(), mean=15.41663, deviation=13.11164)
        np.testing.assert_allclose(applied(frontend, silent_clip(2_000)), -2.3917, atol=5e-5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        *(
            (LogSpectrogram, {"noverlap": n}, f"`0 <= noverlap < nperseg`, but got noverlap={n}")
            for n in (512, 600, -1)
        ),
        (LogSpectrogram, {"floor": 0.0}, "Expected `floor` to be greater than 0"),
        (LogSpectrogram, {"scale": 0.0}, "Expected `scale` to be greater than 0"),
        (MelSpectrogram, {"hop": 0}, "Expected `hop` to be greater than 0"),
        (MelSpectrogram, {"floor": 0.0}, "Expected `floor` to be greater than 0"),
        (KaldiLogMel, {"deviation": 0.0}, "Expected `deviation` to be greater than 0"),
        (VGGishExamples, {"scaling": "per_set"}, "`scaling` to be one of per_clip, none"),
    ],
)
def test_settings_that_cannot_be(
    kind: Callable[..., FrontEnd], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(WholeClip(), **options)


@pytest.mark.parametrize("kind", [LogSpectrogram, MelSpectrogram, KaldiLogMel])
@pytest.mark.parametrize("rate", [8_000, 22_050])
def test_a_clip_at_another_rate_is_refused(kind: type[FrontEnd], rate: int) -> None:
    made: Any = kind
    with pytest.raises(UsageError, match=f"front end's rate of {rate} Hz, but got 16000 Hz"):
        made(WholeClip(), rate=rate).waveform(noise_clip(4000))
    with pytest.raises(UsageError, match=f"front end's rate of 16000 Hz, but got {rate} Hz"):
        made(WholeClip()).waveform(noise_clip(4000, rate=rate))
    assert made(WholeClip(), rate=rate).waveform(noise_clip(4000, rate=rate)).shape == (4000,)


@pytest.mark.parametrize(
    ("frontend", "shortest"),
    [
        (LogSpectrogram(WholeClip()), 512),
        (LogSpectrogram(WholeClip(), nperseg=400), 400),
        (MelSpectrogram(WholeClip()), 257),
        (MelSpectrogram(WholeClip(), n_fft=400), 201),
        (KaldiLogMel(WholeClip()), 400),
        (RawWaveform(WholeClip(), shortest=257), 257),
        (VGGishExamples(WholeClip()), 15_600),
    ],
)
def test_the_shortest_clip_is_taken_and_a_shorter_one_refused(
    frontend: FrontEnd, shortest: int
) -> None:
    assert frontend.shortest == shortest
    assert applied(frontend, noise_clip(shortest)).isfinite().all()
    message = rf"at least {shortest} samples, but got {shortest - 1} at 16000 Hz.*nearly empty"
    with pytest.raises(UsageError, match=message):
        frontend.waveform(noise_clip(shortest - 1))


@pytest.mark.parametrize("frontend", KINDS.values(), ids=KINDS)
class TestEveryKind:
    def test_waveform_is_what_the_window_cuts(self, frontend: FrontEnd) -> None:
        clip = noise_clip(3_000, channels=2)
        found = frontend.waveform(clip)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found, frontend.window(clip))

    def test_a_batch_equals_one_by_one(self, frontend: FrontEnd) -> None:
        # of very different levels, so that nothing may leak from one clip into another
        clips = [noise_clip(5_000, seed=n, level=10.0**-n) for n in range(4)]
        clips.append(silent_clip(5_000))
        together = frontend(torch.stack([frontend.waveform(clip) for clip in clips]))
        assert together.is_contiguous()
        for found, clip in zip(together, clips, strict=True):
            alone = applied(frontend, clip)
            torch.testing.assert_close(
                found, alone, rtol=1e-6, atol=1e-6 * float(alone.abs().max())
            )

    def test_can_be_used_again_moved_and_sent_to_loader_processes(self, frontend: FrontEnd) -> None:
        waveforms = frontend.waveform(noise_clip(2_000))[None]
        before, first = waveforms.clone(), frontend(waveforms).clone()
        applied(frontend, noise_clip(3_000, seed=1))
        # on some systems processes are started anew and get a pickled copy
        copy = pickle.loads(pickle.dumps(frontend))
        assert torch.equal(frontend(waveforms), first)
        assert torch.equal(copy(waveforms), first)
        assert torch.equal(waveforms, before)
        moved = copy.to("meta")(torch.empty(2, 2_000, device="meta"))
        assert moved.device.type == "meta"
        assert moved.shape[1:] == first.shape[1:]
        assert frontend.state_dict() == {}, "adds nothing to a checkpoint"
        assert list(frontend.parameters()) == []

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_gpu_equals_cpu(self, frontend: FrontEnd) -> None:
        waveforms = frontend.waveform(noise_clip(48_000))[None]
        expected = frontend(waveforms)
        found = pickle.loads(pickle.dumps(frontend)).cuda()(waveforms.cuda()).cpu()
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * scale)

    def test_mixed_precision_leaves_it_alone(self, frontend: FrontEnd) -> None:
        waveforms = torch.stack([frontend.waveform(noise_clip(3_000, seed=n)) for n in range(2)])
        localizer = Localizer(
            Echo(),
            name="echo",
            transform=ImageTransform(size=8),
            frontends={POSITIVE: frontend},
            precision="bf16-mixed",
        )
        with torch.autocast("cpu", torch.bfloat16):  # as Lightning has it around a step
            found = localizer.encode_audio(waveforms, POSITIVE)
        assert found.dtype == torch.float32
        assert torch.equal(found, frontend(waveforms))


class Echo(LocalizationModel):
    """Its audio vectors are what its front end gives."""

    map_size = (7, 7)
    value_range = (0.0, 1.0)

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs


def golden_inputs(
    shared: Path, dataset: str, model: str, frontends: Mapping[str, FrontEnd], length: int
) -> dict[str, torch.Tensor]:
    """What the front ends make of the clips, noise and silence behind the golden tensors."""
    facts: dict[str, Any] = json.loads(
        (shared / "golden" / "dev" / dataset / model / "preprocessing.json").read_text()
    )
    bank = np.load(shared / "golden" / "noise_bank.npy")[None, :length].astype(np.float32)
    clips = {"noise": AudioClip(bank), "silence": silent_clip(length)}
    for sample_id in facts["samples"]:
        for condition in (POSITIVE, "offscreen"):
            clip = golden_clip(shared, dataset, sample_id, condition)
            clips[f"{sample_id}/{condition}"] = clip
    return {
        key: applied(frontends.get(key.split("/")[-1], frontends[POSITIVE]), clip)
        for key, clip in clips.items()
    }


@pytest.mark.parametrize("dataset", ["vggss_mini", "is3_mini"])
class TestReleased:
    @pytest.mark.parametrize("model", ["ezvsl", "slavc", "fnac", "lvs", "sslalign", "ssltie"])
    def test_gives_the_authors_tensors(self, shared: Path, model: str, dataset: str) -> None:
        config = run_settings(f"model={model}", "protocol=released")
        length = made_length(config)
        assert length is not None
        made = golden_inputs(shared, dataset, model, build_frontends(config, CONDITIONS), length)

        with np.load(shared / "golden" / "dev" / dataset / model / "preprocessing.npz") as golden:
            assert set(golden) == set(made)
            for key, expected in golden.items():
                found = made[key].numpy()
                if expected.min() >= 0:
                    # linear power, of noise about 1e-5 (SSL-TIE 1): relative to its mean
                    assert key in CONDITIONS
                    bound: Any = {"rtol": 1e-5, "atol": 1e-6 * expected.mean()}
                else:  # SSL-TIE: in dB, down to -100
                    bound = {"rtol": 0, "atol": 3e-5 if model == "ssltie" else 3e-6}
                np.testing.assert_allclose(found, expected, **bound, err_msg=key)

    def test_rcgrads_audio_vectors(
        self, shared: Path, seeded_checkpoint: Callable[..., Path], dataset: str
    ) -> None:
        config = run_settings("model=rcgrad", "protocol=released")
        (frontend,) = build_frontends(config, CONDITIONS).values()
        model = RCGrad(standardization="released").eval()
        load_weights(model, seeded_checkpoint("rcgrad"))

        golden = shared / "golden" / "dev" / dataset / "rcgrad" / "preprocessing.npz"
        with np.load(golden) as arrays, torch.inference_mode():
            for (n, sample_id), condition in product(enumerate(arrays["ids"]), EVERYONE):
                heard = golden_clip(shared, dataset, sample_id, condition, model="rcgrad")
                found = model.encode_audio(applied(frontend, heard)[None])[0]
                expected = arrays[f"audio_embedding_{condition}"][n]
                np.testing.assert_allclose(
                    found, expected, rtol=0, atol=2e-5 * np.abs(expected).max(),
                    err_msg=f"{sample_id} {condition}",
                )  # fmt: skip


def switched(settings: RunSettings, *switches: str) -> RunSettings:
    """Settings with some switches of the protocol as released."""
    every = {**settings.protocol.switches, **dict.fromkeys(switches, "released")}
    return replace(settings, protocol=replace(settings.protocol, switches=every))


def effective(settings: RunSettings) -> dict[str, torch.Tensor]:
    """What each condition's network input becomes for a clip on which all choices show."""
    # stereo, clipped, longer than every window and not in its middle
    clip = noise_clip(170_001, channels=2, level=2.0)
    frontends = build_frontends(settings, CONDITIONS)
    inputs = {name: applied(frontend, clip) for name, frontend in frontends.items()}
    return {condition: inputs.get(condition, inputs[POSITIVE]) for condition in EVERYONE}


# what the released code does otherwise, by switch of the protocol: model -> conditions
MADE = {"silence", "noise"}
RELEASED: dict[str, dict[str, set[str]]] = {
    "positive_window": {"fnac": {POSITIVE}},
    "offscreen_window": {"ezvsl": {"offscreen"}, "slavc": {"offscreen"}, "fnac": {"offscreen"}},
    "log_missing": {"ezvsl": MADE, "slavc": MADE, "fnac": MADE, "ssltie": MADE},
    "made_audio": {
        "ezvsl": MADE, "slavc": MADE, "fnac": MADE, "lvs": MADE, "sslalign": MADE, "ssltie": MADE,
    },
}  # fmt: skip
MADE_LENGTH = {
    **dict.fromkeys(("ezvsl", "slavc", "ssltie"), 160_000),
    **dict.fromkeys(("fnac", "lvs", "sslalign"), 48_000),
}


@pytest.mark.parametrize("model", models_that_hear())
def test_each_switch_changes_its_own_conditions_alone(model: str) -> None:
    corrected = run_settings(f"model={model}")
    assert list(build_frontends(corrected, CONDITIONS)) == [POSITIVE]
    # so silence and noise are as long as the image's own clip
    assert made_length(corrected) is None
    every = switched(corrected, *RELEASED)
    other = set.union(*(switch.get(model, set()) for switch in RELEASED.values()))
    assert set(build_frontends(every, CONDITIONS)) == other | {POSITIVE}
    usual = effective(corrected)
    if not other:
        assert all(torch.equal(each, usual[name]) for name, each in effective(every).items())
        return
    for switch, released in RELEASED.items():
        settings = switched(corrected, switch)
        found = effective(settings)
        changed = {c for c in EVERYONE if not torch.equal(usual[c], found[c])}
        assert changed == released.get(model, set())
        length = made_length(settings)
        assert length == (MADE_LENGTH.get(model) if switch == "made_audio" else None)


WIDTHS = {"ezvsl": 200, "slavc": 200, "fnac": 200, "lvs": 299, "sslalign": 299, "ssltie": 670}


@pytest.mark.parametrize(("model", "width"), WIDTHS.items())
def test_every_clip_length_gives_one_shape(model: str, width: int) -> None:
    frontend = build_frontends(run_settings(f"model={model}"), ())[POSITIVE]
    for count in (12_000, 19_286, 160_000, 200_001):
        assert applied(frontend, noise_clip(count)).shape == (1, 257, width)


def test_models_without_audio_have_no_frontend() -> None:
    config = run_settings("model=center", "protocol=released")
    assert build_frontends(config, CONDITIONS) == {}
    assert made_length(config) is None


@pytest.mark.parametrize(
    ("model", "protocol"),
    [("ezvsl", "released"), ("fnac", "released"), ("lvs", "released"), ("ssltie", "corrected"),
     ("rcgrad", "corrected")],
)  # fmt: skip
def test_the_least_length_of_a_clip_is_what_the_window_needs(model: str, protocol: str) -> None:
    config = run_settings(f"model={model}", f"protocol={protocol}")
    for frontend in build_frontends(config, CONDITIONS).values():
        least = frontend.least_samples()
        assert applied(frontend, silent_clip(least)).isfinite().all()
        if least > 1:
            with pytest.raises(UsageError, match="Expected a window of at least"):
                frontend.waveform(silent_clip(least - 1))


def test_the_least_length_of_a_window_of_ones_own() -> None:
    def later(clip: AudioClip) -> np.ndarray:
        return clip.samples[0, 1000:] / clip.samples.shape[1]

    def fails(clip: AudioClip) -> np.ndarray:
        raise RuntimeError("never")

    assert RawWaveform(later, shortest=257).least_samples() == 1257
    assert LogSpectrogram(later).least_samples() == 1512
    assert RawWaveform(fails).least_samples() == 1

"""Sounds that are made of a clip, and coloured noise: against formulas and numpy, one by one."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import run
from tests.reference.samples import make_sample, unheard
from tests.reference.windows import center_window, middle_window, span_window
from vssl.audio import CenterWindow, MiddleWindow, SpanWindow, WholeClip
from vssl.config import networks
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.data.is3 import IS3
from vssl.negatives.base import AudioCondition
from vssl.negatives.colours import Colour, coloured_noise
from vssl.negatives.gain import Gain, beyond_full_scale
from vssl.negatives.gain import levels as gain_levels
from vssl.negatives.mixed import Mixed
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.negatives.swapped import Swapped
from vssl.types import POSITIVE, AudioClip, AudioRequest, Sample

COLOURS = get_args(Colour)
SLOPES = {"white": 0.0, "pink": -3.01, "brown": -6.02}
SAMPLE = make_sample("a", "dog", length=8000)


def clip_of(
    seed: int = 0, *, channels: int = 1, length: int = 8000, level: float = 0.1
) -> AudioClip:
    samples = level * np.random.default_rng(seed).standard_normal((channels, length))
    return AudioClip(samples.astype(np.float32))


def made(
    condition: AudioCondition, clip: AudioClip | None = None, sample: Sample = SAMPLE, *,
    draw: int = 0, length: int = 8000, seed: int = 0,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """What a condition plays to a sample, `[channels, T]`."""
    request = condition.request(sample, draw=draw, seed=seed, length=length)
    found = condition.make(request, unheard if clip is None else lambda _: clip)
    assert found.samples.dtype == np.float32
    assert found.rate == 16_000
    return found.samples


def decibels(waveform: npt.NDArray[Any]) -> float:
    """RMS of a waveform in dB relative to 1."""
    return 10 * float(np.log10(np.mean(waveform.astype(np.float64) ** 2)))


class TestColours:
    @pytest.mark.parametrize(
        ("colour", "rate"),
        [*((colour, 16_000) for colour in COLOURS), ("pink", 11_025), ("brown", 22_050)],
    )
    def test_spectrum_falls_by_octaves(self, colour: Colour, rate: int) -> None:
        noise = coloured_noise(np.random.default_rng(1), 100 * rate, colour, rate)
        frequency, power = scipy.signal.welch(noise, rate, nperseg=rate)
        lows = 2 ** np.arange(np.log2(60), np.log2(rate / 4), 1.0)
        octaves = [(low, min(2 * low, rate / 4), 0.5) for low in lows]
        # each octave for itself too, so that no bend hides in a fitted line
        for low, high, tolerance in (*octaves, (60, rate / 4, 0.1)):
            band = (frequency >= low) & (frequency <= high)
            slope, _ = np.polyfit(np.log2(frequency[band]), 10 * np.log10(power[band]), 1)
            assert slope == pytest.approx(SLOPES[colour], abs=tolerance), low

    @pytest.mark.parametrize("colour", ["pink", "brown"])
    def test_variance_is_one(self, colour: Colour) -> None:
        found = [coloured_noise(np.random.default_rng(s), 160_000, colour).var() for s in range(30)]
        error = np.std(found) / np.sqrt(len(found))
        assert np.mean(found) == pytest.approx(1, abs=5 * error)
        assert error < 0.03

    @pytest.mark.parametrize("colour", ["pink", "brown"])
    def test_it_is_steady_from_the_first_sample_on(self, colour: Colour) -> None:
        first = [coloured_noise(np.random.default_rng(s), 1, colour)[0] for s in range(1000)]
        assert np.var(first) == pytest.approx(1, abs=4 * np.sqrt(2 / 1000))

    @given(
        colour=st.sampled_from(COLOURS),
        lengths=st.tuples(st.integers(1, 500), st.integers(1, 500)),
        draw=st.integers(0, 9),
        loudness=st.sampled_from([{}, {"level": 0.3}, {"dbfs": -20.0}]),
    )
    def test_the_shorter_begins_the_longer(
        self, colour: Colour, lengths: tuple[int, int], draw: int, loudness: dict[str, float]
    ) -> None:
        condition = Noise(colour=colour, **loudness)
        short, long = (made(condition, draw=draw, length=n) for n in sorted(lengths))
        np.testing.assert_array_equal(short, long[:, : short.shape[1]])


class TestNoise:
    @pytest.mark.parametrize("per", ["draw", "sample"])
    def test_defaults_are_what_they_were(self, per: Any) -> None:
        for draw, level in ((0, None), (3, 0.5)):
            key = "a" if per == "sample" else ""
            expected = generator_for(7, "noise", key, draw).standard_normal(999) * (level or 1.0)
            found = made(Noise(per=per, level=level), draw=draw, length=999, seed=7)
            np.testing.assert_array_equal(found, expected.astype(np.float32)[None])

    def test_a_stereo_file_is_one_draw(self, tmp_path: Path) -> None:
        both, path = np.random.default_rng(0).uniform(-1, 1, (50, 2)), tmp_path / "bank.wav"
        soundfile.write(path, both, 16_000, subtype="FLOAT")
        noise = Noise(file=str(path))
        assert noise.draws == 1
        np.testing.assert_allclose(made(noise, length=50), [both.mean(axis=1)], atol=1e-6)

    def test_level_relative_to_full_scale(self) -> None:
        quiet, loud = made(Noise(dbfs=-20), length=100), made(Noise(), length=100)
        np.testing.assert_allclose(quiet, loud / 10, rtol=1e-6)
        assert decibels(made(Noise(dbfs=-12), length=160_000)) == pytest.approx(-12, abs=0.1)

    @given(
        snr=st.floats(-40, 40), colour=st.sampled_from(COLOURS), channels=st.integers(1, 2),
        per=st.sampled_from(["draw", "sample"]), draw=st.integers(0, 3),
    )  # fmt: skip
    def test_ratio_to_the_sample_s_own_clip(
        self, snr: float, colour: Colour, channels: int, per: Any, draw: int
    ) -> None:
        clip = clip_of(channels=channels)
        noise = made(Noise(snr=snr, colour=colour, per=per), clip, draw=draw)
        assert noise.shape == (1, 8000)
        ratio = decibels(clip.samples.mean(axis=0)) - decibels(noise)
        assert ratio == pytest.approx(snr, abs=1e-4)

    def test_with_a_ratio_a_draw_s_noise_is_shared_but_for_its_loudness(self) -> None:
        condition, samples = Noise(snr=0, draws=2), [make_sample(name, "dog") for name in "ab"]
        soft, loud = clip_of(level=0.1), clip_of(level=0.2)
        one, two = made(condition, soft, samples[0]), made(condition, loud, samples[1])
        np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
        own = Noise(snr=0, per="sample")
        one, two = (made(own, soft, sample) for sample in samples)
        assert abs(np.corrcoef(one[0], two[0])[0, 1]) < 0.1

    def test_from_a_file(self, tmp_path: Path) -> None:
        bank = np.random.default_rng(0).uniform(-3, 3, (2, 8000)).astype(np.float32)
        np.save(tmp_path / "bank.npy", bank)
        file = str(tmp_path / "bank.npy")
        np.testing.assert_array_equal(made(Noise(file=file, level=0.2), draw=1)[0], bank[1])
        assert decibels(made(Noise(file=file, dbfs=-30), draw=1)) == pytest.approx(-30, abs=1e-4)
        clip, beside = clip_of(), Noise(file=file, snr=6)
        noise = made(beside, clip, draw=1)
        assert decibels(clip.samples) - decibels(noise) == pytest.approx(6, abs=1e-4)
        np.testing.assert_allclose(noise[0] / noise[0, 0], bank[1] / bank[1, 0], rtol=1e-4)
        request = beside.request(SAMPLE, draw=1, seed=5, length=8000)
        assert request == AudioRequest("noise", source_id="a", length=8000, draw=1)
        np.save(tmp_path / "bank.npy", np.zeros(100, np.float32))
        for silent in (Noise(file=file, dbfs=-20), Noise(file=file, snr=0)):
            assert not made(silent, clip).any()


class TestMixed:
    @given(
        snr=st.floats(-20, 20), colour=st.sampled_from(COLOURS), channels=st.integers(1, 2),
        length=st.integers(2, 3000), draw=st.integers(0, 5),
    )  # fmt: skip
    def test_ratio_and_length(
        self, snr: float, colour: Colour, channels: int, length: int, draw: int
    ) -> None:
        clip = clip_of(channels=channels, length=length)
        # what is asked for is the length of made sounds, which this is not
        found = made(Mixed(snr=snr, colour=colour), clip, draw=draw, length=7)
        assert found.shape == clip.samples.shape
        noise = found.astype(np.float64) - clip.samples
        np.testing.assert_allclose(noise, noise[:1].repeat(channels, 0), atol=1e-6)
        ratio = decibels(clip.samples.mean(axis=0)) - decibels(noise)
        assert ratio == pytest.approx(snr, abs=1e-4)

    def test_samples_share_the_noise_of_a_draw(self) -> None:
        found = made(Mixed(), clip_of(), make_sample("b", "cat"))
        np.testing.assert_array_equal(found, made(Mixed(), clip_of()))

    def test_nothing_is_clipped(self) -> None:
        assert np.abs(made(Mixed(snr=-30), clip_of(level=0.5))).max() > 10

    def test_digital_silence_stays_silent_and_is_said_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        silent = AudioClip(np.zeros((1, 100), np.float32))
        condition = Mixed(draws=3)
        with caplog.at_level(logging.WARNING):
            for draw in range(3):
                assert not made(condition, silent, draw=draw).any()
        (record,) = caplog.records
        assert "negatives.mixed.snr: the clip of a is digital silence" in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Noise, {"level": 1.0, "dbfs": -20}, "level and dbfs are given.*one of level"),
        (Noise, {"snr": float("inf")}, "`negatives.noise.snr` to be a finite number, but got inf"),
        (Noise, {"dbfs": "loud"}, "`negatives.noise.dbfs` to be a finite number, but got 'loud'"),
        (Noise, {"level": 0}, "`negatives.noise.level` to be greater than 0"),
        (Noise, {"per": "image"}, "`negatives.noise.per` to be one of draw, sample"),
        (Noise, {"colour": "blue"}, "`negatives.noise.colour` to be one of white, pink, brown"),
        (Noise, {"colour": "pink", "file": "x.npy"}, "noise.colour=pink: .*leave one of"),
        (Mixed, {"over": "model"}, "mixed.over` to be one of window, clip"),
        (Mixed, {"colour": "grey"}, "`negatives.mixed.colour` to be one of white, pink, brown"),
        *(
            (kind, {"draws": draws}, f"`draws` to be at least 1, but got {draws}")
            for kind in (Noise, Offscreen, Mixed, Swapped)
            for draws in (0, -1)
        ),
    ],
)
def test_bad_options(kind: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kind(**options)


HEARD = {
    "lvs": (
        SpanWindow(seconds=2.0, start=0.5, stop=1.1),
        partial(span_window, seconds=2.0, start=0.5, stop=1.1),
    ),
    "ezvsl": (
        MiddleWindow(seconds=0.4, full_scale=32767),
        partial(middle_window, seconds=0.4, full_scale=32767),
    ),
    "fnac": (CenterWindow(seconds=0.3), partial(center_window, seconds=0.3)),
    "rcgrad": (WholeClip(), lambda samples, rate: samples.mean(axis=0)),
}


def uneven(level: float) -> AudioClip:
    """Two channels whose loudness rises, so that the whole clip is no measure of a part."""
    rise = np.linspace(0.05, 1, 1500) ** 2
    samples = level * rise * np.random.default_rng(3).uniform(-1, 1, (2, 1500))
    return AudioClip(samples.astype(np.float32))


class TestHeardRatio:
    """References cut the clip and the noise themselves, one sample at a time."""

    @pytest.mark.parametrize("model", HEARD)
    @pytest.mark.parametrize("snr", [-12.0, 25.0])
    @pytest.mark.parametrize("kind", ["mixed", "brown", "file", "released"])
    def test_in_the_window(self, model: str, snr: float, kind: str, tmp_path: Path) -> None:
        window, reference = HEARD[model]
        np.save(tmp_path / "bank.npy", np.random.default_rng(1).uniform(-9, 9, 5000))
        options: dict[str, Any] = {
            "brown": {"colour": "brown"}, "file": {"file": str(tmp_path / "bank.npy")},
        }.get(kind, {})  # fmt: skip
        condition = (Mixed if kind == "mixed" else Noise)(snr=snr, over="window", **options)
        condition.hear(window, WholeClip() if kind == "released" else window)
        clip = uneven(1e-3)
        noise = made(condition, clip, length=1500).astype(np.float64)
        noise -= clip.samples if kind == "mixed" else 0
        own = reference(clip.samples.astype(float), 16_000)
        heard = noise[0] if kind == "released" else reference(noise, 16_000)
        assert decibels(own) - decibels(heard) == pytest.approx(snr, abs=1e-3)

    def test_it_is_that_before_clipping(self) -> None:
        """A loud clip and its noise are in proportion, though the window clips both."""
        soft, loud = (uneven(level) for level in (1e-3, 30.0))
        condition = Mixed(snr=-10, over="window")
        condition.hear(HEARD["lvs"][0], HEARD["lvs"][0])
        one, two = (made(condition, clip) - clip.samples for clip in (soft, loud))
        np.testing.assert_allclose(two, 3e4 * one, rtol=1e-4, atol=1e-3)

    def test_over_the_clip_windows_do_not_matter(self) -> None:
        plain, told = Mixed(snr=3, over="clip"), Mixed(snr=3, over="clip")
        told.hear(*(HEARD["lvs"][0],) * 2)
        np.testing.assert_array_equal(made(plain, uneven(0.1)), made(told, uneven(0.1)))

    def test_silence_in_what_is_heard(self, caplog: pytest.LogCaptureFixture) -> None:
        samples = np.ones((1, 40_000), np.float32)
        samples[:, 8_000:17_600] = 0
        condition = Mixed(over="window")
        condition.hear(*(HEARD["lvs"][0],) * 2)
        np.testing.assert_array_equal(made(condition, AudioClip(samples)), samples)
        assert "negatives.mixed.snr: the clip of a is digital silence" in caplog.text


class TestGain:
    def test_levels_are_exact(self) -> None:
        levels = [-20, -6.5, 0, 20]
        condition, clip = Gain(decibels=levels), clip_of(level=0.4, channels=2)
        assert condition.draws == 4
        for draw, level in enumerate(levels):
            found = made(condition, clip, draw=draw)
            np.testing.assert_allclose(found, clip.samples * 10 ** (level / 20), rtol=2e-7)
        np.testing.assert_array_equal(made(condition, clip, draw=2), clip.samples)
        assert np.abs(made(condition, clip, draw=3)).max() > 4  # not clipped

    @pytest.mark.parametrize(
        ("levels", "message"),
        [
            ([], r"`negatives.gain.decibels` to be a list of levels in dB.*but got \[\]"),
            (-10, r"`negatives.gain.decibels` to be a list of levels in dB.*but got -10"),
            ("-10", r"`negatives.gain.decibels` to be a list of levels in dB"),
            (None, r"`negatives.gain.decibels` to be a list of levels in dB"),
            ([3, float("nan")], r"`negatives.gain.decibels` to be a finite number, but got nan"),
            ([3, -3, 3.0], r"different levels in `negatives.gain.decibels`"),
        ],
    )
    def test_bad_options(self, levels: Any, message: str) -> None:
        for kind in (Gain, gain_levels):
            with pytest.raises(UsageError, match=message):
                kind(decibels=levels)

    def test_each_level_is_a_condition(self) -> None:
        found = gain_levels(decibels=[-20, -6.5, 0, 10])
        assert [(each.name, each.draws) for each in found] == [
            ("gain_down20", 1), ("gain_down6.5", 1), ("gain_0", 1), ("gain_up10", 1),
        ]  # fmt: skip
        clip, together = clip_of(), Gain(decibels=[-20, -6.5, 0, 10])
        for draw, each in enumerate(found):
            np.testing.assert_array_equal(made(each, clip), made(together, clip, draw=draw))
            assert not {"-", "+"} & set(each.name)  # which stand between names of conditions
            assert each.request(SAMPLE, draw=0, seed=1, length=5).condition == each.name

    def test_what_is_beyond_full_scale_is_counted(self, tmp_path: Path) -> None:
        heights = {"a": [0.05, -0.2, 0.5, -0.9], "b": [0.0, 0.05], "c": [[0.4, 0.01]] * 2}
        samples = []
        for name, values in heights.items():
            soundfile.write(tmp_path / f"{name}.wav", values, 16_000, subtype="FLOAT")
            samples.append(replace(make_sample(name, "dog"), audio_path=tmp_path / f"{name}.wav"))
        found = beyond_full_scale(
            [Silence(), *gain_levels(decibels=[-20, 10, 20]), Gain(decibels=[1, 2])], samples
        )
        # above 10, 0.316 and 0.1, of 4 + 2 + 4 values in 3 clips
        assert found == {
            "gain_down20": {"samples": 0, "clips": 0},
            "gain_up10": {"samples": pytest.approx(4 / 10), "clips": pytest.approx(2 / 3)},
            "gain_up20": {"samples": pytest.approx(5 / 10), "clips": pytest.approx(2 / 3)},
        }
        assert beyond_full_scale([Silence()], samples) == {}


def picture(number: int, *categories: str) -> list[Sample]:
    """Samples of one picture, each with a class."""
    return [
        replace(make_sample(f"{number}{k}", category, categories), image_group=f"p{number}")
        for k, category in enumerate(categories)
    ]


class TestSwapped:
    @given(order=st.permutations(range(4)), seed=st.integers(0, 5))
    def test_of_several_it_is_any_other_class(self, order: list[int], seed: int) -> None:
        samples = picture(0, "dog", "dog", "bell", "train")
        usual, shuffled = Swapped(draws=60), Swapped(draws=60)
        usual.prepare(samples)
        shuffled.prepare([samples[n] for n in order])
        chosen = Counter[str]()
        for draw in range(60):
            one, two = (
                each.request(samples[0], draw=draw, seed=seed, length=9)
                for each in (usual, shuffled)
            )
            assert one == two
            chosen[one.source_id] += 1
            # the partner's positive, so that nothing new is encoded
            assert one == AudioRequest(POSITIVE, source_id=one.source_id)
        assert set(chosen) == {"02", "03"}

    def test_a_sample_without_partner_is_refused(self) -> None:
        samples = [*picture(0, "dog", "bell"), *picture(1, "bell"), *picture(2, "dog", "dog")]
        message = r"negatives.swapped: 3 of 5 samples have no partner.*e\.g\. 10\. Leave swapped"
        with pytest.raises(UsageError, match=message):
            Swapped().prepare(samples)
        # the own sound under another class is no partner
        one, two = picture(0, "dog", "bell")
        with pytest.raises(UsageError, match="2 of 2 samples have no partner"):
            Swapped().prepare([one, replace(two, audio_path=one.audio_path)])


def test_a_run_without_partners_ends_before_any_network(
    is3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of a test set tells; a set of half pairs is not told to use what it is."""
    path = is3_folder / "IS3_annotation.json"
    path.write_text(json.dumps(json.loads(path.read_text())[::2]))
    monkeypatch.setattr(networks, "build_model", lambda *_: pytest.fail("a network was made"))
    monkeypatch.setattr(IS3, "check", lambda _: pytest.fail("files were read"))
    with pytest.raises(UsageError, match="3 of 3 samples have no partner") as caught:
        run(tmp_path / "run", "model=random", "data=is3", f"data.root={is3_folder}",
            "negatives=[swapped]")  # fmt: skip
    assert "data=is3" not in str(caught.value)

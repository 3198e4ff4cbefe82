"""AVSBench-Robust's negatives: its noise byte by byte, and which clips are offscreen."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy

from tests.helpers.running import run_settings
from tests.reference.samples import make_sample, unheard
from vssl.config.build import build_conditions
from vssl.core.errors import UsageError
from vssl.negatives.avsbench_robust import OffscreenGroup, ReleasedNoise, released_noise
from vssl.testing import check_negative
from vssl.types import AudioRequest, Sample

GROUPS = {
    **dict.fromkeys(("playing_piano", "playing_violin"), "music"),
    **dict.fromkeys(("baby_laughter", "male_speech"), "human"),
    **dict.fromkeys(("cat_meowing", "lions_roaring"), "animal"),
    **dict.fromkeys(("race_car", "helicopter"), "device"),
}
DRAWN = {
    "music": {"animal", "device"},
    "human": {"animal", "device"},
    "animal": {"music", "device"},
    "device": {"music", "human", "animal"},
}
SAMPLES = [make_sample(f"{name}_{n}", name) for name in GROUPS for n in range(3)]


def released() -> tuple[ReleasedNoise, OffscreenGroup]:
    """The noise and the offscreen audio of the configuration."""
    conditions = build_conditions(run_settings("negatives=avsbench_robust"))
    silence, noise, offscreen = conditions
    assert [each.name for each in conditions] == ["silence", "noise", "offscreen"]
    assert silence.draws == 1
    assert isinstance(noise, ReleasedNoise)
    assert isinstance(offscreen, OffscreenGroup)
    return noise, offscreen


def test_the_noise_is_the_bytes_of_other_numbers() -> None:
    numbers = np.random.default_rng(7).uniform(-1, 1, 5 * 44_100)
    words = struct.unpack(f"<{4 * len(numbers)}h", struct.pack(f"<{len(numbers)}d", *numbers))
    found = released_noise(np.random.default_rng(7), 20 * 44_100)
    np.testing.assert_array_equal(found, np.array(words) / 2**15)
    fourth = found.reshape(-1, 4)
    assert scipy.stats.kstest(fourth[:, :3].ravel(), "uniform", (-1, 2)).pvalue > 0.01
    middle = np.abs(np.abs(fourth[:, 3]) - 0.5)
    assert np.quantile(middle, 0.9) < 0.06  # the sign and the exponent of most numbers
    assert found.std() == pytest.approx(0.3125**0.5, abs=0.01)


def test_the_noise_at_16_khz() -> None:
    noise = ReleasedNoise(draws=2)
    check_negative(noise)
    check_negative(ReleasedNoise(draws=2, per="draw"))
    first, other = (noise.request(s, draw=0, seed=1, length=8_000) for s in SAMPLES[:2])
    assert first != other
    short = noise.make(first, unheard).samples[0]
    long = noise.make(AudioRequest("noise", first.source_id, 16_000, first.seed), unheard).samples
    np.testing.assert_array_equal(long[0, :8_000], short)
    density = scipy.signal.welch(long[0].astype(float), 16_000)[1]
    assert density[5:100].std() / density[5:100].mean() < 0.3  # flat
    expected = (0.3125 * 16 / 44.1) ** 0.5  # what is below 8 kHz
    assert long.std() == pytest.approx(expected, rel=0.05)


def test_offscreen_clips_are_of_another_group() -> None:
    offscreen = OffscreenGroup(
        groups=GROUPS, avoid={"music": ["human"], "human": ["music"], "animal": ["human"]}, draws=60
    )
    offscreen.prepare(SAMPLES)
    for sample in SAMPLES:
        drawn = Counter(
            offscreen.request(sample, draw=draw, seed=0, length=0).source_id.rpartition("_")[0]
            for draw in range(60)
        )
        groups = DRAWN[GROUPS[sample.category]]
        assert set(drawn) == {name for name, group in GROUPS.items() if group in groups}
        assert max(drawn.values()) <= 4 * min(drawn.values()) + 20


def test_the_frames_of_a_video_meet_one_sound() -> None:
    frames = [
        replace(make_sample(f"{name}_{n}", name), audio_path=Path(f"{name}.wav"))
        for name in GROUPS
        for n in range(5)
    ]
    for condition in (OffscreenGroup(groups=GROUPS, draws=5), ReleasedNoise(draws=5)):
        condition.prepare(frames)
        for draw in range(5):
            met = {
                name: {condition.request(s, draw=draw, seed=0, length=9) for s in frames
                       if s.category == name}
                for name in GROUPS
            }  # fmt: skip
            assert all(len(requests) == 1 for requests in met.values())
            assert len(set().union(*met.values())) > 1


def test_the_configuration_has_the_classes_of_s4(shared: Path) -> None:
    _, offscreen = released()
    table = shared / "data" / "avsbench" / "Single-source" / "s4_meta_data.csv"
    names = {line.split(",")[2] for line in table.read_text(encoding="utf-8").splitlines()[1:]}
    samples = [make_sample(name, name) for name in sorted(names)]
    offscreen.prepare(samples)
    of = {s.category: {offscreen.request(s, draw=0, seed=n, length=0).source_id for n in range(40)}
          for s in samples}  # fmt: skip
    assert of["female_singing"] <= names - {"playing_violin", "playing_glockenspiel"}
    assert of["cat_meowing"] <= names - {"female_singing", "horse_clip-clop", "cat_meowing"}
    assert "female_singing" in of["typing_on_computer_keyboard"]


def test_a_table_gives_a_class_several_groups(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("class,group\na,music\na,human\nb,animal\nc,device\nd,human\n")
    offscreen = OffscreenGroup(groups=GROUPS, table=str(table), avoid={"music": ["animal"]})
    samples = [make_sample(name, name) for name in "abcd"]
    offscreen.prepare(samples)
    drawn = {offscreen.request(samples[0], draw=n, seed=0, length=0).source_id
             for n in range(20)}  # fmt: skip
    assert drawn == {"c"}


@pytest.mark.parametrize(
    ("options", "samples", "message"),
    [
        ({"groups": {"a": "x"}}, "ab", "lacks 1 classes of the test set, e.g. b"),
        ({"groups": {"a": "x", "b": "x"}}, "ab", "for 2 images the test set has no class"),
        ({"table": "nowhere.csv"}, "ab", "no such file"),
        ({"table": __file__}, "ab", "(lacks the columns|not readable as a csv)"),
    ],
)
def test_what_cannot_be_used_is_named(
    options: dict[str, object], samples: str, message: str
) -> None:
    listed: list[Sample] = [make_sample(name, name) for name in samples]
    with pytest.raises(UsageError, match=message):
        OffscreenGroup(**options).prepare(listed)  # type: ignore[arg-type]

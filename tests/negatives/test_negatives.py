"""Audio conditions one by one: what they draw, and what they make."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import run_settings
from tests.reference.samples import make_sample, unheard
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.negatives.base import Positive
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.types import AudioClip, Sample

# five classes of very different size
SAMPLES = [
    make_sample(f"{category}{number}", category)
    for category, count in (("dog", 1), ("bell", 2), ("train", 12), ("rain", 4), ("cat", 1))
    for number in range(count)
]


def requests(condition: Noise | Offscreen, samples: list[Sample], seed: int = 0) -> dict:
    return {
        (sample.sample_id, draw): condition.request(sample, draw=draw, seed=seed, length=100)
        for sample in samples
        for draw in range(condition.draws)
    }


def test_draws_are_the_same_on_every_machine() -> None:
    # fixed numbers: a change of the generator changes every recorded run
    digest = hashlib.sha256(b"(0, 'dog', 'offscreen', 3)").digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
    found = generator_for(0, "dog", "offscreen", 3)
    assert found.integers(10**9, size=5).tolist() == expected.integers(10**9, size=5).tolist()


class TestOffscreen:
    @given(
        order=st.permutations(SAMPLES),
        asked=st.sets(st.sampled_from(SAMPLES), min_size=1),
        seed=st.integers(0, 3),
    )
    def test_order_and_subset_do_not_matter(
        self, order: list[Sample], asked: set[Sample], seed: int
    ) -> None:
        usual, shuffled = Offscreen(draws=3), Offscreen(draws=3)
        usual.prepare(SAMPLES)
        shuffled.prepare(order)
        everything = requests(usual, SAMPLES, seed)
        for key, request in requests(shuffled, list(asked), seed).items():
            assert request == everything[key]

    def test_other_seeds_and_draws_differ(self) -> None:
        condition = Offscreen(draws=2)
        condition.prepare(SAMPLES)
        first, other = requests(condition, SAMPLES, 0), requests(condition, SAMPLES, 1)
        assert sum(first[key] != other[key] for key in first) > len(first) / 2
        changed = [first[s.sample_id, 0] != first[s.sample_id, 1] for s in SAMPLES]
        assert sum(changed) > len(SAMPLES) / 2

    @given(seed=st.integers(0, 1000))
    def test_never_a_class_in_the_picture(self, seed: int) -> None:
        pairs = [("dog", "bell"), ("bell", "train"), ("rain", "dog"), ("cat", "train")]
        samples = [
            make_sample(f"{a}_{b}_{n}_{sounding}", sounding, (a, b))
            for n, (a, b) in enumerate(pairs)
            for sounding in (a, b)
        ]
        condition = Offscreen(draws=5)
        condition.prepare(samples)
        category = {s.sample_id: s.category for s in samples}
        seen = {s.sample_id: s.image_categories for s in samples}
        positives = {Positive().request(s, draw=0, seed=0, length=0) for s in samples}
        for (sample_id, _), request in requests(condition, samples, seed).items():
            assert category[request.source_id] not in seen[sample_id]
            assert request in positives, "so that nothing new is encoded"

    def test_classes_are_uniform_and_clips_within_them(self) -> None:
        condition = Offscreen(draws=4000)
        condition.prepare(SAMPLES)
        dog = SAMPLES[0]
        chosen = Counter(r.source_id for r in requests(condition, [dog]).values())
        classes = Counter[str]()
        for source, count in chosen.items():
            classes[source.rstrip("0123456789")] += count
        assert set(classes) == {"bell", "train", "rain", "cat"}
        assert scipy.stats.chisquare(list(classes.values())).pvalue > 0.01
        trains = [chosen[f"train{n}"] for n in range(12)]
        assert scipy.stats.chisquare(trains).pvalue > 0.01

    def test_impossible(self) -> None:
        samples = [make_sample("a", "dog", ("dog", "bell")), make_sample("b", "bell", ("bell",))]
        message = r"negatives.offscreen: 1 images hold every class .* \(bell, dog\), .* e\.g\. a\."
        with pytest.raises(UsageError, match=message):
            Offscreen().prepare(samples)


LABELS = "video_id,label,modality"


class TestLabels:
    """Offscreen audio under a table of what is audible and visible."""

    def condition(self, folder: Path, *rows: str, draws: int = 3) -> Offscreen:
        path = folder / "labels.csv"
        path.write_text("\n".join([LABELS, *rows]) + "\n", encoding="utf-8")
        return Offscreen(draws=draws, exclude=str(path))

    def test_counts_on_vggss(self, shared: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Against pandas: which choices the table contests, and that it changes no other."""
        folder = shared / "data" / "vggss_flags"
        flags = pd.read_csv(folder / "vggss_flags.csv")
        table = pd.read_csv(folder / "vggsounder_labels.csv")
        samples = [make_sample(r.file, r["class"]) for _, r in flags.iterrows()]
        heard = table[table["modality"].isin(["A", "AV"])][["video_id", "label"]]
        seen = table[table["modality"].isin(["V", "AV"])][["video_id", "label"]]

        def choices(condition: Offscreen) -> pd.DataFrame:
            condition.prepare(samples)
            return pd.DataFrame(
                [(s, d, r.source_id) for (s, d), r in requests(condition, samples).items()],
                columns=["image", "draw", "clip"],
            )

        def contested(found: pd.DataFrame) -> set[tuple[str, int]]:
            rows = found.merge(heard, left_on="clip", right_on="video_id")
            rows = rows.merge(seen, left_on=["image", "label"], right_on=["video_id", "label"])
            return set(zip(rows["image"], rows["draw"], strict=True))

        plain = choices(Offscreen(draws=1))
        exclude = str(folder / "vggsounder_labels.csv")
        found = choices(Offscreen(draws=1, exclude=exclude))
        before = contested(plain)
        assert 0.02 < len(before) / len(plain) < 0.05
        assert contested(found) == set()
        changed = plain[plain["clip"] != found["clip"]]
        assert set(zip(changed["image"], changed["draw"], strict=True)) == before
        category = dict(zip(flags["file"], flags["class"], strict=True))
        assert (found["clip"].map(category) != found["image"].map(category)).all()
        missing = len(samples) - table["video_id"].nunique()
        assert missing > 0
        assert f"lacks {missing} of {len(samples)} samples, for which the classes" in caplog.text

    def test_an_image_for_which_nothing_is_left(self, tmp_path: Path) -> None:
        samples = [make_sample(name, name) for name in ("dog", "bell", "train")]
        condition = self.condition(tmp_path, "dog,speech,V", "bell,speech,A", "train,speech,AV")
        with pytest.raises(UsageError, match=r"labels\.csv: leaves no clip .* for 1 images.*dog"):
            condition.prepare(samples)

    def test_of_another_test_set(self, tmp_path: Path) -> None:
        condition = self.condition(tmp_path, "elsewhere,dog,AV")
        message = r"labels\.csv: knows none of the 20 samples, e\.g\. not dog0.*offscreen\.exclude"
        with pytest.raises(UsageError, match=message):
            condition.prepare(SAMPLES)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"video_id,label\na,dog\n", "lacks the columns modality of video_id, label, mod"),
            (b"", "lacks the columns video_id, label, modality"),
            (f"{LABELS}\n".encode(), "holds no rows"),
            (f"{LABELS}\na,dog,AV\nb,cat,AVX\n".encode(), "line 3: expected .*A, V, AV.*'AVX'"),
            (f"{LABELS}\na,dog\n".encode(), "line 2: expected .* None"),
            (f"{LABELS}\n,dog,A\n".encode(), "line 2: expected an id"),
            (f'{LABELS}\na,"dog,A\n'.encode(), "not readable as a csv table"),
            (b"\xff\xfe\x00", "not readable as a csv table"),
            (None, "no such file"),
        ],
    )
    def test_bad_tables(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        path = tmp_path / "labels.csv"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            Offscreen(exclude=str(path))
        assert str(caught.value).startswith(str(path))
        assert "negatives.offscreen.exclude" in str(caught.value)

    def test_the_file_is_part_of_what_a_run_is(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.csv"
        found = []
        for text in ("a,dog,A", "a,dog,V"):
            path.write_text(f"{LABELS}\n{text}\n")
            found.append(run_settings(f"negatives.offscreen.exclude={path}").identity)
        assert found[0]["files_sha256"] != found[1]["files_sha256"]
        assert set(found[0]["files_sha256"]) == {"negatives.offscreen.exclude"}
        # without a table, a run is what it was before there were any
        assert "exclude" not in run_settings().identity["negatives"]["offscreen"]


def make_noise(condition: Noise, *, draw: int = 0, length: int) -> AudioClip:
    request = condition.request(SAMPLES[0], draw=draw, seed=0, length=length)
    return condition.make(request, unheard)


class TestNoise:
    @pytest.mark.parametrize("per", ["draw", "sample"])
    def test_waveforms_are_shared_by_samples_or_not(self, per: Literal["draw", "sample"]) -> None:
        condition = Noise(draws=3, per=per)
        made = set(requests(condition, SAMPLES).values())
        assert len(made) == (3 if per == "draw" else 3 * len(SAMPLES))
        assert len({condition.make(each, unheard).samples.tobytes() for each in made}) == len(made)

    @pytest.mark.parametrize("shape", [(70,), (1, 70), (4, 70)])
    def test_from_npy(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        bank = np.random.default_rng(0).standard_normal(shape)
        np.save(tmp_path / "bank.npy", bank)
        condition = Noise(draws=9, file=str(tmp_path / "bank.npy"))
        rows = np.atleast_2d(bank)
        assert condition.draws == len(rows)
        for draw, row in enumerate(rows):
            for length in (10, 70, 200):
                found = make_noise(condition, draw=draw, length=length).samples
                expected = [row[i % 70] for i in range(length)]
                np.testing.assert_allclose(found, [expected], rtol=1e-6)
        every = {r for seed in (0, 1) for r in requests(condition, SAMPLES, seed).values()}
        assert len(every) == len(rows), "one waveform for all samples and seeds"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (np.zeros((2, 3, 4)), r"expected noise as \[T\] or \[draws, T\] numbers.*\[2, 3, 4\]"),
            (np.array(["a", "b"]), r"expected noise as \[T\] or \[draws, T\] numbers, but got <U1"),
            (np.array([1j, 2]), r"expected noise as \[T\] or \[draws, T\] numbers"),
            (np.array([1.0, np.nan]), "holds NaN or infinite values"),
            (np.array([1, None], dtype=object), r"not a \.npy array"),
            (b"", r"not a \.npy array"),
            (b"text, not numbers", r"not a \.npy array"),
            (None, r"no such file \(negatives.noise.file\)"),
        ],
    )
    def test_bad_files(
        self, tmp_path: Path, content: np.ndarray | bytes | None, message: str
    ) -> None:
        path = tmp_path / "bank.npy"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            np.save(path, content, allow_pickle=True)
        with pytest.raises(UsageError, match=f"^{re.escape(str(path))}: {message}"):
            Noise(file=str(path))

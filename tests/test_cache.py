"""Arrays kept on disk: found again, bounded, harmless when damaged, shared without locks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.running import HEARS, Loudness, maps, records, run
from vssl.cache import ArrayCache, Shelf, content_key

ROOM = 1e9
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
# what is encoded and recorded is what counts here
QUICK = ("threshold=fixed", "metrics=pia", "live=[]", "subsets=[]", "bootstrap.resamples=10")


def keys(count: int, first: int = 0) -> list[bytes]:
    return [content_key(str(n).encode()) for n in range(first, first + count)]


def arrays(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def shelf(folder: Path, *facts: object, limit: float = ROOM) -> Shelf:
    return ArrayCache(folder, limit_bytes=limit).shelf("arrays", *facts)


class TestShelf:
    @settings(deadline=None, max_examples=25)
    @given(
        shape=st.lists(st.integers(1, 5), max_size=3).map(tuple),
        flushes=st.lists(st.integers(0, 6), max_size=4),
    )
    def test_what_was_put_is_found_by_the_next(
        self, shape: tuple[int, ...], flushes: list[int], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("cache")
        first, total = shelf(folder), 0
        values = arrays(sum(flushes), *shape)
        for count in flushes:
            first.put(keys(count, total), values[total : total + count])
            first.flush()
            total += count
        second = shelf(folder)
        for key, value in zip(keys(total), values, strict=True):
            found = second.get(key)
            assert found is not None
            np.testing.assert_array_equal(found, value)
        assert second.get(content_key(b"another")) is None

    def test_what_was_got_is_the_callers_own(self, tmp_path: Path) -> None:
        first = shelf(tmp_path)
        first.put(keys(1), np.ones((1, 3), np.float32))
        first.flush()
        second = shelf(tmp_path)
        got = second.get(keys(1)[0])
        assert got is not None
        got[:] = 5
        np.testing.assert_array_equal(second.get(keys(1)[0]), np.ones(3))

    def test_keys_that_end_in_zeros(self, tmp_path: Path) -> None:
        first = shelf(tmp_path)
        odd = [bytes(32), b"\1" * 31 + b"\0", b"\0" + b"\1" * 31]
        first.put(odd, arrays(3, 2))
        first.flush()
        second = shelf(tmp_path)
        for key, value in zip(odd, arrays(3, 2), strict=True):
            np.testing.assert_array_equal(second.get(key), value)

    def test_other_facts_are_another_shelf(self, tmp_path: Path) -> None:
        first = shelf(tmp_path, "lvs", 1)
        first.put(keys(1), arrays(1, 2))
        first.flush()
        assert shelf(tmp_path, "lvs", 1).get(keys(1)[0]) is not None
        for other in (("lvs", 2), ("lvs", "1"), ("lvs",), ("lvs", 1, None)):
            assert shelf(tmp_path, *other).get(keys(1)[0]) is None

    def test_other_precisions_are_not_kept(self, tmp_path: Path) -> None:
        first = shelf(tmp_path)
        first.put(keys(1), np.ones((1, 2)))
        first.flush()
        assert not list(tmp_path.rglob("*.npy"))

    def test_without_a_folder_nothing_is_kept(self) -> None:
        for empty in (Shelf(), ArrayCache(None, limit_bytes=1e9).shelf("arrays")):
            empty.put(keys(1), arrays(1, 2))
            empty.flush()
            assert empty.get(keys(1)[0]) is None


class TestFaults:
    def damaged(self, folder: Path, how: str) -> Path:
        first = shelf(folder)
        first.put(keys(8), arrays(8, 64))
        first.flush()
        (path,) = folder.rglob("*.npy")
        data = bytearray(path.read_bytes())
        if how == "cut":
            data = data[:-100]
        elif how == "cut to nothing":
            data = bytearray()
        elif how == "cut in the header":
            data = data[:20]
        elif how == "other":
            np.save(path, arrays(3, 2))
            return path
        elif how == "one value":
            data[-5] ^= 0x55
        path.write_bytes(bytes(data))
        return path

    @pytest.mark.parametrize("how", ["cut", "cut to nothing", "cut in the header", "other"])
    def test_a_cut_file_is_removed(
        self, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = self.damaged(tmp_path, how)
        again = shelf(tmp_path)
        assert all(again.get(key) is None for key in keys(8))
        assert "damaged cache file" in caplog.text
        assert not path.exists()
        again.put(keys(8), arrays(8, 64))
        again.flush()
        np.testing.assert_array_equal(shelf(tmp_path).get(keys(8)[7]), arrays(8, 64)[7])

    def test_a_changed_value_is_noticed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.damaged(tmp_path, "one value")
        again = shelf(tmp_path)
        np.testing.assert_array_equal(again.get(keys(8)[0]), arrays(8, 64)[0])
        assert again.get(keys(8)[7]) is None
        assert "damaged cache file" in caplog.text
        assert again.get(keys(8)[0]) is None, "nothing of a damaged file is used"
        assert not list(tmp_path.rglob("*.npy"))

    @pytest.mark.parametrize("seed", range(40))
    def test_any_damage_to_the_headers(self, tmp_path: Path, seed: int) -> None:
        path = self.damaged(tmp_path, "not yet")
        data = bytearray(path.read_bytes())
        random = np.random.default_rng(seed)
        for place in random.integers(0, 700, size=2):
            data[place] ^= 1 << random.integers(0, 8)
        path.write_bytes(bytes(data))
        again = shelf(tmp_path)
        for key, value in zip(keys(8), arrays(8, 64), strict=True):
            found = again.get(key)
            assert found is None or np.array_equal(found, value)

    def test_threads_that_meet_damage_at_once(self, tmp_path: Path) -> None:
        self.damaged(tmp_path, "one value")
        again = shelf(tmp_path)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: again.get(keys(8)[7 - n % 8]), range(400)))
        assert found[0] is None

    def test_a_file_cut_short_while_open(self, tmp_path: Path) -> None:
        path = self.damaged(tmp_path, "not yet")
        again = shelf(tmp_path)
        path.write_bytes(path.read_bytes()[:-300])
        assert again.get(keys(8)[7]) is None
        np.testing.assert_array_equal(again.get(keys(8)[0]), arrays(8, 64)[0])

    def test_a_file_removed_while_in_use_is_missing(self, tmp_path: Path) -> None:
        first = shelf(tmp_path)
        first.put(keys(2), arrays(2, 4))
        first.flush()
        second = shelf(tmp_path)
        shutil.rmtree(tmp_path / "arrays")
        assert second.get(keys(2)[1]) is None

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tmp_path.chmod(0o500)
        first = shelf(tmp_path / "cache")
        first.put(keys(1), arrays(1, 2))
        first.flush()
        assert "cannot be written" in caplog.text

    def test_a_file_where_the_folder_should_be(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "cache").write_text("not a folder")
        cache = ArrayCache(tmp_path / "cache", limit_bytes=ROOM)
        for kind in ("one", "two"):
            one = cache.shelf(kind)
            one.put(keys(1), arrays(1, 2))
            one.flush()
        assert caplog.text.count("cannot be written") == 1, "said once"

    def test_a_full_disk(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        first = shelf(tmp_path)
        first.put(keys(1), arrays(1, 2))
        first.flush()
        assert "no room on its disk" in caplog.text
        assert not list(tmp_path.rglob("*.npy"))


class TestSize:
    def fill(self, folder: Path, name: str, *, limit: float, age: float = 0.0) -> Path:
        one = shelf(folder, name, limit=limit)
        before = set(folder.rglob("*.npy"))
        one.put(keys(10), arrays(10, 1000))  # 40 kB
        one.flush()
        (path,) = set(folder.rglob("*.npy")) - before
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        return path

    def test_what_was_not_used_longest_goes(self, tmp_path: Path) -> None:
        limit = 130e3
        oldest = self.fill(tmp_path, "a", limit=limit, age=300)
        older = self.fill(tmp_path, "b", limit=limit, age=200)
        third = self.fill(tmp_path, "c", limit=limit, age=100)
        assert shelf(tmp_path, "a", limit=limit).get(keys(1)[0]) is not None  # a is used again
        fourth = self.fill(tmp_path, "d", limit=limit)
        assert [p.exists() for p in (oldest, older, third, fourth)] == [True, False, True, True]

    def test_a_shelf_larger_than_the_cache_keeps_its_beginning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = shelf(tmp_path, limit=100e3)
        for n in range(5):
            one.put(keys(10, 10 * n), arrays(10, 1000))
            one.flush()
        assert sum(p.stat().st_size for p in tmp_path.rglob("*.npy")) <= 100e3
        assert caplog.text.count("is full (cache.gigabytes=0.0001)") == 1
        assert shelf(tmp_path, limit=100e3).get(keys(1)[0]) is not None

    def test_half_files_of_killed_jobs_go(self, tmp_path: Path) -> None:
        old = self.fill(tmp_path, "a", limit=ROOM).with_name("left.partial")
        new = old.with_name("now.partial")
        for path in (old, new):
            path.write_bytes(b"half")
        os.utime(old, (old.stat().st_mtime - 7200,) * 2)
        self.fill(tmp_path, "b", limit=ROOM)
        assert [old.exists(), new.exists()] == [False, True]


def _writer(folder: Path, seed: int) -> None:
    for turn in range(10):
        one = shelf(folder, limit=300e3)
        first = (seed * 7 + turn) % 20
        for key, number in zip(keys(5, first), range(first, first + 5), strict=True):
            found = one.get(key)
            wanted = np.full(1000, number, np.float32)
            assert found is None or np.array_equal(found, wanted)
            one.put([key], wanted[None])
        one.flush()


def test_several_jobs_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    jobs = [context.Process(target=_writer, args=(tmp_path, n)) for n in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    left = shelf(tmp_path, limit=300e3)
    found = [left.get(key) for key in keys(24)]
    assert sum(value is not None for value in found) > 10
    for number, value in enumerate(found):
        assert value is None or np.array_equal(value, np.full(1000, number))
    assert "damaged" not in caplog.text


class Counting:
    """Counts what the networks of a class encode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: type) -> None:
        self.images, self.sounds = 0, 0
        encode_image, encode_audio = model.encode_image, model.encode_audio

        def image(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            self.images += len(images)
            return encode_image(network, images)

        def audio(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
            self.sounds += len(inputs)
            return encode_audio(network, inputs)

        monkeypatch.setattr(model, "encode_image", image)
        monkeypatch.setattr(model, "encode_audio", audio)

    def taken(self) -> tuple[int, int]:
        """Images and sounds since the last call, without the fingerprint's one of each.

        What fills a batch up counts: one of which something is missing keeps its size.
        """
        counts = self.images - 1, self.sounds - 1
        self.images, self.sounds = 0, 0
        return counts


def of_ezvsl(shared: Path, checkpoint: Callable[..., Path]) -> tuple[str, ...]:
    """A real network on real images and sounds."""
    data = ("data=vggss", f"data.root={shared / 'data' / 'vggss_mini'}")
    return ("model=ezvsl", f"model.weights={checkpoint('ezvsl')}", *data, *QUICK)


@pytest.fixture(scope="module")
def filled(
    shared: Path, seeded_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A cache that a run of the real network on offscreen negatives has filled, to be copied."""
    folder = tmp_path_factory.mktemp("filled")
    options = (*of_ezvsl(shared, seeded_checkpoint), "negatives=offscreen", DRAWS[1])
    run(folder / "run", *options, "loader.batch_size=3", "cache=disk",
        f"cache.folder={folder / 'cache'}")  # fmt: skip
    return folder / "cache"


class TestRuns:
    """Whole runs: what a cache holds is not encoded again, and no number depends on it."""

    @pytest.fixture
    def options(self, vggss_folder: Path, tmp_path: Path) -> tuple[str, ...]:
        return (
            *HEARS, "data=vggss", f"data.root={vggss_folder}", *QUICK,
            "negatives.noise.draws=2", "negatives.offscreen.draws=2", "loader.batch_size=4",
            "loader.audio_batch_size=8", "cache=disk", f"cache.folder={tmp_path / 'cache'}",
        )  # fmt: skip

    @pytest.fixture
    def counting(self, monkeypatch: pytest.MonkeyPatch) -> Counting:
        return Counting(monkeypatch, Loudness)

    def test_a_second_run_encodes_nothing(
        self, options: tuple[str, ...], tmp_path: Path, counting: Counting
    ) -> None:
        run(tmp_path / "without", *options, "cache=off")
        assert counting.taken() == (6, 9)  # six sounds, silence, two of noise
        run(tmp_path / "first", *options)
        assert counting.taken() == (6, 9)
        run(tmp_path / "second", *options)
        assert counting.taken() == (0, 0)
        for name in ("first", "second"):
            pd.testing.assert_frame_equal(records(tmp_path / name), records(tmp_path / "without"))

    def test_a_sweep_over_negatives_encodes_each_input_once(
        self, options: tuple[str, ...], tmp_path: Path, counting: Counting
    ) -> None:
        kept = tuple(o for o in options if not o.startswith("negatives"))
        counts = []
        for name in ("silence", "noise", "offscreen", "all"):
            run(tmp_path / name, *kept, f"negatives={name}")
            counts.append(counting.taken())
        assert counts == [(6, 7), (0, 10), (0, 0), (0, 0)]

    @pytest.mark.parametrize(
        ("change", "again"),
        [
            ("model.image.antialias=false", (6, 0)),
            ("model.frontend.scale=6", (0, 9)),
            ("seed=1", (0, 2)),
            ("negatives.noise.level=0.5", (0, 2)),
            ("model.channels_last=false", (6, 9)),
            ("prior=none", (0, 0)),
        ],
    )
    def test_what_changes_an_encoding_makes_it_anew(
        self,
        options: tuple[str, ...],
        tmp_path: Path,
        counting: Counting,
        change: str,
        again: tuple[int, int],
    ) -> None:
        run(tmp_path / "first", *options)
        counting.taken()
        run(tmp_path / "second", *options, change)
        assert counting.taken() == again
        run(tmp_path / "without", *options, change, "cache=off")
        pd.testing.assert_frame_equal(records(tmp_path / "second"), records(tmp_path / "without"))

    def test_sounds_with_other_parameters_never_share_a_vector(
        self, options: tuple[str, ...], tmp_path: Path, counting: Counting
    ) -> None:
        mix = (
            *(o for o in options if not o.startswith("negatives")),
            "negatives=[noise,mixed,reversed,gain]", "negatives.noise.draws=2",
            "negatives.mixed.draws=2", "negatives.gain.decibels=[-10,10]",
            "loader.audio_batch_size=1",
        )  # fmt: skip
        run(tmp_path / "first", *mix)
        assert counting.taken() == (6, 6 + 2 + 12 + 6 + 12)
        usual = maps(records(tmp_path / "first"))
        changes = {
            "negatives.mixed.snr=10": 12,
            "negatives.mixed.colour=white": 12,
            "negatives.noise.snr=3": 12,  # each image's noise has a loudness of its own
            "negatives.noise.dbfs=-20": 2,
            "negatives.noise.colour=brown": 2,
            "negatives.gain.decibels=[-10,6]": 6,
        }
        for number, (change, again) in enumerate(changes.items()):
            run(tmp_path / f"second{number}", *mix, change)
            assert counting.taken() == (0, again), change
            frame = records(tmp_path / f"second{number}")
            moved = (maps(frame) != usual).any(axis=1)
            condition = change.split(".")[1]
            expected = "gain_up6" if condition == "gain" else condition
            assert set(frame["audio_condition"][moved]) == {expected}
        everything = ("negatives.mixed.snr=10", "negatives.noise.snr=3")
        run(tmp_path / "known", *mix, *everything)
        assert counting.taken() == (0, 0)
        run(tmp_path / "without", *mix, *everything, "cache=off")
        pd.testing.assert_frame_equal(records(tmp_path / "known"), records(tmp_path / "without"))

    def test_changed_code_of_ones_own_model_is_noticed(
        self, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(tmp_path / "first", *options)
        encode = Loudness.encode_image
        monkeypatch.setattr(Loudness, "encode_image", lambda self, images: encode(self, images) / 2)
        run(tmp_path / "second", *options)
        first, second = (maps(records(tmp_path / name)) for name in ("first", "second"))
        np.testing.assert_allclose(second, first / 2)

    def test_changed_files_are_noticed(
        self, options: tuple[str, ...], vggss_folder: Path, tmp_path: Path, counting: Counting
    ) -> None:
        run(tmp_path / "first", *options)
        counting.taken()
        images = sorted((vggss_folder / "frames").iterdir())
        sounds = sorted((vggss_folder / "audio").iterdir())
        shutil.copy(images[1], images[0])
        shutil.copy(sounds[1], sounds[0])
        run(tmp_path / "second", *options)
        assert counting.taken() == (0, 0), "their content is known from another sample"
        run(tmp_path / "without", *options, "cache=off")
        pd.testing.assert_frame_equal(records(tmp_path / "second"), records(tmp_path / "without"))

    def test_object_maps_are_kept_too(
        self, options: tuple[str, ...], tmp_path: Path, counting: Counting, prior_file: Path
    ) -> None:
        prior = ("prior=object_guided", f"prior.weights={prior_file}")
        run(tmp_path / "none", *options)
        assert counting.taken() == (6, 9)
        run(tmp_path / "first", *options, *prior)
        assert counting.taken() == (0, 0), "features are known, though the prior has to look"
        run(tmp_path / "second", *options, *prior)
        run(tmp_path / "without", *options, *prior, "cache=off")
        for name in ("first", "second"):
            pd.testing.assert_frame_equal(records(tmp_path / name), records(tmp_path / "without"))

    def test_a_damaged_cache_costs_time_only(
        self, options: tuple[str, ...], tmp_path: Path, counting: Counting
    ) -> None:
        run(tmp_path / "first", *options)
        counting.taken()
        for path in (tmp_path / "cache").rglob("*.npy"):
            path.write_bytes(path.read_bytes()[:-1])
        run(tmp_path / "second", *options)
        assert counting.taken() == (6, 9)
        pd.testing.assert_frame_equal(records(tmp_path / "second"), records(tmp_path / "first"))

    @pytest.mark.parametrize("negatives", ["none", "silence", "all"])
    @pytest.mark.parametrize("batch", ["loader.batch_size=4", "loader.batch_size=5"])
    def test_a_real_network_gives_the_same_bits_from_the_cache(
        self,
        shared: Path,
        tmp_path: Path,
        seeded_checkpoint: Callable[..., Path],
        filled: Path,
        negatives: str,
        batch: str,
    ) -> None:
        """Also after a run on other negatives has filled the cache, in batches of other sizes."""
        options = (*of_ezvsl(shared, seeded_checkpoint), batch)
        if negatives == "all":
            options += DRAWS
        kept = ("cache=disk", f"cache.folder={shutil.copytree(filled, tmp_path / 'cache')}")
        run(tmp_path / "without", *options, f"negatives={negatives}")
        for name in ("first", "second"):
            run(tmp_path / name, *options, *kept, f"negatives={negatives}")
            pd.testing.assert_frame_equal(records(tmp_path / name), records(tmp_path / "without"))

    def test_partly_known_batches(
        self, options: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Some rows of a batch are known, the others made: nothing may change places."""
        run(tmp_path / "without", *options, "cache=off")
        run(tmp_path / "first", *options)
        for path in (tmp_path / "cache").rglob("*.npy"):
            with path.open("rb") as file:
                index, values = np.load(file), np.load(file)
            with path.open("wb") as file:
                np.save(file, index[::2])
                np.save(file, values[::2])
        run(tmp_path / "second", *options)
        pd.testing.assert_frame_equal(records(tmp_path / "second"), records(tmp_path / "without"))

    def test_a_size_that_is_none(self, options: tuple[str, ...], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"`cache\.gigabytes` to be a number from 0.*-1"):
            run(tmp_path / "run", *options, "cache.gigabytes=-1")

    def test_nothing_is_kept_with_cache_off(
        self,
        options: tuple[str, ...],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "home"))
        off = tuple(o for o in options if "cache" not in o)
        with caplog.at_level(logging.INFO):
            run(tmp_path / "run", *off, "cache=off")
        assert not (tmp_path / "home").exists()

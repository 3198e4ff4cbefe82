"""Feature tables: found again, bounded, harmless when damaged, shared without locks."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import HEARS, Loudness, maps, records, run
from tests.helpers.stopping import Stopping
from vssl.engine.feature_table import FeatureTable, RunTables

ROOM = 1e9
# what is encoded and recorded is what counts here
QUICK = ("threshold=fixed", "metrics=pia")


def values(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def table(path: Path, length: int = 8, *, limit: float = ROOM, keep: bool = True) -> FeatureTable:
    return FeatureTable(path, length, limit_bytes=limit, keep=keep)


def fill(path: Path, rows: torch.Tensor, *, batch: int = 3, limit: float = ROOM) -> None:
    made = table(path, len(rows), limit=limit)
    for index in torch.arange(len(rows)).split(batch):
        found = made.rows(index, lambda index=index: rows[index])
        assert torch.equal(found, rows[index])
    made.close()


def is_kept(path: Path) -> bool:
    assert not list(path.parent.glob("*.partial")) if path.parent.is_dir() else True
    return path.exists()


def unasked() -> torch.Tensor:
    pytest.fail("encoded what is known")


class TestTable:
    @pytest.mark.parametrize("shape", [(), (5,), (4, 3, 2)])
    @pytest.mark.parametrize("batch", [1, 3, 8])
    def test_what_was_added_is_known_to_the_next(
        self, shape: tuple[int, ...], batch: int, tmp_path: Path
    ) -> None:
        rows = values(8, *shape)
        fill(tmp_path / "new" / "t.npy", rows, batch=batch)
        again = table(tmp_path / "new" / "t.npy")
        for index in (torch.tensor([6, 0, 6]), torch.arange(8)):
            found = again.rows(index, unasked)
            assert torch.equal(found, rows[index])
            found.zero_()  # the caller's own
        again.close()
        np.testing.assert_array_equal(table(tmp_path / "new" / "t.npy").values, rows)

    @pytest.mark.parametrize(
        ("places", "rows", "keep"),
        [
            ([[0, 1, 2]], values(3, 2), True),  # not all
            ([[1, 2, 3, 4]], values(4, 2), True),  # not from the first
            ([[0], [2, 3]], values(3, 2), True),  # with a gap
            ([[0, 1, 3, 2]], values(4, 2).double(), True),
            ([[0, 1, 2, 3]], values(4, 2).bfloat16(), True),
            ([[0, 1, 2, 3]], values(4, 2), False),
        ],
    )
    def test_other_tables_are_not_kept(
        self, places: list[list[int]], rows: torch.Tensor, keep: bool, tmp_path: Path
    ) -> None:
        made = table(tmp_path / "t.npy", 4, keep=keep)
        for index, batch in zip(places, rows.split([len(each) for each in places]), strict=True):
            found = made.rows(torch.tensor(index), lambda batch=batch: batch)
            assert torch.equal(found, batch)
        RunTables(images=made).close()
        assert list(tmp_path.iterdir()) == []


def flip(data: bytearray, place: int, bits: int) -> bytes:
    data[place] ^= bits
    return bytes(data)


class TestFaults:
    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda data: data[:-9], id="cut"),
            pytest.param(lambda data: b"", id="empty"),
            pytest.param(lambda data: data[:20], id="cut in the header"),
            pytest.param(lambda data: flip(data, -9, 0x55), id="other value"),
            pytest.param(lambda data: data.replace(b"(8, 64)", b"(8, 63)"), id="other header"),
            pytest.param(lambda data: data + b"more", id="longer"),
        ],
    )
    def test_a_damaged_table_is_replaced(
        self,
        damage: Callable[[bytearray], bytes],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        path, rows = tmp_path / "t.npy", values(8, 64)
        fill(path, rows)
        path.write_bytes(damage(bytearray(path.read_bytes())))
        fill(path, rows)
        assert caplog.text.count("a damaged feature table") == len(caplog.records) == 1
        np.testing.assert_array_equal(table(path).values, rows)

    @pytest.mark.parametrize("seed", range(10))
    def test_any_flipped_bit_is_noticed(self, tmp_path: Path, seed: int) -> None:
        path = tmp_path / "t.npy"
        fill(path, values(8, 16))
        data = bytearray(path.read_bytes())
        random = np.random.default_rng(seed)
        path.write_bytes(flip(data, random.integers(len(data)), 1 << random.integers(8)))
        found = table(path).values
        assert found is None or np.array_equal(found, values(8, 16))

    def test_of_another_length_or_type(self, tmp_path: Path) -> None:
        fill(tmp_path / "t.npy", values(7, 2))
        assert table(tmp_path / "t.npy").values is None
        np.save(tmp_path / "t.npy", np.zeros((8, 2)))
        assert table(tmp_path / "t.npy").values is None

    def test_a_table_removed_while_in_use_is_still_read(self, tmp_path: Path) -> None:
        rows = values(8, 4)
        fill(tmp_path / "t.npy", rows)
        opened = table(tmp_path / "t.npy")
        (tmp_path / "t.npy").unlink()
        assert torch.equal(opened.rows(torch.arange(8), unasked), rows)

    def test_a_file_where_the_folder_should_be(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "cache").write_text("not a folder")
        fill(tmp_path / "cache" / "t.npy", values(8, 2), batch=1)
        assert caplog.text.count("is not kept (File exists)") == 1, "said once"

    def test_no_room(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path / "t.npy", values(8, 1000), limit=31e3)
        assert "is not kept (3.2e-05 GB, but cache.gigabytes=3.1e-05)" in caplog.text
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        fill(tmp_path / "t.npy", values(8, 2))
        assert "is not kept (it would leave less than 2 GB of the disk free)" in caplog.text
        assert caplog.text.count("is not kept") == 2
        assert list(tmp_path.iterdir()) == []


class TestSize:
    def fill(self, folder: Path, name: str, *, age: float = 0.0) -> Path:
        path = folder / f"{name}.npy"
        fill(path, values(10, 1000), limit=130e3)  # 40 kB
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        return path

    def test_what_was_not_used_longest_goes(self, tmp_path: Path) -> None:
        oldest, older, third = (
            self.fill(tmp_path, name, age=age) for name, age in (("a", 300), ("b", 200), ("c", 100))
        )
        assert table(oldest, 10).values is not None  # is used again
        fourth = self.fill(tmp_path, "d")
        assert [is_kept(p) for p in (oldest, older, third, fourth)] == [True, False, True, True]

    def test_half_files_of_killed_jobs_go(self, tmp_path: Path) -> None:
        old, new = tmp_path / "left.partial", tmp_path / "now.partial"
        for path in (old, new):
            path.write_bytes(b"half")
        os.utime(old, (old.stat().st_mtime - 7200,) * 2)
        self.fill(tmp_path, "b")
        assert [old.exists(), new.exists()] == [False, True]


def _writer(folder: Path, seed: int) -> None:
    for turn in range(10):
        name = (seed * 7 + turn) % 6
        fill(folder / f"{name}.npy", torch.full((5, 1000), float(name)), limit=90e3)


def test_several_jobs_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    jobs = [context.Process(target=_writer, args=(tmp_path, n)) for n in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    found = {path: table(path, 5).values for path in tmp_path.glob("*.npy")}
    assert found
    for path, known in found.items():
        assert known is not None
        assert (known == float(path.stem)).all()
    assert "damaged" not in caplog.text


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_vggss(tmp_path_factory.mktemp("data") / "vggss")


def options_of(test_set: Path, cache: Path) -> tuple[str, ...]:
    return (
        *HEARS, "data=vggss", f"data.root={test_set}", *QUICK, "negatives.noise.draws=2",
        "negatives.offscreen.draws=2", "loader.batch_size=4", "loader.audio_batch_size=8",
        "cache=disk", f"cache.folder={cache}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(test_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run and its tables."""
    folder = tmp_path_factory.mktemp("first")
    run(folder / "run", *options_of(test_set, folder / "cache"))
    return folder


class TestRuns:
    """Whole runs: what a table holds is not encoded again, and no number depends on it."""

    @pytest.fixture
    def options(self, test_set: Path, first: Path, tmp_path: Path) -> tuple[str, ...]:
        """Of a run that finds the tables of the first one."""
        shutil.copytree(first / "cache", tmp_path / "cache")
        return options_of(test_set, tmp_path / "cache")

    @pytest.fixture
    def counting(self, first: Path, monkeypatch: pytest.MonkeyPatch) -> Stopping:
        return Stopping(monkeypatch, Loudness)

    def test_a_second_run_encodes_only_what_is_made(
        self, options: tuple[str, ...], first: Path, tmp_path: Path, counting: Stopping,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        run(tmp_path / "without", *options, "cache=off")
        assert counting.encoded() == (6, 9)  # six sounds, silence, two of noise
        monkeypatch.setattr("vssl.data.dataset.read_bytes", pytest.fail)
        run(tmp_path / "second", *options)
        assert counting.encoded() == (0, 3)
        for folder in (first / "run", tmp_path / "second"):
            pd.testing.assert_frame_equal(records(folder), records(tmp_path / "without"))

    @pytest.mark.parametrize(
        ("change", "again"),
        [
            ("model.image.antialias=false", (6, 3)),
            ("model.frontend.scale=6", (0, 9)),
            ("seed=1", (0, 3)),
            ("negatives.noise.level=0.5", (0, 3)),
            ("model.channels_last=false", (6, 9)),
            ("loader.batch_size=3", (6, 9)),
        ],
    )
    def test_what_changes_an_encoding_makes_it_anew(
        self, options: tuple[str, ...], tmp_path: Path, counting: Stopping,
        change: str, again: tuple[int, int],
    ) -> None:  # fmt: skip
        run(tmp_path / "second", *options, change)
        assert counting.encoded() == again

    @pytest.mark.parametrize(("negatives", "again"), [("noise", (0, 10)), ("offscreen", (0, 0))])
    def test_other_negatives_take_the_same_tables(
        self, options: tuple[str, ...], tmp_path: Path, counting: Stopping,
        negatives: str, again: tuple[int, int],
    ) -> None:  # fmt: skip
        kept = (option for option in options if not option.startswith("negatives"))
        run(tmp_path / "second", *kept, f"negatives={negatives}")
        assert counting.encoded() == again

    def test_changed_code_of_ones_own_model_is_noticed(
        self, options: tuple[str, ...], first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encode = Loudness.encode_image
        monkeypatch.setattr(Loudness, "encode_image", lambda self, images: encode(self, images) / 2)
        run(tmp_path / "second", *options)
        expected = maps(records(first / "run")) / 2
        np.testing.assert_allclose(maps(records(tmp_path / "second")), expected)

    @pytest.mark.parametrize("folder", ["frames", "audio"])
    def test_changed_files_are_noticed(
        self, options: tuple[str, ...], test_set: Path, tmp_path: Path, counting: Stopping,
        folder: str,
    ) -> None:  # fmt: skip
        changed = Path(shutil.copytree(test_set, tmp_path / "changed"))
        files = sorted((changed / folder).iterdir())
        for name in ("first", "second"):
            run(tmp_path / name, *options, f"data.root={changed}")
            assert counting.encoded() == (6, 9)
            shutil.copy(files[1], files[0])

    def test_object_maps_are_kept_too(
        self, options: tuple[str, ...], tmp_path: Path, counting: Stopping, prior_file: Path
    ) -> None:
        prior = ("prior=object_guided", f"prior.weights={prior_file}")
        run(tmp_path / "without", *options, *prior, "cache=off")
        counting.encoded()
        for name in ("first", "second"):  # in the first, the prior has to look
            run(tmp_path / name, *options, *prior)
            assert counting.encoded() == (0, 3)
            pd.testing.assert_frame_equal(records(tmp_path / name), records(tmp_path / "without"))
        assert len(list((tmp_path / "cache").glob("objects-*"))) == 1

    def test_a_stopped_run_keeps_what_is_whole(
        self, test_set: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = (*options_of(test_set, tmp_path / "cache"), "shard_seconds=0")
        similarity = Loudness.similarity

        def stopping(*given: torch.Tensor) -> torch.Tensor:
            if len(given[1]) == 2:  # the second batch of four
                raise KeyError("stopped")
            return similarity(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Loudness, "similarity", stopping)
            with pytest.raises(KeyError, match="stopped"):
                run(tmp_path / "run", *options)
        kept = [path.name[:6] for path in (tmp_path / "cache").iterdir()]
        assert sorted(kept) == ["images", "sounds"], "all were encoded"
        run(tmp_path / "run", *options)
        pd.testing.assert_frame_equal(records(tmp_path / "run"), records(first / "run"))

    def test_a_real_network_gives_the_same_bits(
        self, shared: Path, tmp_path: Path, seeded_checkpoint: Callable[..., Path]
    ) -> None:
        """Also after a run on other negatives has left the tables."""
        options = (
            "model=ezvsl", f"model.weights={seeded_checkpoint('ezvsl')}", "data=vggss",
            f"data.root={shared / 'data' / 'vggss_mini'}", "data.limit=4", *QUICK,
            "loader.batch_size=3", "negatives.noise.draws=2",
        )  # fmt: skip
        kept = ("cache=disk", f"cache.folder={tmp_path / 'cache'}")
        run(tmp_path / "other", *options[:-1], *kept, "negatives=silence")
        for name, cache in (("without", ("cache=off",)), ("with", kept)):
            run(tmp_path / name, *options, *cache)
        pd.testing.assert_frame_equal(records(tmp_path / "with"), records(tmp_path / "without"))

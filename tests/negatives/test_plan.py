"""The audio plan of a run and the manifest that replays it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import composed
from tests.reference.samples import make_sample
from vssl.audio import WholeClip
from vssl.config.settings import DataSettings
from vssl.core.randomness import seed_for
from vssl.data.check import csv_rows
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.engine.training.data import TrainingSet
from vssl.frontends import RawWaveform
from vssl.images import ImageTransform
from vssl.negatives.base import AudioCondition
from vssl.negatives.gain import Gain
from vssl.negatives.manifest import (
    COLUMNS,
    MANIFEST,
    ManifestError,
    manifest_sha256,
    read_manifest,
    write_manifest,
)
from vssl.negatives.mixed import Mixed
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.reversed import Reversed
from vssl.negatives.silence import Silence
from vssl.negatives.swapped import Swapped
from vssl.types import POSITIVE, AudioRequest, Sample

HEADER = ",".join(COLUMNS)


class ManifestRow(NamedTuple):
    sample_id: str
    condition: str
    draw: int
    audio_source_id: str
    seed: int


def rows_of(manifest: pa.Table) -> list[ManifestRow]:
    return [ManifestRow(**row) for row in manifest.to_pylist()]


def table_of(rows: Iterable[ManifestRow]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in rows], schema=MANIFEST)


def make_samples(count: int, *, lengths: Sequence[int] = (160,)) -> list[Sample]:
    names = ("dog", "bell", "train")
    return [
        make_sample(f"s{n}", names[n % 3], length=lengths[n % len(lengths)]) for n in range(count)
    ]


def conditions(draws: int = 4, *, per: str = "draw") -> list[AudioCondition]:
    return [Silence(), Noise(draws=draws, per=per), Offscreen(draws=draws)]  # type: ignore[arg-type]


@given(
    count=st.integers(2, 15),
    draws=st.integers(1, 6),
    per=st.sampled_from(["draw", "sample"]),
    lengths=st.lists(st.integers(100, 103), min_size=1, max_size=3, unique=True),
    fixed=st.booleans(),
    apart=st.sets(st.sampled_from(["silence", "noise", "offscreen"])),
)
def test_every_distinct_input_is_encoded_once(
    count: int, draws: int, per: str, lengths: list[int], fixed: bool, apart: set[str]
) -> None:
    samples = make_samples(count, lengths=lengths)
    plan = make_plan(
        samples,
        conditions(draws, per=per),
        seed=0,
        made_length=50 if fixed else None,
        own_frontend=apart,
    )

    sizes = 1 if fixed else len({s.audio_length for s in samples})
    noises = draws * (count if per == "sample" else sizes)
    chosen = {row.audio_source_id for row in rows_of(plan.manifest) if row.condition == "offscreen"}
    # an offscreen clip is another sample's positive, unless it is prepared in another way
    offscreen = len(chosen) if "offscreen" in apart else 0
    assert len(plan.distinct) == count + sizes + noises + offscreen
    assert len(set(plan.distinct)) == len(plan.distinct)
    assert set(plan.index.ravel()) == set(range(len(plan.distinct)))


@pytest.mark.parametrize("apart", [(), ("offscreen",), ("silence", "noise")])
def test_index_points_at_what_each_image_meets(apart: tuple[str, ...]) -> None:
    samples = make_samples(7, lengths=(100, 101))
    everyone = conditions(3)
    plan = make_plan(samples, everyone, seed=5, own_frontend=apart)

    names = ["silence", *["noise"] * 3, *["offscreen"] * 3]
    draws = [0, 0, 1, 2, 0, 1, 2]
    assert plan.pairings == ((POSITIVE, 0), *zip(names, draws, strict=True))
    assert plan.index.shape == (7, 8)
    by_name = {condition.name: condition for condition in everyone}
    for n, sample in enumerate(samples):
        expected = [(POSITIVE, AudioRequest(POSITIVE, sample.sample_id))]
        for name, draw in zip(names, draws, strict=True):
            request = by_name[name].request(sample, draw=draw, seed=5, length=sample.audio_length)
            expected.append((name if name in apart else POSITIVE, request))
        assert [plan.distinct[k] for k in plan.index[n]] == expected


@pytest.mark.parametrize("apart", [(), ("offscreen",), ("silence", "noise")])
def test_parts_are_the_same_beside_other_negatives(apart: tuple[str, ...]) -> None:
    """Batches are made of them, and what a network makes of a sound depends on its batch's size."""
    samples = make_samples(7, lengths=(100, 101))

    def parts(chosen: Sequence[AudioCondition]) -> set[tuple[tuple[str, AudioRequest], ...]]:
        plan = make_plan(samples, chosen, seed=0, own_frontend=apart)
        assert sum(plan.parts) == len(plan.distinct)
        ends = accumulate(plan.parts)
        found = {plan.distinct[e - n : e] for e, n in zip(ends, plan.parts, strict=True)}
        assert all(len({(f, r.condition) for f, r in part}) == 1 for part in found)
        return found

    together = parts(conditions(3))
    assert len(together) == (4 if "offscreen" in apart else 3)
    assert together == set().union(*(parts([each]) for each in conditions(3)))


@given(order=st.permutations(range(9)), seed=st.integers(0, 3))
def test_order_of_samples_does_not_matter(order: list[int], seed: int) -> None:
    samples = make_samples(9)
    usual = make_plan(samples, conditions(), seed=seed)
    shuffled = make_plan([samples[n] for n in order], conditions(), seed=seed)
    assert set(rows_of(usual.manifest)) == set(rows_of(shuffled.manifest))


class TestReplay:
    def replay(
        self, rows: Sequence[ManifestRow], samples: list[Sample], draws: int = 4
    ) -> AudioPlan:
        table, path = table_of(rows), Path("rows.csv")
        return make_plan(samples, conditions(draws), seed=99, manifest=table, manifest_path=path)

    @pytest.mark.parametrize("of_the_picture", [False, True])
    def test_gives_the_same_plan_without_warning(
        self, of_the_picture: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        samples = make_pairs(3) if of_the_picture else make_samples(8)
        chosen = TestSoundsOfThePicture.everyone if of_the_picture else conditions()
        plan = make_plan(samples, chosen, seed=3)
        again = make_plan(samples, chosen, seed=99, manifest=plan.manifest)
        assert again.manifest.to_pylist() == plan.manifest.to_pylist()
        assert again.distinct == plan.distinct
        assert (again.index == plan.index).all()
        assert caplog.text == ""
        # without the manifest, the other seed gives other choices
        assert make_plan(samples, chosen, seed=99).manifest != plan.manifest

    @pytest.mark.parametrize(
        ("dataset", "reader", "images"),
        [("vggss_mini", VGGSS, 13), ("is3_mini", IS3, 24)],
    )
    def test_golden_choices(
        self, shared: Path, dataset: str, reader: type[VGGSS | IS3], images: int
    ) -> None:
        path = shared / "golden" / "dev" / dataset / "negatives_manifest.csv"
        samples = reader(shared / "data" / dataset).check().samples
        plan = make_plan(
            samples, conditions(10), seed=0, manifest=read_manifest(path), manifest_path=path
        )
        expected = {tuple(row[name] for name in COLUMNS) for row in csv_rows(path)}
        offscreen = [row for row in rows_of(plan.manifest) if row.condition == "offscreen"]
        assert len(offscreen) == len(expected) == 10 * images
        assert {
            (r.sample_id, r.condition, str(r.draw), r.audio_source_id, str(r.seed))
            for r in offscreen
        } == expected
        # the manifest says nothing about noise: it is drawn under the run's own seed
        assert {r.seed for r in rows_of(plan.manifest) if r.condition == "noise"} == {0}

    def test_fewer_and_more_draws(self, caplog: pytest.LogCaptureFixture) -> None:
        samples = make_samples(4)
        two, five = (rows_of(make_plan(samples, conditions(n), seed=3).manifest) for n in (2, 5))
        assert rows_of(self.replay(five, samples, draws=2).manifest) == two
        assert caplog.text == ""
        assert rows_of(self.replay(two, samples, draws=5).manifest) == two
        assert "rows.csv: holds 2 draws of noise, so 2 are evaluated, not 5" in caplog.text
        assert "rows.csv: holds 2 draws of offscreen, so 2 are evaluated" in caplog.text

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda r: r if (r.sample_id, r.condition, r.draw) != ("s2", "offscreen", 1) else "",
                r"lacks 1 choices for offscreen, e\.g\. sample s2, draw 1\.",
            ),
            (
                lambda r: r._replace(audio_source_id="elsewhere") if r.audio_source_id else r,
                r"1 audio sources are not in the test set, e\.g\. elsewhere",
            ),
            # drawing one instead would evaluate something that the manifest does not say
            (
                lambda r: r._replace(audio_source_id="") if r.condition == "offscreen" else r,
                r".*names no audio source",
            ),
            (lambda r: r._replace(audio_source_id="s1"), r".*silence.* names an audio source"),
        ],
    )
    def test_rows_that_cannot_be_replayed(
        self, change: Callable[[ManifestRow], Any], message: str
    ) -> None:
        samples = make_samples(4)
        rows = map(change, rows_of(make_plan(samples, conditions(3), seed=3).manifest))
        with pytest.raises(ManifestError, match=rf"^rows\.csv: {message}"):
            self.replay(list(filter(None, rows)), samples, draws=3)

    def test_other_samples_are_left_out(self, caplog: pytest.LogCaptureFixture) -> None:
        samples = make_samples(9)
        # the kept ones are each other's sources
        kept = samples[:6]
        rows = rows_of(make_plan(kept, conditions(), seed=3).manifest)
        others = [row._replace(sample_id=f"other-{row.sample_id}") for row in rows]
        assert rows_of(self.replay(rows + others, kept).manifest) == rows
        assert "rows.csv: left out 6 samples that are not in this test set" in caplog.text


def make_pairs(count: int) -> list[Sample]:
    """Pictures of two objects each, every one with its sound."""
    names = ("dog", "bell", "train")
    pairs = [(names[n % 3], names[(n + 1) % 3]) for n in range(count)]
    return [
        replace(make_sample(f"p{n}{k}", category, pair), image_group=f"p{n}")
        for n, pair in enumerate(pairs)
        for k, category in enumerate(pair)
    ]


class TestSoundsOfThePicture:
    everyone = (Silence(), Mixed(draws=2), Swapped(), Reversed(), Gain(decibels=[-10, 10]))

    def test_equal_sounds_are_one_input(self) -> None:
        samples = make_pairs(4)
        plan = make_plan(samples, self.everyone, seed=0)
        count = len(samples)
        assert len(plan.distinct) == count + 1 + count * (2 + 0 + 1 + 2)
        swapped = plan.index[:, plan.pairings.index(("swapped", 0))]
        assert swapped.tolist() == [plan.index[n ^ 1, 0] for n in range(count)]
        assert plan.sounding == {
            POSITIVE: "own", "silence": "none", "mixed": "own", "swapped": "other",
            "reversed": "own", "gain": "own",
        }  # fmt: skip

    def test_manifest_has_a_row_for_each_negative(self) -> None:
        samples = make_pairs(3)
        chosen = [*self.everyone, Noise(draws=2), Offscreen(draws=2)]
        plan = make_plan(samples, chosen, seed=3, made_length=77)
        rows = rows_of(plan.manifest)
        keys = [(row.sample_id, row.condition, row.draw) for row in rows]
        assert keys == [(s.sample_id, *pair) for s in samples for pair in plan.pairings[1:]]
        drawn = ("mixed", "swapped", "noise", "offscreen")
        for row in rows:
            assert bool(row.audio_source_id) == (row.condition in ("swapped", "offscreen"))
            assert row.seed == (3 if row.condition in drawn else 0)
        lengths = {r.condition: r.length for _, r in plan.distinct if r.length}
        assert lengths == {"silence": 77, "noise": 77}

    def test_what_is_not_drawn_is_not_said_to_be_drawn_anew(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        samples = make_pairs(3)
        rows = make_plan(samples, [Offscreen(draws=1)], seed=3).manifest
        make_plan(samples, [*self.everyone, Offscreen(draws=1)], seed=3, manifest=rows)
        said = {record.getMessage() for record in caplog.records}
        assert said == {
            f"None: holds no {name}, which is drawn anew" for name in ("mixed", "swapped")
        }

    def test_a_manifest_without_rows_is_said_to_hold_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        samples, drawn = make_pairs(3), [Offscreen(draws=1)]
        whole = make_plan(samples, drawn, seed=3).manifest
        anew = make_plan(samples, drawn, seed=3, manifest=whole.slice(0, 0)).manifest
        assert anew.equals(whole)
        assert caplog.messages == ["None: holds no offscreen, which is drawn anew"]

    @pytest.mark.parametrize(
        ("condition", "source", "message"),
        [
            (Swapped(), -2, "4 choices play no other object of the picture"),
            (Offscreen(draws=1), 0, "4 choices play a class that is in the picture"),
        ],
    )
    def test_odd_choices_are_said(
        self,
        condition: AudioCondition,
        source: int,
        message: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        samples = make_pairs(2)
        ids = [s.sample_id for s in samples]
        rows = [
            ManifestRow(name, condition.name, 0, ids[n + source], 0) for n, name in enumerate(ids)
        ]
        table, path = table_of(rows), Path("rows.csv")
        make_plan(samples, [condition], seed=0, manifest=table, manifest_path=path)
        assert f"rows.csv: {message}" in caplog.text


# file names: no control characters and nothing that UTF-8 cannot hold
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8)


@given(
    rows=st.lists(
        st.builds(
            ManifestRow,
            names,
            st.sampled_from(["noise", "offscreen"]),
            st.integers(0, 9),
            st.one_of(st.just(""), names),
            st.integers(0, 2**40),
        ),
        unique_by=lambda row: (row.sample_id, row.condition, row.draw),
        max_size=6,
    )
)
def test_what_is_written_can_be_read(
    rows: list[ManifestRow], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "rows.csv"
    write_manifest(path, table_of(rows))
    expected = io.StringIO()
    writer = csv.writer(expected, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    assert path.read_bytes() == expected.getvalue().encode()
    assert manifest_sha256(table_of(rows)) == hashlib.sha256(path.read_bytes()).hexdigest()
    for encoding in ("utf-8", "utf-8-sig"):  # spreadsheets write a byte order mark
        path.write_text(expected.getvalue(), encoding=encoding, newline="")
        assert rows_of(read_manifest(path)) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\na,offscreen,0,b,1\na,offscreen,0,c,1\n", r": \('a', 'offscreen', 0\) stands"),
        (f"{HEADER}\na,offscreen,0,b,1\na,offscreen,one,c,1\n", ": .*#3: Row #3: .* value 'one'"),
        (f"{HEADER}\na,offscreen,0,b,x\n", ": .*column #5: Row #2: .*invalid value 'x'"),
        (f"{HEADER}\na,offscreen\n", ": .*Row #2: Expected 5 columns, got 2"),
        (f"{HEADER}\na,noise,32768,,0", ": .*column #3: Row #2: .*invalid value '32768'"),
        (f"{HEADER}\na,noise,-1,,0", ": Expected `draw` to be a whole number from 0 on"),
        (f"{HEADER}\na,noise,,,0", ": Expected `draw` to be a whole number from 0 on"),
        (f"{HEADER}\na,noise,0,,-1", ": Expected `seed` to be a whole number from 0 on"),
        ("sample_id,draw,seed\na,0,1\n", f": not .* columns {HEADER} .*'condition'.* not exist"),
        ("", f": not readable as a manifest, a csv with the columns {HEADER} .*Empty"),
        ("a,offscreen,0,b,1\n", ": .*Column 'sample_id' .*does not exist"),
        (f"{HEADER}\n\udcff,noise,0,,0", ": not readable as a manifest, .* invalid UTF8"),
        (None, ": no such file"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "rows.csv"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ManifestError, match=f"^{re.escape(str(path))}{message}") as caught:
        read_manifest(path)
    assert str(caught.value).endswith("(negatives.manifest)")


class TestUses:
    """Training, calibration and test never hear one waveform, whatever the seed."""

    def test_no_two_draw_under_one_seed(self) -> None:
        groups = [composed(f"data={name}").data for name in ("is3", "vggss")]
        uses = [DataSettings.of(group).noise_use for group in groups]
        whole = composed().data
        for change in (
            {}, {"split": "validation"}, {"split": "train"}, {"difficulty": "overlap"},
            {"seed": 1}, {"snr": 3}, {"name": "mine"},
        ):  # fmt: skip
            data = whole.copy()
            data.update(change)
            uses.append(DataSettings.of(data).noise_use)
        seeds = [seed_for(0, use) for use in uses]
        for split in ("train", "validation"):
            training = TrainingSet(
                make_samples(3), [Noise()], frontend=RawWaveform(WholeClip()),
                transform=ImageTransform(size=8), split=split,
            )  # fmt: skip
            seeds += training._seeds
        assert len(set(seeds)) == len(uses) + 2

    def test_the_test_split_keeps_its_noise_and_others_are_the_same_everywhere(self) -> None:
        assert DataSettings.of(composed("data.scenes=9").data).noise_use == ""
        assert seed_for(7, "") == 7
        digest = hashlib.sha256(b"(7, 'is3')").digest()
        use = DataSettings.of(composed("data=is3").data).noise_use
        assert seed_for(7, use) == int.from_bytes(digest[:8], "big") // 2

    def test_choices_of_clips_are_the_same_for_every_use(self) -> None:
        samples = make_samples(6)
        one, two = (make_plan(samples, conditions(), seed=3, use=use) for use in ("", "is3"))
        for first, other in zip(rows_of(one.manifest), rows_of(two.manifest), strict=True):
            assert (first == other) == (first.condition != "noise")

    def test_a_manifest_gives_the_noise_that_was_heard(self) -> None:
        samples = make_samples(4)
        for use in ("", "is3"):
            plan = make_plan(samples, conditions(), seed=3, use=use)
            again = make_plan(samples, conditions(), seed=8, use="vggss", manifest=plan.manifest)
            assert again.distinct == plan.distinct

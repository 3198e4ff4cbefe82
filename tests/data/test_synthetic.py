"""The embedded benchmark: layout, boxes, determinism, levels, and classes one can tell apart."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image

from tests.helpers.running import composed
from tests.reference.synthetic import FILE, differences, measure
from vssl.config.build import build_reader
from vssl.config.compose import run_folder
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.data.embedded import Synthetic
from vssl.data.is3 import IS3
from vssl.data.synthetic import generate as synthetic
from vssl.data.synthetic import scenes as synthetic_scenes
from vssl.data.synthetic.backgrounds import BACKGROUNDS, draw_background
from vssl.data.synthetic.generate import SceneSet
from vssl.data.synthetic.scenes import CLASSES, KINDS
from vssl.data.synthetic.sounds import VOICES, synthesize
from vssl.data.synthetic.variants import DIFFICULTIES, SPLITS
from vssl.runs.audit import saved_config

SCENES = 3
Array = NDArray[Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("synthetic")
    synthetic.generate(place, SceneSet(SCENES, seed=3))
    return place


def read_annotation(place: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((place / "IS3_annotation.json").read_text())
    return loaded


def contents(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def test_every_class_is_drawn_and_heard() -> None:
    assert set(CLASSES) == set(KINDS) == set(VOICES)
    assert len(CLASSES) >= 12
    assert all(name.isalpha() and name.islower() for name in CLASSES)


def test_layout_and_names(folder: Path) -> None:
    entries = read_annotation(folder)
    assert len(entries) == 2 * SCENES
    for index, entry in enumerate(entries):
        assert set(entry) == {"image", "audio", "gt_box", "class"}
        first, second, number, sounding = entry["image"].removesuffix(".png").split("_")
        assert first != second
        assert int(number) == index // 2
        assert sounding == entry["class"] == (first, second)[index % 2]
        assert entry["audio"] == entry["image"].replace(".png", ".wav")
        with Image.open(folder / "images" / entry["image"]) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (224, 224))
        info = soundfile.info(folder / "audio_wav" / entry["audio"])
        assert (info.samplerate, info.frames, info.channels) == (16_000, 160_000, 1)
        assert info.subtype == "PCM_16"
    assert len(list((folder / "images").iterdir())) == 2 * SCENES
    assert len(list((folder / "audio_wav").iterdir())) == 2 * SCENES
    pictures = [(folder / "images" / entry["image"]).read_bytes() for entry in entries]
    assert pictures[::2] == pictures[1::2]


def overlap(first: list[int], second: list[int]) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(sizes) - shared)


def test_same_bytes_again_whatever_the_number_of_scenes(folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, SceneSet(2, seed=3))
    assert read_annotation(tmp_path) == read_annotation(folder)[:4]
    (tmp_path / "IS3_annotation.json").unlink()
    fewer = contents(tmp_path)
    assert len(fewer) == 8
    assert fewer.items() <= contents(folder).items()


def test_ensure_generates_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vssl.data.synthetic.generate")
    place = synthetic.ensure(tmp_path / "cache", scenes=1, seed=5)
    assert place == tmp_path / "cache" / f"synthetic-v{synthetic.VERSION}-1-5"
    assert len(read_annotation(place)) == 2
    assert len(caplog.records) == 1
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert synthetic.ensure(tmp_path / "cache", scenes=1, seed=5) == place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert len(caplog.records) == 1
    assert list((tmp_path / "cache").iterdir()) == [place]


def test_ensure_keeps_the_winner_of_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate_too_late(folder: Path, request: SceneSet) -> None:
        folder.mkdir()
        (folder / "mine").touch()
        winner = tmp_path / request.folder
        winner.mkdir()
        (winner / "theirs").touch()

    monkeypatch.setattr(synthetic, "generate", generate_too_late)
    place = synthetic.ensure(tmp_path, scenes=1)
    assert [path.name for path in place.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [place]


def test_an_interrupted_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str, generator: np.random.Generator) -> NDArray[np.float32]:
        if any(tmp_path.rglob("*.wav")):
            raise KeyboardInterrupt
        return synthesize(name, generator)

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "synthesize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthetic.ensure(tmp_path, scenes=2)
    assert list(tmp_path.iterdir()) == []
    assert len(read_annotation(synthetic.ensure(tmp_path, scenes=2))) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scenes": 0}, "`data.scenes` to be a whole number from 1 to 4294967295, but got 0"),
        ({"scenes": 2.5}, "`data.scenes` to be a whole number .*, but got 2.5"),
        ({"seed": -1}, "`data.seed` to be a whole number from 0 to 4294967295, but got -1"),
        ({"split": "valid"}, "one of test, validation, train, but got `valid`. Did you mean"),
        ({"difficulty": "hard"}, "one of easy, two_sources, overlap, same_class_pair, but got"),
        ({"snr": "loud"}, "`data.snr` to be null .* decibels from -40 to 60, but got 'loud'"),
        ({"snr": float("nan")}, "but got nan"),
        ({"snr": True}, "but got True"),
    ],
)
def test_impossible_requests(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        synthetic.ensure(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_the_output_changes_with_the_version_only() -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    changed = differences(kept["facts"], measure())
    if kept["version"] == synthetic.VERSION:
        assert not changed, "the generator's output changed: bump VERSION\n" + "\n".join(changed)
    assert kept["version"] == synthetic.VERSION, "run python -m tests.reference.synthetic"


def test_splits_and_seeds_have_nothing_in_common(tmp_path: Path) -> None:
    names = [kind.__name__ for kinds in BACKGROUNDS.values() for kind in kinds]
    assert len(set(names)) == len(names) == 17
    digests: list[bytes] = []
    for number, split in enumerate((*SPLITS, "test")):
        place = tmp_path / str(number)
        synthetic.generate(place, SceneSet(1, seed=6 + number // 3, split=split))
        pictures = contents(place / "images").values()
        sounds = contents(place / "audio_wav").values()
        assert (len(set(pictures)), len(set(sounds))) == (1, 2), "a picture for two sounds"
        digests += {*pictures, *sounds}
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_classes_are_balanced_at_every_difficulty(difficulty: str) -> None:
    counts, pairs = (Counter(dict.fromkeys(CLASSES, 0)) for _ in range(2))
    partners, depths = set(), Counter()
    request = SceneSet(seed=4, split="train", difficulty=difficulty)
    for number in range(96):
        cast = request.cast(number)
        assert len(set(cast.classes)) == len(cast.classes)
        for places in cast.sounding:
            assert len({cast.names[place] for place in places}) == 1
            pairs.update([cast.names[places[0]]] if len(places) == 2 else [])
            depths.update(places if len(places) == 1 else [])
        assert sorted(place for places in cast.sounding for place in places) == (
            list(range(len(cast.names)))
        )
        counts.update(cast.classes)
        partners.add(frozenset(cast.classes))
        assert max(counts.values()) - min(counts.values()) <= 1
        assert max(pairs.values()) - min(pairs.values()) <= 1
    assert len({len(request.cast(number).names) for number in range(20)}) == 1
    if difficulty == "same_class_pair":
        assert set(pairs.values()) == {8}
        assert min(depths[place] for place in range(3)) > 20, "the single one is anywhere"
    if difficulty != "easy":
        assert len(partners) > 40


BOUNDS = {
    "easy": (1, (0.0, 0.0), 0.0),
    "two_sources": (2, (0.0, 0.1), 0.15),
    "overlap": (2, (0.1, 0.45), 0.45),
    "same_class_pair": (3, (0.0, 0.1), 0.15),
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_scenes_keep_what_their_difficulty_promises(
    split: str, difficulty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[Array] = []

    def recorded(patch: Array, generator: np.random.Generator) -> Array:
        placed.append(original(patch, generator))
        return placed[-1]

    original = synthetic_scenes._somewhere
    monkeypatch.setattr(synthetic_scenes, "_somewhere", recorded)
    count, (least, most), hidden = BOUNDS[difficulty]
    for seed, number in ((2, 1), (2**32 - 1, 0))[: 2 if split == "test" else 1]:
        scene = SceneSet(seed=seed, split=split, difficulty=difficulty).draw(number)
        boxes = [list(box) for box in scene.boxes]
        assert len(boxes) == count
        alphas = np.stack([layer[..., 3] for layer in placed[-count:]]).astype(float)
        for place, (x0, y0, x1, y1) in enumerate(boxes):
            seen = alphas[place] * np.prod(1 - alphas[place + 1 :], axis=0)
            assert seen.sum() >= (1 - hidden) * alphas[place].sum() - 1e-3
            rows, columns = (np.flatnonzero((seen > 0.2).any(axis)) for axis in (1, 0))
            assert [x0, y0, x1, y1] == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            longer = max(x1 - x0, y1 - y0)
            assert 90 <= longer <= 150 if difficulty == "easy" else 20 <= longer <= 150
        for first, second in itertools.combinations(boxes, 2):
            assert least <= overlap(first, second) <= most
        empty = synthetic.empty_scene(seed, number, split)
        covered = alphas.max(0) > 0
        np.testing.assert_array_equal(scene.image[~covered], empty[~covered])
        assert (scene.image != empty)[covered].mean() > 0.5


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_difficulty_is_read(difficulty: str, tmp_path: Path) -> None:
    request = SceneSet(1, 8, "validation", difficulty)
    reader = Synthetic(cache=tmp_path, **vars(request))
    assert reader.count() == request.samples, "before the files are made"
    data = reader.check()
    assert reader.count() == len(data.samples) == request.samples
    assert data.notes == (), "every object of a picture has its sample"
    cast, scene = request.cast(0), request.draw(0)
    members = zip(data.samples, cast.classes, cast.sounding, strict=True)
    for sample, name, places in members:
        assert sample.category == name
        assert sample.image_categories == cast.classes
        assert sample.image_group == "_".join((*cast.classes, "0"))
        assert sample.image_sources == len(cast.classes)
        assert sample.boxes == tuple(scene.boxes[place] for place in places)
        assert sample.box_weights == (1.0,) * len(places)
        assert sample.audio_length == 160_000
    if difficulty in ("two_sources", "overlap"):
        assert IS3(reader.root).check().samples == data.samples, "the exact layout of IS3"


def test_noise_has_its_level() -> None:
    def recorded(number: int, snr: float | None) -> Array:
        return SceneSet(seed=1, difficulty="easy", snr=snr).record(number, 0).astype(float)

    clips = [recorded(number, None) for number in range(2)]
    for (number, clean), snr in itertools.product(enumerate(clips), (-5, 0.0, 20)):
        noisy = recorded(number, snr)
        # Where the sum would clip, both are scaled down.
        scale = (noisy @ clean) / (clean @ clean)
        assert scale <= 1.02
        assert np.abs(noisy).max() <= 0.951
        noise = noisy - scale * clean
        ratio = 10 * np.log10((scale * clean) @ (scale * clean) / (noise @ noise))
        assert ratio == pytest.approx(snr, abs=0.2)


NAMES = [
    ((), "synthetic", "synthetic-v1-240-0"),
    (
        ("snr=-2.5", "difficulty=overlap", "split=validation", "seed=3"),
        "synthetic_overlap_validation_snr-2.5",
        "synthetic-v1-240-3-validation-overlap-snr-2.5",
    ),
]


@pytest.mark.parametrize(("overrides", "name", "folder"), NAMES)
def test_names_say_what_is_not_the_default(
    overrides: tuple[str, ...], name: str, folder: str
) -> None:
    config = composed("data=synthetic", *(f"data.{override}" for override in overrides))
    assert config.data.name == name
    assert RunSettings.of(config).names["data"] == name
    assert f"/{name}/" in run_folder(_root_=config)
    reader = build_reader(RunSettings.unchecked(config).data)
    assert isinstance(reader, Synthetic)
    assert (reader.name, reader.root.name) == (name, folder)
    arguments = {k: v for k, v in config.data.items() if k not in ("_target_", "name")}
    assert Synthetic(**arguments).name == name, "also without a configuration"


def test_every_key_is_part_of_a_run_s_identity() -> None:
    whole = composed()

    def hashed(**changes: Any) -> str:
        config = whole.copy()
        config.data.update(changes)
        return RunSettings.unchecked(config).identity_hash

    changes = {"scenes": 7, "seed": 1, "split": "train", "difficulty": "easy", "snr": 0}
    hashes = {hashed(), hashed(version="2"), *(hashed(**{k: v}) for k, v in changes.items())}
    assert len(hashes) == len(changes) + 2
    assert hashed(cache="elsewhere") in hashes


def test_a_saved_configuration_has_its_name() -> None:
    config = composed("data.difficulty=overlap")
    saved = {"config": OmegaConf.to_container(config), "identity": RunSettings.of(config).identity}
    assert saved_config(saved).data.name == "synthetic_overlap"


def test_a_wrong_key_is_one_error() -> None:
    config = composed("data.difficulty=overlap", "data.split=tests", "data.snr=loud")
    assert config.data.name == "synthetic_overlap_tests_snrloud"
    with pytest.raises(UsageError, match=r"`data.split` to be one of .* Did you mean `test`"):
        build_reader(RunSettings.unchecked(config).data)


def test_empty_scenes_are_the_backgrounds_of_scenes() -> None:
    for wrong, message in (
        ((-1, 0, "test"), "`data.seed`"),
        ((0, 0, "tests"), "`data.split`"),
        ((0, -1, "test"), "Expected `number` from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            synthetic.empty_scene(*wrong)
    expected = draw_background(np.random.default_rng([3, 5, 1, 2]), "train")
    np.testing.assert_array_equal(synthetic.empty_scene(3, 5, "train"), expected)
    test = draw_background(np.random.default_rng([3, 5, 1]))
    np.testing.assert_array_equal(synthetic.empty_scene(3, 5), test)

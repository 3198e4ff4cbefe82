"""The embedded benchmark: layout, boxes, determinism, levels, and classes one can tell apart."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from vssl.data import synthetic
from vssl.data.base import DataError
from vssl.data.synthetic_backgrounds import draw_background
from vssl.data.synthetic_casts import cast_scene
from vssl.data.synthetic_scenes import KINDS, place_objects
from vssl.data.synthetic_sounds import LENGTH, RATE, VOICES, synthesize

SCENES = 12
Array = NDArray[Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("synthetic")
    synthetic.generate(place, scenes=SCENES, seed=3)
    return place


@pytest.fixture(scope="module")
def entries(folder: Path) -> list[dict[str, Any]]:
    return read_annotation(folder)


def read_annotation(place: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((place / "IS3_annotation.json").read_text())
    return loaded


def contents(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def nearest_neighbour_accuracy(features: Array, labels: Array) -> float:
    """Leave-one-out accuracy of one nearest neighbour on standardised features."""
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-9)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(1)] == labels).mean())


def test_every_class_is_drawn_and_heard() -> None:
    assert set(synthetic.CLASSES) == set(KINDS) == set(VOICES)
    assert len(synthetic.CLASSES) >= 12
    assert all(name.isalpha() and name.islower() for name in synthetic.CLASSES)


def test_layout_and_names(folder: Path, entries: list[dict[str, Any]]) -> None:
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
    for first_entry, second_entry in zip(entries[::2], entries[1::2], strict=True):
        pictures = [
            (folder / "images" / e["image"]).read_bytes() for e in (first_entry, second_entry)
        ]
        assert pictures[0] == pictures[1]


def test_classes_are_balanced_after_any_number_of_scenes() -> None:
    counts = Counter(dict.fromkeys(synthetic.CLASSES, 0))
    partners = set()
    for number in range(240):
        names = cast_scene(0, number, "test", "two_sources").names
        counts.update(names)
        partners.add(frozenset(names))
        assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts.values()) == {2 * 240 // len(synthetic.CLASSES)}
    # Classes meet in all sorts of pairs: the partner does not give the class away.
    assert len(partners) > 0.9 * len(synthetic.CLASSES) * (len(synthetic.CLASSES) - 1) / 2


def test_images_differ_from_their_background_inside_the_boxes_only(
    folder: Path, entries: list[dict[str, Any]]
) -> None:
    for number in range(SCENES):
        image = np.asarray(Image.open(folder / "images" / entries[2 * number]["image"]))
        changed = image != draw_background(np.random.default_rng([3, number, 1]))
        for x0, y0, x1, y1 in (entry["gt_box"] for entry in entries[2 * number : 2 * number + 2]):
            assert changed[y0:y1, x0:x1].any()
            # The faint outermost fringe of an antialiased edge may lie just outside.
            changed[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
        assert not changed.any()


def overlap(first: list[int], second: list[int]) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(sizes) - shared)


def test_boxes_are_tight_vary_in_size_and_overlap_little() -> None:
    areas, compared = [], 0
    for number in range(40):
        background = draw_background(np.random.default_rng([9, number, 1]))
        names, generator = (
            cast_scene(9, number, "test", "two_sources").names,
            np.random.default_rng([9, number]),
        )
        scene = place_objects(background, names, generator)
        difference = np.abs(scene.image.astype(int) - background).sum(-1)
        boxes = [list(box) for box in scene.boxes]
        assert overlap(boxes[0], boxes[1]) < 0.1
        for mine, other in (boxes, boxes[::-1]):
            x0, y0, x1, y1 = mine
            assert min(mine) >= 0
            assert max(mine) <= 224
            assert 30 <= max(x1 - x0, y1 - y0) <= 150
            areas.append((x1 - x0) * (y1 - y0) / 224**2)
            around = [other[0] - 2, other[1] - 2, other[2] + 2, other[3] + 2]
            if overlap(mine, around) == 0:
                alone = difference > 12
                alone[other[1] - 1 : other[3] + 1, other[0] - 1 : other[2] + 1] = False
                rows, columns = (np.flatnonzero(alone.any(axis)) for axis in (1, 0))
                measured = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                np.testing.assert_allclose(mine, measured, atol=2)
                compared += 1
    assert compared >= 40
    assert np.quantile(areas, 0.9) > 4 * np.quantile(areas, 0.1)


def test_same_bytes_again_whatever_the_number_of_scenes(folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path / "again", scenes=SCENES, seed=3)
    whole = contents(folder)
    assert contents(tmp_path / "again") == whole
    synthetic.generate(tmp_path / "fewer", scenes=5, seed=3)
    assert read_annotation(tmp_path / "fewer") == read_annotation(folder)[:10]
    fewer = contents(tmp_path / "fewer")
    del fewer["IS3_annotation.json"]
    assert len(fewer) == 20
    assert all(whole[name] == data for name, data in fewer.items())


def test_another_seed_gives_other_scenes(folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, scenes=6, seed=4)
    assert not set(contents(tmp_path).values()) & set(contents(folder).values())


def test_levels(folder: Path, entries: list[dict[str, Any]]) -> None:
    levels = []
    for entry in entries:
        waveform, _ = soundfile.read(folder / "audio_wav" / entry["audio"])
        assert np.abs(waveform).max() < 0.95
        assert (waveform.reshape(-1, RATE // 20).std(1) > 0).all(), "digital silence"
        levels.append(10 * np.log10(np.mean(waveform**2)))
    assert min(levels) >= -30
    assert max(levels) <= -10
    assert np.ptp(levels) > 8


def sound_features(waveform: Array) -> Array:
    """Timbre and rhythm of a recording, whatever its level."""
    frames = waveform.reshape(-1, 400) * np.hanning(400)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 200, 19).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-7 * power.sum() / len(power))
    bands -= bands.mean()
    loudness = np.log(power.sum(1) + 1e-3 * power.sum(1).max())
    beats = np.abs(np.fft.rfft(loudness - loudness.mean()))[1:200]
    rhythm = np.add.reduceat(beats, [0, 4, 8, 16, 32, 64, 128]) / beats.sum()
    steady = [loudness.std(), np.abs(np.diff(loudness)).mean()]
    return np.concatenate([bands.mean(0), bands.std(0), np.sqrt(rhythm) * 3, steady])


def test_sounds_tell_their_classes_apart() -> None:
    takes = [(name, take) for name in synthetic.CLASSES for take in range(5)]
    waveforms = [synthesize(name, np.random.default_rng([11, take])) for name, take in takes]
    assert all(w.dtype == np.float32 and w.shape == (LENGTH,) for w in waveforms)
    features = np.stack([sound_features(waveform) for waveform in waveforms])
    labels = np.array([name for name, _ in takes])
    # Chance is 1 in 12.
    assert nearest_neighbour_accuracy(features, labels) >= 0.9


def crop_features(crop: Image.Image) -> Array:
    """Shape (coarse edges, whichever way the object faces) and colour of an object's box."""
    pixels = np.asarray(crop.resize((32, 32), Image.Resampling.BOX)).astype(float) / 255
    grey = pixels.mean(-1)
    edges = np.abs(np.diff(grey, axis=0))[:, :31] + np.abs(np.diff(grey, axis=1))[:31]
    coarse = edges[:30, :30].reshape(6, 5, 6, 5).mean((1, 3))
    facing = np.sort(np.stack([coarse, coarse[:, ::-1]]), axis=0).reshape(-1)
    colour = np.concatenate(
        [pixels.mean((0, 1)), pixels.std((0, 1)), np.quantile(grey, [0.1, 0.9])]
    )
    return np.concatenate([facing, colour, [4 * np.log(crop.width / crop.height)]])


def test_objects_tell_their_classes_apart() -> None:
    crops: list[Array] = []
    labels: list[str] = []
    for number in range(60):
        names = cast_scene(12, number, "test", "two_sources").names
        background = draw_background(np.random.default_rng([12, number, 1]))
        scene = place_objects(background, names, np.random.default_rng([12, number, 2]))
        image = Image.fromarray(scene.image)
        crops += [crop_features(image.crop(box)) for box in scene.boxes]
        labels += names
    # Chance is 1 in 12; the backgrounds, colours and tilts are all different.
    assert nearest_neighbour_accuracy(np.stack(crops), np.array(labels)) >= 0.8


def test_ensure_generates_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vssl.data.synthetic")
    place = synthetic.ensure(tmp_path / "cache", scenes=2, seed=5)
    assert place == tmp_path / "cache" / f"synthetic-v{synthetic.VERSION}-2-5"
    assert len(read_annotation(place)) == 4
    assert len(caplog.records) == 1
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert synthetic.ensure(tmp_path / "cache", scenes=2, seed=5) == place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert len(caplog.records) == 1
    assert list((tmp_path / "cache").iterdir()) == [place]


def test_ensure_in_two_processes_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from vssl.data.synthetic import ensure;"
        "print(flush=True); sys.stdin.readline();"
        "print(ensure(pathlib.Path(sys.argv[1]), scenes=6, seed=3))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    places = [Path(process.communicate(timeout=60)[0].strip()) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert places[0] == places[1]
    assert list(tmp_path.iterdir()) == [places[0]]
    synthetic.generate(tmp_path / "alone", scenes=6, seed=3)
    assert contents(places[0]) == contents(tmp_path / "alone")


def test_ensure_keeps_the_winner_of_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate_too_late(folder: Path, *, scenes: int, seed: int, **_: Any) -> None:
        folder.mkdir()
        (folder / "mine").touch()
        winner = tmp_path / f"synthetic-v{synthetic.VERSION}-{scenes}-{seed}"
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
            synthetic.ensure(tmp_path, scenes=4)
    assert list(tmp_path.iterdir()) == []
    assert len(read_annotation(synthetic.ensure(tmp_path, scenes=4))) == 8


def test_a_killed_generation_is_not_taken_for_a_data_set(tmp_path: Path) -> None:
    code = "import sys, pathlib; from vssl.data.synthetic import ensure;"
    code += "ensure(pathlib.Path(sys.argv[1]), scenes=200)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while process.poll() is None and not any(tmp_path.rglob("*.wav")):
        pass
    process.kill()
    process.wait(timeout=30)
    assert not any(path.name.startswith("synthetic") for path in tmp_path.iterdir())


@pytest.mark.parametrize("call", [synthetic.generate, synthetic.ensure])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scenes": 0}, "`data.scenes` to be a whole number from 1 to 4294967295, but got 0"),
        ({"scenes": 2.5}, "`data.scenes` to be a whole number .*, but got 2.5"),
        ({"seed": -1}, "`data.seed` to be a whole number from 0 to 4294967295, but got -1"),
        ({"seed": 2**32}, "`data.seed` to be a whole number .*, but got 4294967296"),
        (
            {"split": "valid"},
            "`data.split` to be one of test, validation, train, but got `valid`. Did you mean",
        ),
        (
            {"difficulty": "hard"},
            "`data.difficulty` to be one of easy, two_sources, overlap, same_class_pair, but got",
        ),
        ({"snr": "loud"}, "`data.snr` to be null .* decibels from -40 to 60, but got 'loud'"),
        ({"snr": 61}, "but got 61"),
        ({"snr": float("nan")}, "but got nan"),
        ({"snr": True}, "but got True"),
    ],
)
def test_impossible_requests(
    call: Any, wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        call(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_unknown_class() -> None:
    with pytest.raises(KeyError, match="unicorn"):
        synthesize("unicorn", np.random.default_rng(0))

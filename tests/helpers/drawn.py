"""Small test sets, drawn on the spot in their authors' layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

CATEGORIES = ("dog", "bell", "train")


def write_tone(path: Path, *, hertz: float, seconds: float = 2.0, rate: int = 16_000) -> None:
    """A decaying tone as 16-bit wav."""
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time) * np.exp(-time), rate)


def write_picture(path: Path, box: tuple[int, int, int, int], *, seed: int) -> None:
    """A noisy picture of 64 x 48 pixels with a bright rectangle; `box` in 224-pixel units."""
    pixels = np.random.default_rng(seed).integers(0, 60, size=(48, 64, 3), dtype=np.uint8)
    x0, y0, x1, y1 = (round(v * side / 224) for v, side in zip(box, (64, 48) * 2, strict=True))
    pixels[y0:y1, x0:x1] = (250, 200, 90)
    Image.fromarray(pixels).save(path, quality=95)


def draw_vggss(root: Path) -> Path:
    """Six samples of three classes in the layout of VGG-SS."""
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    entries: list[dict[str, Any]] = []
    for number in range(6):
        box = (20 + 15 * number, 30, 120 + 15 * number, 150)
        name = f"clip{number}_000010"
        write_picture(root / "frames" / f"{name}.jpg", box, seed=number)
        write_tone(root / "audio" / f"{name}.wav", hertz=220.0 * (1 + number))
        entries.append(
            {"file": name, "class": CATEGORIES[number % 3], "bbox": [[v / 224 for v in box]]}
        )
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


def draw_is3(root: Path) -> Path:
    """Three pictures of two classes each, six samples, in the layout of IS3."""
    (root / "images").mkdir(parents=True)
    (root / "audio_wav").mkdir()
    entries: list[dict[str, Any]] = []
    pairs = (("dog", "bell"), ("bell", "train"), ("train", "dog"))
    for number, pair in enumerate(pairs):
        for side, sounding in enumerate(pair):
            box = (10 + 110 * side, 40, 100 + 110 * side, 160)
            name = f"{pair[0]}_{pair[1]}_{number}_{sounding}"
            write_picture(root / "images" / f"{name}.jpg", box, seed=number)
            write_tone(root / "audio_wav" / f"{name}.wav", hertz=300.0 * (1 + number + 3 * side))
            entries.append({"image": f"{name}.jpg", "audio": f"{name}.wav", "gt_box": list(box)})
    (root / "IS3_annotation.json").write_text(json.dumps(entries))
    return root


def draw_avsbench(root: Path) -> Path:
    """AVSBench S4 and MS3, VPO-SS and VPO-MS, two to ten samples each, with SSLalignment's lists.

    Nothing sounds in the first frame of a second video, and in VPO-MS's second sample.
    """
    numbers = range(1, 6)
    single, multi = ("dog/aaaaaaaaaaa", "bell/bbbbbbbbbbb"), ("cccccccccccc_0", "-ddddddddddd_1")
    s4 = [(f"{v}.wav", *2 * (f"{v}/{Path(v).name}_{k}.png",)) for v in single for k in numbers]
    ms3 = [(f"{v}.wav", f"{v}/{v}.mp4_{k}.png", f"{v}/{v}_{k}.png") for v in multi for k in numbers]
    pictures = ("000000000001_10", "000000000001_11", "000000000002_20")
    vpo = [(f"{name}.wav", f"{name}.jpg", f"{name}.jpg") for name in pictures]
    _draw_masked(root, "Single-source/s4_data", "/test", "/test", "s4", s4, silent=5)
    _draw_masked(root, "Multi-sources/ms3_data", "", "/test", "ms3", ms3, silent=5)
    _draw_masked(root, "SSL_COCO/COCO_AV", "", "", "vpo_ss", vpo[1:], silent=None)
    _draw_masked(root, "SSL_COCO/COCO_AV_MS", "", "", "vpo_ms", vpo, silent=1)
    rows = "".join(f"{Path(v).name},0,{Path(v).parent},test\n" for v in single)
    (root / "Single-source/s4_meta_data.csv").write_text(f"name,start,category,split\n{rows}")
    rows = "".join(f"{v},test\n" for v in multi) + "eeeeeeeeeee,train\n"
    (root / "Multi-sources/ms3_meta_data.csv").write_text(f"video_id,split\n{rows}")
    return root


def _draw_masked(
    root: Path,
    folder: str,
    images: str,
    masks: str,
    name: str,
    samples: list[tuple[str, str, str]],
    *,
    silent: int | None,
) -> None:
    """Samples (sound, picture and mask below their folders) and their lists of masks and boxes."""
    kinds = "gray_masks" if folder.startswith("SSL") else "gt_masks"
    boxed, segmented = [], []
    for number, (audio, image, mask) in enumerate(samples):
        paths = {
            "image": f"{folder}/visual_frames{images}/{image}",
            "audio": f"{folder}/audio_wav{masks}/{audio}",
            "mask": f"{folder}/{kinds}{masks}/{mask}",
        }
        for path in paths.values():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        box = (0, 0, 0, 0) if number == silent else (10 + 9 * number, 30, 130 + 9 * number, 150)
        marked = np.zeros((224, 224), np.uint8)
        marked[box[1] : box[3], box[0] : box[2]] = 255
        Image.fromarray(marked).save(root / paths["mask"])
        write_picture(root / paths["image"], box, seed=number)
        write_tone(root / paths["audio"], hertz=200.0 + len(audio) + number // 5)
        files = {kind: f"/mnt/authors/{paths[kind]}" for kind in ("image", "audio")}
        boxed.append({**files, "gt_box": [float(value) for value in box]})
        segmented.append({**files, "gt_box": f"/mnt/authors/{paths['mask']}", "offset": 1})
    (root / "metadata").mkdir(exist_ok=True)
    suffix = "box" if kinds == "gt_masks" else "bbox"
    (root / f"metadata/{name}_{suffix}.json").write_text(json.dumps(boxed))
    (root / f"metadata/{name}_seg.json").write_text(json.dumps(segmented))


def draw_flickr(root: Path) -> Path:
    """Three images of Flickr-SoundNet: two annotators, one with two boxes, none with a box."""
    annotated = {"101": [[(32, 64, 160, 192)], [(64, 64, 256, 256)]], "102": [], "103": [[]]}
    annotated["102"] = [[(0, 0, 128, 128), (16, 16, 64, 64)]]
    for folder in ("frames", "audio", "Annotations"):
        (root / folder).mkdir(parents=True)
    for number, (name, annotators) in enumerate(annotated.items()):
        write_picture(root / f"frames/{name}.jpg", (20, 20, 100, 100), seed=number)
        write_tone(root / f"audio/{name}.wav", hertz=300.0 + number)
        content = ""
        for boxes in annotators:
            values = ["".join(f"<n>{value}</n>" for value in (0, *box)) for box in boxes]
            content += f"<a>{''.join(f'<bbox>{value}</bbox>' for value in values)}</a>"
        (root / f"Annotations/{name}.xml").write_text(f"<all><x>1</x>{content}</all>")
    (root / "flickr_test.csv").write_text("".join(f"{name},5\n" for name in annotated))
    return root


def draw_music_duet(root: Path) -> Path:
    """Three frames of two videos of MUSIC-Duet, by AVGN's list."""
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    pairs = (("cello", "flute"), ("cello", "flute"), ("violin", "tuba"))
    names = ("one_two_000_00000", "one_two_001_00030", "three_000_00007")
    entries = []
    for number, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        write_picture(root / f"frames/{name}.jpg", (20, 20, 100, 100), seed=number)
        write_tone(root / f"audio/{name[:-10]}.wav", hertz=300.0 + len(name))
        boxes = ([0.1, 0.25, 0.2, 0.5], [0.5, 0.5, 0.375, 0.25])
        facts = {f"class_src{n}": each for n, each in enumerate(pair, 1)}
        facts |= {f"bbox_src{n}": each for n, each in enumerate(boxes, 1)}
        entries.append({"file": name, **facts})
    (root / "music_duet.json").write_text(json.dumps(entries))
    return root

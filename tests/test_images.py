"""Image files to normalized tensors."""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.running import run_settings
from vssl.config.build import build_transforms
from vssl.images import (
    ImageFileError,
    ImageTransform,
    PillowTransform,
    as_tensor,
    check_image,
    decode_image,
    is_image,
    prepare,
    read_image,
)
from vssl.resize import resize_antialiased

MEAN = np.array([0.485, 0.456, 0.406])[:, None, None]
STD = np.array([0.229, 0.224, 0.225])[:, None, None]
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None]
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def pixels(height: int = 40, width: int = 56) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(kind: str, *, mode: str = "RGB", scale: int = 1, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels(40 * scale, 56 * scale)).convert(mode).save(content, kind, **options)
    return content.getvalue()


def half_of_the_scan(content: bytes) -> bytes:
    """A JPEG without the second half of its coded pixels, but with its end."""
    begin = content.rindex(b"\xff\xda")
    return content[: (begin + len(content)) // 2] + b"\xff\xd9"


def zeros_inside(content: bytes) -> bytes:
    """A JPEG with zeros among its coded pixels."""
    middle = len(content) // 2
    return content[:middle] + bytes(600) + content[middle + 600 :]


def claiming(kind: str, side: int) -> bytes:
    """A small file that says that it holds a square of `side` pixels."""
    if kind == "PPM":
        return b"P6 %d %d 255\n" % (side, side)
    if kind == "PNG":
        head = b"IHDR" + struct.pack(">II", side, side) + b"\x08\2\0\0\0"
        content = encoded("PNG")
        return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    content = encoded("JPEG", mode="CMYK" if kind == "CMYK" else "RGB")
    begin = content.index(b"\xff\xc0")
    return content[: begin + 5] + struct.pack(">HH", side, side) + content[begin + 9 :]


def deep_gray() -> np.ndarray:
    """Gray values from 0 to 65535, `[40, 56]`."""
    return np.random.default_rng(0).integers(0, 65536, (40, 56), dtype=np.uint16)


def odd_tiff(mode: str) -> bytes:
    """A TIFF whose numbers say nothing about black and white."""
    if mode == "LAB":
        image = Image.fromarray(pixels(), "LAB")
    elif mode in ("F", "I"):
        image = Image.fromarray(deep_gray().astype(np.float32 if mode == "F" else np.int32))
    else:
        image = Image.fromarray(deep_gray())
    written = io.BytesIO()
    image.save(written, "TIFF")
    content = written.getvalue()
    short = struct.Struct("<HHIH")  # an entry of a TIFF: tag, type, count, value
    if mode == "12 bits":
        content = content.replace(short.pack(258, 3, 1, 16), short.pack(258, 3, 1, 12))
    if mode == "white is 0":
        content = content.replace(short.pack(262, 3, 1, 1), short.pack(262, 3, 1, 0))
    return content


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000", "PPM", "big TIFF"])
def test_gray_of_16_bits_loses_the_lower_ones(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(deep_gray())
    if kind == "big TIFF":
        image = Image.frombytes("I;16B", (56, 40), deep_gray().astype(">u2").tobytes())
    image.save(tmp_path / "image", kind.removeprefix("big "))
    check_image(tmp_path / "image")
    found = decode_image((tmp_path / "image").read_bytes(), tmp_path / "image")
    np.testing.assert_array_equal(found, np.repeat((deep_gray() >> 8)[..., None], 3, axis=2))


@pytest.mark.parametrize("largest", [1023, 4095, 65535])
def test_pgm_is_scaled_by_its_largest_value(tmp_path: Path, largest: int) -> None:
    written = np.linspace(0, largest, 8).astype(">u2")
    (tmp_path / "image").write_bytes(b"P5 4 2 %d\n" % largest + written.tobytes())
    found = read_image(tmp_path / "image")[0].numpy().ravel()
    np.testing.assert_allclose(found, written.astype(float) / largest, atol=1 / 255)


def test_colours_of_16_bits_lose_the_lower_ones(tmp_path: Path) -> None:
    # Pillow writes none: PNG of 16-bit RGB, row by row without a filter
    written = np.random.default_rng(0).integers(0, 65536, (4, 5, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in written)
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)]
    chunks += [b"IDAT" + zlib.compress(rows), b"IEND"]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )
    found = decode_image(content, tmp_path / "image.png")
    np.testing.assert_array_equal(found, written >> 8)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("P", "GIF"),
        ("1", "TIFF"), ("LA", "TIFF"), ("PA", "TIFF"), ("RGBX", "TIFF"), ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"), ("RGBA", "WEBP"), ("L", "JPEG"), ("YCbCr", "JPEG"),
    ],
)  # fmt: skip
def test_modes_of_8_bits_are_what_pillow_shows(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / "image"
    try:
        path.write_bytes(encoded(kind, mode=mode))
    except OSError as error:
        pytest.skip(f"Pillow does not write it: {error}")
    check_image(path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(path.read_bytes(), path), expected)


def test_orientation_tags_are_not_applied(tmp_path: Path) -> None:
    # the boxes refer to the stored pixels
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(pixels()).save(tmp_path / "image.jpg", exif=tags)
    assert read_image(tmp_path / "image.jpg").shape == (3, 40, 56)


def changed(content: bytes, place: int, value: int) -> bytes:
    """The content with another byte."""
    return content[:place] + bytes([value]) + content[place + 1 :]


JPEGS: dict[str, dict[str, Any]] = {
    "JPEG": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "gray": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "all colours": {"subsampling": 0},
    "RGB": {"keep_rgb": True, "subsampling": 0},
}


def faulty_files() -> dict[str, tuple[bytes, str]]:
    """Files that are refused, and what is said of them."""
    either, late = "not (readable|decodable) as an image ", "not decodable as an image "
    made = {
        "empty": (b"", either),
        "text": (b"this is text", either),
        "begin of a JPEG": (b"\xff\xd8\xff", either),
    }
    for kind, kept in itertools.product(("JPEG", "PNG"), (0.5, 0.9)):
        content = encoded(kind)
        made[f"{kind} {kept}"] = content[: int(len(content) * kept)], late
    # a byte of the length of the first chunk, of its type, of the pixels
    for place, value in ((11, 5), (13, 0), (60, 7)):
        made[f"PNG byte {place}"] = changed(encoded("PNG"), place, value), either
    # a stored block, in which no byte is impossible: only check sums can tell
    stored = encoded("PNG", compress_level=0)
    pixel, check_sum = stored.index(b"IDAT") + 2000, stored.index(b"IEND") - 6
    made["PNG pixel"] = changed(stored, pixel, stored[pixel] ^ 1), late
    made["PNG check sum"] = changed(stored, check_sum, stored[check_sum] ^ 1), late
    made["PNG without an end"] = stored[: stored.index(b"IEND") - 4], late
    for kind in ("WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "TGA"):
        content = encoded(kind)
        made[f"half of {kind}"] = content[: len(content) // 2], either
    scale = r"its pixels \(TIFF, mode .*\) have no known scale. Save it with 8"
    for mode in ("F", "I", "LAB", "12 bits", "white is 0"):
        made[f"TIFF {mode}"] = odd_tiff(mode), scale
    # Pillow reads all of these, and paints gray what it has to guess
    for name, options in JPEGS.items():
        content = encoded("JPEG", scale=5, **options)
        made[f"half of the scan, {name}"] = half_of_the_scan(content), late
        made[f"zeros inside, {name}"] = zeros_inside(content), late
    comment = encoded("JPEG", comment=b"\xff\xda\0\2 some \xff\xd9")
    made["an end in a comment alone"] = comment[: comment.index(b" some \xff\xd9") + 8], either
    return made


FAULTY = faulty_files()


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_files(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "image", *FAULTY[name])


def refused(path: Path, content: bytes, message: str) -> None:
    """Neither the check nor the run takes a file."""
    path.write_bytes(content)
    for read in (read_image, check_image):
        with pytest.raises(ImageFileError, match=f"^{re.escape(str(path))}: {message}"):
            read(path)


@pytest.mark.parametrize("side", [20_000, 65_500])
@pytest.mark.parametrize("kind", ["JPEG", "CMYK", "PPM", "PNG"])
def test_impossible_sizes(tmp_path: Path, kind: str, side: int) -> None:
    # Pillow refuses to open pictures that would fill the memory; what they claim takes none
    content = claiming(kind, side)
    tracemalloc.start()
    refused(tmp_path / "image", content, "not (readable|decodable) as an image ")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("read", [read_image, check_image])
def test_what_is_no_file(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # to open it would wait for ever
    for path, message in {
        tmp_path / "none.jpg": "no such file$",
        tmp_path: "no such file, there is a folder of that name$",
        tmp_path / ("n" * 300): "not readable ",
        tmp_path / "file" / "below": "no such file$",
        tmp_path / "pipe.jpg": "no such file, there is a pipe or a device of that name$",
    }.items():
        with pytest.raises(ImageFileError, match=f"^{re.escape(str(path))}: {message}"):
            read(path)


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})]
)
@given(share=st.floats(0, 1), damage=st.one_of(st.none(), st.integers(0, 255)))
def test_what_is_checked_can_be_read(
    tmp_path: Path, kind: str, options: dict[str, bool], share: float, damage: int | None
) -> None:
    # the check decodes coarsely; it must not let a file through that stops the run later
    content = bytearray(encoded(kind, **options))
    place = int(share * (len(content) - 1))
    if damage is None:
        del content[place:]
    else:
        content[place] = damage
    path = tmp_path / "image"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
        try:
            check_image(path)
        except ImageFileError:
            return
        assert read_image(path).shape[0] == 3


@pytest.mark.parametrize("dataset", ["vggss_mini", "is3_mini"])
def test_without_antialias_equals_the_authors_tensors(shared: Path, dataset: str) -> None:
    folder = shared / "data" / dataset / ("frames" if dataset == "vggss_mini" else "images")
    transform = ImageTransform(antialias=False)
    with np.load(shared / "golden" / "dev" / dataset / "images.npz") as golden:
        assert len(golden) == 3
        for sample_id, expected in golden.items():
            found = transform(read_image(folder / f"{sample_id}.jpg"))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, err_msg=sample_id)


@pytest.mark.parametrize(
    ("height", "width"), [(300, 500), (1024, 1024), (100, 150), (224, 300), (225, 223)]
)
def test_antialias_equals_pillow(height: int, width: int) -> None:
    image = np.random.default_rng(0).random((3, height, width), dtype=np.float32)
    found = ImageTransform(antialias=True)(torch.from_numpy(image))
    resized = [Image.fromarray(c).resize((224, 224), Image.Resampling.BICUBIC) for c in image]
    # torch keeps the weights of the filter in float32, Pillow in float64; over 100 x 100 to 1024 x
    # 1024 this makes 1.5e-5, divided by the std of about 0.22 (another bicubic: more than 1e-2)
    np.testing.assert_allclose(found, (np.stack(resized) - MEAN) / STD, rtol=0, atol=1e-4)


@pytest.mark.parametrize("antialias", [False, True])
def test_no_resize_when_already_at_size(antialias: bool) -> None:
    image = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
    found = ImageTransform(antialias=antialias)(torch.from_numpy(image.copy()))
    np.testing.assert_allclose(found, (image - MEAN) / STD, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "protocol"), [("rcgrad", "corrected"), ("rcgrad_raw", "released")]
)
@pytest.mark.parametrize("dataset", ["vggss_mini", "is3_mini"])
def test_rcgrads_images_are_the_authors_tensors(
    shared: Path, dataset: str, model: str, protocol: str
) -> None:
    folder = shared / "data" / dataset / ("frames" if dataset == "vggss_mini" else "images")
    transform, _ = build_transforms(run_settings(f"model={model}", f"protocol={protocol}"))
    with np.load(shared / "golden" / "dev" / dataset / "rcgrad" / "preprocessing.npz") as golden:
        assert golden["images"].shape == (3, 3, 224, 224)
        for sample_id, expected in zip(golden["ids"], golden["images"], strict=True):
            found = transform(read_image(folder / f"{sample_id}.jpg"))
            # one step of 8 bits is 1.4e-2
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, err_msg=sample_id)


class TestPillowTransform:
    @pytest.mark.parametrize(
        ("height", "width", "size"), [(300, 500, 224), (100, 150, 224), (40, 56, 32), (1, 1, 8)]
    )
    @pytest.mark.parametrize("options", [{}, {"resample": "bilinear"}], ids=["bicubic", "bilinear"])
    def test_equals_pillow(
        self, tmp_path: Path, height: int, width: int, size: int, options: Any
    ) -> None:
        written = Image.fromarray(pixels(height, width))
        written.save(tmp_path / "image.png")
        normal = {"mean": CLIP_MEAN.ravel().tolist(), "std": CLIP_STD.ravel().tolist()}
        found = PillowTransform(size=size, **normal, **options)(read_image(tmp_path / "image.png"))
        resampling = Image.Resampling.BILINEAR if options else Image.Resampling.BICUBIC
        resized = np.asarray(written.resize((size, size), resampling))
        expected = (resized.transpose(2, 0, 1) / 255 - CLIP_MEAN) / CLIP_STD
        assert found.dtype == torch.float32
        assert found.shape == (3, size, size)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


class TestResize:
    """The compiled antialiased resize against torch's."""

    @given(height=st.integers(1, 700), width=st.integers(1, 700), size=st.integers(1, 300))
    def test_is_torchs(self, height: int, width: int, size: int) -> None:
        noise = pixels(height, width)
        image = torch.from_numpy(noise).permute(2, 0, 1).float() / 255
        expected = torch.nn.functional.interpolate(
            image[None], size=(size, size), mode="bicubic", align_corners=False, antialias=True
        )[0]
        # torch computes the places of its sums in float32
        np.testing.assert_allclose(resize_antialiased(noise, size), expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        "transform",
        [
            ImageTransform(size=48),
            ImageTransform(size=48, antialias=False),
            PillowTransform(size=48, mean=[0.5] * 3, std=[0.2] * 3),
        ],
        ids=["antialiased", "plain", "pillow"],
    )
    @pytest.mark.parametrize("shape", [(90, 130), (48, 48), (20, 31)])
    def test_pixels_and_tensors_give_the_same(
        self, transform: ImageTransform | PillowTransform, shape: tuple[int, ...]
    ) -> None:
        noise = pixels(*shape)
        prepared = prepare(transform, noise)
        assert prepared.dtype == torch.float32
        np.testing.assert_allclose(prepared, transform(as_tensor(noise)), rtol=0, atol=1e-4)

    def test_a_transform_of_ones_own_takes_a_tensor(self) -> None:
        flipped = prepare(lambda image: image.flip(2), pixels())
        np.testing.assert_array_equal(flipped, as_tensor(pixels()).flip(2))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"quality": 100, "subsampling": 0},
        {"quality": 20},
        {"optimize": True, "comment": b"\xff\xd9 is no end here"},
    ],
)
def test_jpegs_are_decoded_as_pillow_decodes_them(
    tmp_path: Path, mode: str, options: dict[str, Any]
) -> None:
    path = tmp_path / "image.jpg"
    noise = np.random.default_rng(2).integers(0, 256, (83, 117, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((201, 133)).convert(mode).save(path, **options)
    for tail in (b"", b"\0", b"text behind the end"):
        path.write_bytes(path.read_bytes() + tail)
        check_image(path)
        with Image.open(path) as image:
            expected = np.array(image.convert("RGB"))
        np.testing.assert_array_equal(decode_image(path.read_bytes(), path), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF"])
def test_damaged_images_are_images(tmp_path: Path, kind: str) -> None:
    # FFmpeg would make a video of one frame of most of these
    path = tmp_path / "image"
    for content in (encoded(kind), encoded(kind)[:18], claiming("JPEG", 65_500)):
        path.write_bytes(content)
        assert is_image(path)
    path.write_bytes(b"RIFF\0\0\0\0AVI LIST")
    assert not is_image(path)

"""Image files to normalized tensors."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

from vssl.errors import UsageError
from vssl.resize import resize_antialiased

Transform = Callable[[torch.Tensor], torch.Tensor]
"""Decoded image `[3, H, W]` in [0, 1] to network input `[3, size, size]`."""

Pixels = npt.NDArray[np.uint8]

_JPEG_BEGIN, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_ORDINARY_COLOURS = ("YCbCr", "RGB", "Gray")

# what Pillow raises for damaged files; UnidentifiedImageError is an OSError
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class ImageFileError(UsageError):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


def read_image(path: Path) -> torch.Tensor:
    """Decode an image file at its full size.

    Returns:
        `[3, H, W]` float32 RGB in [0, 1].

    Raises:
        ImageFileError: for a missing, unreadable or cut-off file.
    """
    return as_tensor(decode_image(read_bytes(path), path))


def read_bytes(path: Path) -> bytes:
    """The content of an image file.

    Raises:
        ImageFileError: for a missing or unreadable file.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ImageFileError(f"{path}: no such file") from error
    except OSError as error:
        raise ImageFileError(f"{path}: not readable ({error.strerror})") from error


def decode_image(data: bytes, path: Path) -> Pixels:
    """Decode the content of an image file at its full size.

    Orientation tags are not applied: the annotations of VGG-SS and IS3 refer to the stored pixels.

    Args:
        data: content of the file.
        path: the file, for messages.

    Returns:
        `[H, W, 3]` RGB, 0 to 255.

    Raises:
        ImageFileError: for content that is cut off or no image.
    """
    pixels = _decode_jpeg(data)
    if pixels is None:
        with _open(path, io.BytesIO(data)) as image:
            try:
                pixels = np.array(image.convert("RGB"))
            except _PILLOW_ERRORS as error:
                raise ImageFileError(f"{path}: not decodable as an image ({error})") from error
    return pixels


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Pixels `[H, W, 3]` as a float32 tensor `[3, H, W]` in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def prepare(transform: Transform, pixels: Pixels) -> torch.Tensor:
    """Transform a decoded image; one with `of_pixels` takes it as it was decoded, which is faster.

    Args:
        transform: the transform.
        pixels: `[H, W, 3]`.

    Returns:
        What the network takes, usually `[3, size, size]` float32.
    """
    of_pixels: Callable[[Pixels], torch.Tensor] | None = getattr(transform, "of_pixels", None)
    return transform(as_tensor(pixels)) if of_pixels is None else of_pixels(pixels)


def _decode_jpeg(data: bytes) -> Pixels | None:
    """Pixels `[H, W, 3]` of an ordinary JPEG, as Pillow decodes it but faster; else None.

    What is cut off, in CMYK or no JPEG at all is left to Pillow, with its messages.
    """
    try:
        if not _has_ordinary_colours(data):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:
        return None
    return pixels


def _has_ordinary_colours(data: bytes) -> bool:
    """Whether this is a JPEG in colours that simplejpeg turns into RGB as Pillow does.

    Raises:
        ValueError: for a JPEG without a readable header.
    """
    if not data.startswith(_JPEG_BEGIN):
        return False
    _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
    return colours in _ORDINARY_COLOURS


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether this is an ordinary JPEG of one scan that decodes to the end; False where unsure.

    In a scan every byte 255 is followed by 0 or by the number of a restart: another one behind it
    is a marker, and the only marker there must be the end, as the last two bytes.
    """
    pixels = _scan_of_jpeg(data)
    if pixels is None:
        return False
    scan = np.frombuffer(data, np.uint8, offset=pixels)
    behind = scan[1:][scan[:-1] == 255]
    markers = behind[(behind != 0) & (behind != 255) & ((behind < 0xD0) | (behind > 0xD7))]
    if len(markers) != 1 or not data.endswith(_JPEG_END):
        return False
    try:
        if not _has_ordinary_colours(data):
            return False
        tables = data[:pixels] + _JPEG_END
        simplejpeg.decode_jpeg(tables, colorspace="RGB", min_height=1, min_width=1, strict=False)
    except ValueError:
        return False
    return True


def _scan_of_jpeg(data: bytes) -> int | None:
    """Where the coded pixels of a JPEG's first scan begin; None where that cannot be found."""
    if not data.startswith(_JPEG_BEGIN):
        return None
    place = len(_JPEG_BEGIN)
    while place + 4 <= len(data) and data[place] == 255:
        kind, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind < 0xC0 or 0xD0 <= kind <= 0xD9:  # fill bytes, or markers that have no place here
            return None
        place += 2 + length
        if kind == 0xDA:
            return place if place < len(data) else None
    return None


def is_image(path: Path) -> bool:
    """Whether a file begins as an image; videos that Pillow knows by name only are none."""
    try:
        with Image.open(path) as image:
            return image.format != "MPEG"
    except _PILLOW_ERRORS:
        return False


def check_image(path: Path) -> None:
    """Read a file and make sure that it can be decoded.

    An ordinary JPEG is not decoded for that: its tables are tried, and its pixels end where they
    have to. Others are, as coarsely as their format allows (JPEG: 1/8), to the last byte.

    Raises:
        ImageFileError: as `read_image`.
    """
    data = read_bytes(path)
    if _is_whole_jpeg(data):
        return
    with _open(path, io.BytesIO(data)) as image:
        try:
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
        except _PILLOW_ERRORS as error:
            raise ImageFileError(f"{path}: not decodable as an image ({error})") from error


def _open(path: Path, source: Path | io.BytesIO) -> Image.Image:
    try:
        return Image.open(source)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ImageFileError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:  # whose text names an object in memory
        raise ImageFileError(f"{path}: not readable as an image (unknown format)") from error
    except _PILLOW_ERRORS as error:
        raise ImageFileError(f"{path}: not readable as an image ({error})") from error


class PillowTransform:
    """Resize as an 8-bit Pillow image, bicubic, aspect ratio not kept, and normalize (RCGrad).

    Pillow antialiases and rounds to 8 bits.

    Args:
        size: side of the output in pixels.
        mean: per-channel mean.
        std: per-channel standard deviation.
    """

    def __init__(self, *, size: int = 224, mean: Sequence[float], std: Sequence[float]) -> None:
        self.size = size
        self.mean = torch.tensor(list(mean)).view(3, 1, 1)
        self.std = torch.tensor(list(std)).view(3, 1, 1)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Transform `[3, H, W]` in [0, 1] to `[3, size, size]` normalized."""
        return self.of_pixels((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())

    def of_pixels(self, pixels: Pixels) -> torch.Tensor:
        """Transform `[H, W, 3]` to `[3, size, size]` normalized."""
        resized = Image.fromarray(pixels).resize((self.size, self.size), Image.Resampling.BICUBIC)
        scaled = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        return (scaled - self.mean) / self.std


class ImageTransform:
    """Resize to a square, aspect ratio not kept, and normalize; as every model of the paper.

    Bicubic on the float tensor, values not clamped afterwards. The paper's torchvision (0.14) does
    not antialias tensors; the models were trained on Pillow-resized, that is antialiased, images:
    so `antialias` is a protocol's choice (QUIRKS 11).

    Args:
        size: side of the output in pixels.
        mean: per-channel mean.
        std: per-channel standard deviation.
        antialias: whether downscaling low-passes first.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        antialias: bool = True,
    ) -> None:
        self.size = size
        self.antialias = antialias
        self.mean = torch.tensor(list(mean)).view(3, 1, 1)
        self.std = torch.tensor(list(std)).view(3, 1, 1)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Transform `[3, H, W]` in [0, 1] to `[3, size, size]` normalized."""
        if image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(
                image[None],
                size=(self.size, self.size),
                mode="bicubic",
                align_corners=False,
                antialias=self.antialias,
            )[0]
        return (image - self.mean) / self.std

    def of_pixels(self, pixels: Pixels) -> torch.Tensor:
        """Transform `[H, W, 3]` to `[3, size, size]` normalized."""
        if not self.antialias:
            return self(as_tensor(pixels))
        resized = torch.from_numpy(resize_antialiased(pixels, self.size))
        return resized.sub_(self.mean).div_(self.std)

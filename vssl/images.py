"""Image files: decoded, checked, and transformed to network inputs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.core.media import decoding, require_file
from vssl.resize import resize_antialiased, resize_as_opencv

Transform = Callable[[torch.Tensor], torch.Tensor]
"""Decoded image `[3, H, W]` in [0, 1] to network input `[3, size, size]`."""

Pixels = npt.NDArray[np.uint8]

_HEAD = 1 << 15  # bytes of a JPEG that most often hold its size
_JPEG_BEGIN = b"\xff\xd8"
_IMAGES = (_JPEG_BEGIN, b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_ORDINARY_COLOURS = ("YCbCr", "RGB", "Gray")

_PLAIN_MODES = frozenset(
    ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")
)
"""8-bit modes that Pillow converts to RGB correctly."""

_DEEP_FORMATS = {"PNG": "I;16", "JPEG2000": "I;16", "TIFF": "I;16", "PPM": "I"}
"""Formats whose deep gray Pillow decodes to 0 to 65535, and the begin of that mode's name.

Pillow's own conversion to RGB would cut these values off at 255.
"""

_UNDECODABLE = "not decodable as an image"
_BITS, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1  # of TIFF


class ImageFileError(UsageError):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


def read_image(path: Path) -> torch.Tensor:
    """Decode an image file at its full size: `[3, H, W]` float32 RGB in [0, 1].

    Raises:
        ImageFileError: for a missing, unreadable or cut-off file.
    """
    return as_tensor(decode_image(read_bytes(path), path))


def read_bytes(path: Path) -> bytes:
    """Read the content of an image file.

    Raises:
        ImageFileError: for a missing or unreadable file, a folder or a pipe.
    """
    require_file(path, ImageFileError)
    with decoding(path, ImageFileError, "not readable"):
        return path.read_bytes()


def decode_image(data: bytes, path: Path) -> Pixels:
    """Decode the content of an image file at its full size: `[H, W, 3]` RGB, 0 to 255.

    Orientation tags are not applied: the annotations of VGG-SS and IS3 refer to the stored pixels.
    Of 16-bit gray the upper 8 bits are kept. Alpha is dropped.

    Raises:
        ImageFileError: for content that is cut off, damaged, too large or no image, and for pixels
            of unknown scale.
    """
    if _is_plain_jpeg(data, path, whole=False):
        with decoding(path, ImageFileError, _UNDECODABLE):
            pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
        return pixels
    with _loaded(data, path) as image, decoding(path, ImageFileError, _UNDECODABLE):
        if image.mode in _PLAIN_MODES:
            return np.array(image.convert("RGB"))
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Convert pixels `[H, W, 3]` to a float32 tensor `[3, H, W]` in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def prepare(transform: Transform, pixels: Pixels) -> torch.Tensor:
    """Transform a decoded image `[H, W, 3]`, by the transform's `of_pixels` if it has one."""
    of_pixels: Callable[[Pixels], torch.Tensor] | None = getattr(transform, "of_pixels", None)
    return transform(as_tensor(pixels)) if of_pixels is None else of_pixels(pixels)


def is_image(path: Path) -> bool:
    """Whether a file is an image, damaged or not; MPEG videos, which Pillow opens, are none."""
    try:
        with Image.open(path) as image:
            return image.format != "MPEG"
    except Exception:  # Pillow's readers raise many things on other files
        return read_bytes(path).startswith(_IMAGES)


class ImageFacts(NamedTuple):
    """Size of an image file in pixels, and its format."""

    width: int
    height: int
    format: str


def check_image(path: Path) -> ImageFacts:
    """Check that a file can be decoded, a JPEG at 1/8 of its size.

    Raises:
        ImageFileError: as `read_image`.
    """
    data = read_bytes(path)
    if _is_plain_jpeg(data, path, whole=True):
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return ImageFacts(width, height, "JPEG")
    with _loaded(data, path) as image:
        return ImageFacts(*image.size, str(image.format))


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file in pixels by its header; None where it has none."""
    with suppress(Exception):  # decoders raise anything; `check_image` says what is wrong
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(_JPEG_BEGIN):
            with suppress(ValueError):  # a header that is longer
                height, width, *_ = simplejpeg.decode_jpeg_header(head)
                return width, height
        with Image.open(path) as image:
            return image.size
    return None


def _is_plain_jpeg(data: bytes, path: Path, *, whole: bool) -> bool:
    """Whether a file is a JPEG for simplejpeg; `whole` also checks that it can be decoded."""
    if not data.startswith(_JPEG_BEGIN):
        return False
    # faster than Pillow, and refuses damage that Pillow paints gray, also in CMYK, whose colours
    # only Pillow converts
    with decoding(path, ImageFileError, _UNDECODABLE):
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow's own limit
            raise Image.DecompressionBombError(f"{width} x {height} pixels are too many")
        ordinary = colours in _ORDINARY_COLOURS
        if whole or not ordinary:
            space = "RGB" if ordinary else "CMYK"
            simplejpeg.decode_jpeg(data, colorspace=space, min_height=1, min_width=1)
    return ordinary


def _loaded(data: bytes, path: Path) -> Image.Image:
    """Decode an image by Pillow; refuse modes whose scale is unknown."""
    image = _open_image(data, path)
    with decoding(path, ImageFileError, _UNDECODABLE):
        if image.format == "PNG":
            _open_image(data, path).verify()  # check sums, which decoding ignores
        image.load()
    tags = getattr(image, "tag_v2", {_BITS: (16,)})  # of TIFF alone
    deep = (  # gray from 0 (black) to 65535 (white)
        image.mode.startswith(_DEEP_FORMATS.get(str(image.format), "none"))
        and tags.get(_BITS) == (16,)
        and tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO) == _BLACK_IS_ZERO
    )
    if image.mode not in _PLAIN_MODES and not deep:
        raise ImageFileError(
            f"{path}: its pixels ({image.format}, mode {image.mode}) have no known scale. Save it"
            " with 8 bits a colour, in RGB."
        )
    return image


def _open_image(data: bytes, path: Path) -> Image.Image:
    with decoding(path, ImageFileError, "not readable as an image"):
        try:
            return Image.open(io.BytesIO(data))
        except UnidentifiedImageError as error:  # whose text names an object in memory
            raise ValueError("unknown format") from error


class _Normalized:
    """A transform with the side of its output in pixels, and each channel's mean and deviation."""

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self.size = size
        self.mean = torch.tensor(list(mean)).view(3, 1, 1)
        self.std = torch.tensor(list(std)).view(3, 1, 1)


class PillowTransform(_Normalized):
    """Resize by Pillow and normalize (RCGrad, CLIPTran, ACL; DenseAV with `resample=bilinear`).

    Antialiased, aspect ratio not kept, rounded to 8 bits. `size` is the side of the output in
    pixels; `mean` and `std` are of each channel; `resample` is `bicubic` or `bilinear`.
    `opencv_size` is the side to which each image is brought before, as by OpenCV, for a model whose
    authors stored their frames so (SACL).

    Raises:
        ValueError: for another `resample`.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        mean: Sequence[float],
        std: Sequence[float],
        resample: Literal["bicubic", "bilinear"] = "bicubic",
        opencv_size: int | None = None,
    ) -> None:
        super().__init__(size, mean, std)
        check_choice(resample, ("bicubic", "bilinear"), name="resample")
        self.filter = Image.Resampling[resample.upper()]
        self.opencv_size = opencv_size

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Transform `[3, H, W]` in [0, 1] to `[3, size, size]` normalized."""
        return self.of_pixels((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())

    def of_pixels(self, pixels: Pixels) -> torch.Tensor:
        """Transform `[H, W, 3]` to `[3, size, size]` normalized."""
        if self.opencv_size is not None:
            pixels = resize_as_opencv(pixels, self.opencv_size)
        resized = Image.fromarray(pixels).resize((self.size, self.size), self.filter)
        scaled = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        return (scaled - self.mean) / self.std


class ImageTransform(_Normalized):
    """Resize and normalize, as every other model of the paper.

    Bicubic on the float tensor, aspect ratio not kept, values not clamped. The paper's torchvision
    (0.14) does not antialias tensors, but the models were trained on images that Pillow resized
    with antialiasing. So `antialias` is a protocol's choice (docs/protocols.md, R1). `size` is the
    side of the output in pixels; `mean` and `std` are of each channel.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        antialias: bool = True,
    ) -> None:
        super().__init__(size, mean, std)
        self.antialias = antialias

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Transform `[3, H, W]` in [0, 1] to `[3, size, size]` normalized."""
        if image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(
                image[None], (self.size, self.size), mode="bicubic", antialias=self.antialias
            )[0]
        return (image - self.mean) / self.std

    def of_pixels(self, pixels: Pixels) -> torch.Tensor:
        """Transform `[H, W, 3]` to `[3, size, size]` normalized."""
        if not self.antialias:
            return self(as_tensor(pixels))
        resized = torch.from_numpy(resize_antialiased(pixels, self.size))
        return resized.sub_(self.mean).div_(self.std)

"""Figures, images and sounds, made small enough for a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from vssl.audio import AudioFileError, mix_down, read_clip
from vssl.images import ImageFileError, decode_image, read_bytes

IMAGE_SIDE = 320
"""Longer side in pixels of an image on the page."""

PLAYED_SECONDS = 5.0
"""How much of a clip the page plays, from its start."""

_IMAGE_QUALITY = 78
_LARGE_FIGURE = 150_000  # bytes
_FIGURE_SIZE = (1_500, 3_000)
_WEBP_QUALITY = 80
_PAGE_DPI = 128  # figures are drawn for paper, a page has more room
_FULL_SCALE = 0.99  # encoders of sounds overshoot what they are given


def small_image(path: Path) -> str | None:
    """A small JPEG of an image as data address; None where the file is not at hand or broken."""
    try:
        image = Image.fromarray(decode_image(read_bytes(path), path))
    except ImageFileError:
        return None
    image.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)
    return encoded_image(image, "jpeg", quality=_IMAGE_QUALITY, optimize=True)


def small_clip(path: Path) -> str | None:
    """The start of a clip, mono, as the data address of an MP3; None as above."""
    try:
        clip = read_clip(path)
    except AudioFileError:
        return None
    samples = mix_down(clip, "mean")[: round(PLAYED_SECONDS * clip.rate)]
    samples = samples * min(1.0, _FULL_SCALE / max(float(np.abs(samples).max()), 1e-9))
    content = io.BytesIO()
    soundfile.write(content, samples, clip.rate, format="MP3")
    return data_address("audio/mpeg", content.getvalue())


def figure_address(svg: Path, png: Path) -> str:
    """The data address of a figure: of its smaller file, or of a WebP where both are large."""
    path = min((svg, png), key=lambda each: each.stat().st_size)
    if path.stat().st_size <= _LARGE_FIGURE:
        media = "image/svg+xml" if path == svg else "image/png"
        return data_address(media, path.read_bytes())
    with Image.open(png) as drawn:
        image = drawn.convert("RGB")
    image.thumbnail(_FIGURE_SIZE, Image.Resampling.LANCZOS)
    return encoded_image(image, "webp", quality=_WEBP_QUALITY)


def figure_size(png: Path) -> tuple[int, int]:
    """Width and height of a figure in pixels of a page, so that room is kept until it is drawn."""
    with Image.open(png) as drawn:
        dots = float(drawn.info.get("dpi", (_PAGE_DPI,))[0])
        return round(drawn.width * _PAGE_DPI / dots), round(drawn.height * _PAGE_DPI / dots)


def data_address(media: str, content: bytes) -> str:
    """Content as an address that needs no network: `data:<media>;base64,...`."""
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def encoded_image(image: Image.Image, kind: str, **options: Any) -> str:
    """An image as data address, written by Pillow as `kind` with its options."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return data_address(f"image/{kind}", content.getvalue())

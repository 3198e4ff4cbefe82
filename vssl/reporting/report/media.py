"""Figures, images and sounds, small enough to stand inside a page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import soundfile
from PIL import Image

from vssl.audio import AudioFileError, mix_down, read_clip
from vssl.images import ImageFileError, decode_image, read_bytes
from vssl.records.files import RUN_FILE

IMAGE_SIDE = 320
"""Longer side in pixels of an image on the page."""

CLIP_SECONDS = 5.0
"""How much of a clip the page plays, from its start."""

_JPEG_QUALITY = 78
_LARGE_FIGURE = 150_000  # bytes
_FIGURE_SIZE = (1_500, 3_000)
_WEBP_QUALITY = 80
_PAGE_DPI = 128  # figures are drawn for paper, a page has more room
_AUDIO_FOLDERS = ("audio", "audio_wav")
_AUDIO_SUFFIX = ".wav"
_FULL_SCALE = 0.99  # encoders of sounds overshoot what they are given


def small_image(path: Path) -> str | None:
    """An image as the data address of a small JPEG; None where the file is not at hand or broken.

    The aspect is the file's; maps and boxes, which are square, are stretched over it.
    """
    try:
        pixels = decode_image(read_bytes(path), path)
    except ImageFileError:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return data_address("image/jpeg", content.getvalue())


def small_clip(path: Path) -> str | None:
    """The start of a clip, mono, as the data address of a small sound file; None as above.

    MP3, which every browser plays, or Ogg Vorbis where libsndfile is too old to write it.
    """
    try:
        clip = read_clip(path)
    except AudioFileError:
        return None
    samples = mix_down(clip, "mean")[: round(CLIP_SECONDS * clip.rate)]
    samples = samples * min(1.0, _FULL_SCALE / max(float(np.abs(samples).max()), 1e-9))
    kind, media = ("MP3", "audio/mpeg") if _writes_mp3() else ("OGG", "audio/ogg")
    content = io.BytesIO()
    soundfile.write(content, samples, clip.rate, format=kind)
    return data_address(media, content.getvalue())


def figure_address(svg: Path, png: Path) -> str:
    """The data address of a figure: of its smaller file, or of a WebP where both are large."""
    path = min((svg, png), key=lambda each: each.stat().st_size)
    if path.stat().st_size <= _LARGE_FIGURE:
        media = "image/svg+xml" if path == svg else "image/png"
        return data_address(media, path.read_bytes())
    with Image.open(png) as drawn:
        image = drawn.convert("RGB")
    image.thumbnail(_FIGURE_SIZE, Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "WEBP", quality=_WEBP_QUALITY)
    return data_address("image/webp", content.getvalue())


def figure_size(png: Path) -> tuple[int, int]:
    """Width and height of a figure in pixels of a page, so that room is kept until it is drawn."""
    with Image.open(png) as drawn:
        dots = float(drawn.info.get("dpi", (_PAGE_DPI,))[0])
        width, height = (round(side * _PAGE_DPI / dots) for side in drawn.size)
    return width, height


def _writes_mp3() -> bool:
    return "MP3" in soundfile.available_formats()


def data_address(media: str, content: bytes) -> str:
    """Content as an address that needs no network: `data:<media>;base64,...`."""
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Sounds:
    """Where the clips of a test set are.

    For clips that are not, or no more, where the records say: they are sought beside the images,
    in the folder that the run's configuration names, or that the readers of vssl have by default.

    Attributes:
        image_folder: the configured folder of images below the test set's own; empty if none is.
        audio_folders: folders to look into, below the test set's.
        suffix: of the clips' files.
    """

    image_folder: str = ""
    audio_folders: tuple[str, ...] = _AUDIO_FOLDERS
    suffix: str = _AUDIO_SUFFIX

    @classmethod
    def of(cls, run: Path) -> Sounds:
        """The clips of a run's test set, from its configuration."""
        try:
            data = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))["config"]["data"]
        except (OSError, ValueError, KeyError, TypeError):
            return cls()
        if not isinstance(data, dict):
            return cls()
        named = [str(data["audio_folder"])] if data.get("audio_folder") else []
        return cls(
            image_folder=str(data.get("image_folder") or ""),
            audio_folders=tuple(dict.fromkeys((*named, *_AUDIO_FOLDERS))),
            suffix=str(data.get("audio_suffix") or _AUDIO_SUFFIX),
        )

    def find(self, sample_id: str, image_path: Path) -> Path | None:
        """The clip of a sample; None where no such file is at hand.

        Args:
            sample_id: whose clip.
            image_path: any image of the test set.
        """
        return next((path for path in self._candidates(sample_id, image_path)), None)

    def _candidates(self, sample_id: str, image_path: Path) -> Iterator[Path]:
        below = max(1, len(PurePath(self.image_folder).parts))
        if len(image_path.parents) <= below or "/" in sample_id:
            return
        for folder in self.audio_folders:
            path = image_path.parents[below] / folder / f"{sample_id}{self.suffix}"
            if path.is_file():
                yield path

"""Samples without files."""

from __future__ import annotations

from pathlib import Path

from vssl.types import AudioClip, Sample


def make_sample(
    sample_id: str, category: str, seen: tuple[str, ...] = (), *, length: int = 160
) -> Sample:
    return Sample(
        sample_id=sample_id,
        image_path=Path(f"{sample_id}.jpg"),
        audio_path=Path(f"{sample_id}.wav"),
        category=category,
        image_categories=seen or (category,),
        image_group=sample_id,
        boxes=((10, 10, 100, 100),),
        box_weights=(1.0,),
        audio_length=length,
    )


def unheard(source_id: str) -> AudioClip:
    """Stands where a condition must not read any file."""
    raise AssertionError(f"{source_id} was read")

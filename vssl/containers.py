"""Whether a file is cut off, by what its container says of sizes.

FFmpeg reads what there is of a file, and takes the place where it was cut for its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_STREAMED = 0x7FFF_F000
"""Sizes from here on are what programs write that stream into a pipe and cannot know them."""

_ATOMS = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"styp")
)
"""Parts that an mp4 or mov consists of; others behind them are no part of it."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_PACKET = 188
"""Bytes of a packet of a transport stream; each begins with 0x47."""


def is_cut_off(path: Path) -> bool:
    """Whether a file is shorter than its container says.

    Known of AVI and wav, Matroska and WebM, mp4 and mov, FLV, transport streams. False for others,
    and where the container does not say.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(2 * _PACKET + 1)
        if head[:4] == b"RIFF":
            said = int.from_bytes(head[4:8], "little")
            return size < said + 8 and said < _STREAMED
        if head[:4] == _EBML:
            return size < _end_of_segment(head)
        if head[4:8] in _ATOMS:
            return size < max(_ends_of_atoms(file, size), default=0)
        if head[::_PACKET] == b"\x47" * 3:
            return size % _PACKET != 0
        return head[:3] == b"FLV" and not _ends_with_a_tag(file, size)


def _ends_with_a_tag(file: BinaryIO, size: int) -> bool:
    """Whether an FLV ends with a whole tag, whose length follows it."""
    file.seek(size - 4)
    length = int.from_bytes(file.read(), "big")
    file.seek(max(0, size - 4 - length))
    return int.from_bytes(file.read(4)[1:], "big") + 11 == length


def _end_of_segment(head: bytes) -> int:
    """Where the segment of a Matroska file ends; 0 where it does not say."""
    end = _end_of_element(head, len(_EBML))
    if head[end : end + 4] != _SEGMENT:
        return 0
    return _end_of_element(head, end + len(_SEGMENT))


def _end_of_element(head: bytes, place: int) -> int:
    """Where an element of Matroska ends whose size stands at a place; 0 where it does not say.

    The first byte says how long the size is, by its leading zeros. All ones stand for an unknown
    size.
    """
    length = 9 - head[place].bit_length() if place < len(head) else 9
    value = int.from_bytes(head[place : place + length], "big") & ((1 << 7 * length) - 1)
    unknown = length > 8 or value == (1 << 7 * length) - 1
    return 0 if unknown else place + length + value


def _ends_of_atoms(file: BinaryIO, size: int) -> Iterator[int]:
    """Where the parts of an mp4 end, one after the other."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] not in _ATOMS or length < 8:  # 0 goes on to the end of the file
            return
        place += length
        yield place

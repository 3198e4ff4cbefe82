"""Files of videos below a folder, found by the ids of a test set."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vssl.core.hashing import file_sha256
from vssl.data.check import DataError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".flv", ".mpg", ".mpeg", ".ts", ".wmv"),
    *(".3gp", ".ogv"),
)
"""How names of videos end, in small or capital letters."""

_CLIP = re.compile(r"(.{11})_(\d+)(?:\.0+)?(?:_(\d+)(?:\.0+)?)?")
"""A clip of YouTube: an id of 11 characters, the begin, and the end if it is there."""
_LONGEST_SECONDS = 60
"""A larger difference of end and begin is in milliseconds."""


def has_video_suffix(name: str) -> bool:
    """Whether a name ends as those of videos."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


class FoundVideo(NamedTuple):
    """The video of an id, or why there is none to take, and a remark on it."""

    path: Path | None
    is_there: bool  # also where several differ, so that none can be taken
    remark: str = ""


def clip_of(name: str) -> tuple[str, int] | None:
    """Return the YouTube id, and the begin in seconds, of the name of a clip without its suffix.

    Known are `<id>_<start>` and `<id>_<start>_<end>` in seconds, with or without leading zeros, and
    `<id>_<start>_<end>` in milliseconds (Synchformer).

    Example:
        >>> clip_of("3qesirWAGt4_000020"), clip_of("3qesirWAGt4_20000_30000")
        (('3qesirWAGt4', 20), ('3qesirWAGt4', 20))
    """
    match = _CLIP.fullmatch(name)
    if match is None:
        return None
    begin, end = int(match[2]), int(match[3] or match[2])
    if 0 <= end - begin <= _LONGEST_SECONDS:
        return match[1], begin
    whole = end - begin >= 1000 and begin % 1000 == 0
    return (match[1], begin // 1000) if whole else None


class VideoFolder:
    """The videos below a folder, whatever its sub-folders; hidden files are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise DataError(f"{root}: no such folder. Set videos=<folder of the videos>.")
        self.paths = sorted(_videos_below(root))
        if not self.paths:
            raise DataError(
                f"{root}: holds no videos ({' '.join(sorted(VIDEO_SUFFIXES))}). Set videos="
            )
        self._placed: dict[str, list[Path]] = defaultdict(list)
        self._named: dict[str, list[Path]] = defaultdict(list)
        self._clips: dict[tuple[str, int], list[Path]] = defaultdict(list)
        for path in self.paths:
            self._placed[self.place(path)].append(path)
            self._named[path.stem].append(path)
            if clip := clip_of(path.stem):
                self._clips[clip].append(path)

    def place(self, path: Path) -> str:
        """Return the place of a video below the folder, without its suffix."""
        return path.relative_to(self.root).with_suffix("").as_posix()

    def places(self) -> list[str]:
        """Return all places; files that differ in their suffix alone have one."""
        return list(self._placed)

    def at(self, name: str) -> FoundVideo:
        """Find a video by its place below the folder, with or without suffix, or by its name."""
        path = self.root / name
        if has_video_suffix(name):
            if path in self._placed[self.place(path)]:
                return FoundVideo(path, True)
            name = name[: -len(path.suffix)]
        placed = self._placed.get(name)
        return self._one_of(placed) if placed else self.find(name)

    def find(self, sample_id: str) -> FoundVideo:
        """Find the video of an id: by its whole name, else as the clip that the id names.

        Of several files with equal content the first is taken.
        """
        found = self._named.get(sample_id) or self._clips.get(clip_of(sample_id) or ("", 0))
        if found:
            return self._one_of(found)
        uncut = self._named.get(sample_id[:11]) if clip_of(sample_id) else None
        hint = f"; {uncut[0].name} is the whole video, to be cut first" if uncut else ""
        return FoundVideo(None, False, f"no video of this id{hint}")

    def _one_of(self, found: Sequence[Path]) -> FoundVideo:
        if len(found) == 1:
            return FoundVideo(found[0], True)
        names = ", ".join(str(path.relative_to(self.root)) for path in found)
        sizes = {path.stat().st_size for path in found}
        if len(sizes) == 1 and len(set(map(file_sha256, found))) == 1:
            return FoundVideo(found[0], True, f"there several times, alike: {names}")
        return FoundVideo(None, True, f"several different videos, keep one: {names}")


def _videos_below(root: Path) -> list[Path]:
    """Videos of a folder and its sub-folders, each folder once though links lead to it."""
    found, seen = [], set()
    for folder, inner, names in os.walk(root, followlinks=True):
        place = Path(folder)
        seen.add(place.resolve())
        inner[:] = [n for n in inner if n[0] != "." and (place / n).resolve() not in seen]
        found += [place / name for name in names if name[0] != "." and has_video_suffix(name)]
    return found

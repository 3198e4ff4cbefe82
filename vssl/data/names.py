"""Files that an annotation names, found whatever the system that wrote their names."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from pathlib import Path

IMAGES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm")
)
SOUNDS = frozenset(
    (
        *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aiff", ".aif"),
        *(".au", ".wma", ".w64", ".mp4", ".mov", ".mkv", ".webm", ".avi"),
    )
)
_MOST_HINTS = 20  # to look for near names in a large folder takes a while


class NamedFiles:
    """Files of one kind, by their suffixes, below a folder; names may also begin at `root`."""

    def __init__(self, root: Path, folder: Path, suffixes: Collection[str]) -> None:
        self.folder = folder
        self._root = root
        self._places = [os.fspath(each) for each in dict.fromkeys((folder, root))]
        self._suffixes = suffixes
        self._hints = 0

    def find(self, name: str) -> Path:
        r"""Return the file of a name, which may lack its suffix, whether it is there or not.

        Backslashes of Windows, letters composed otherwise than in the folder, and a suffix in other
        capitals mean the same.
        """
        # names of files are texts as they are: macOS decomposes accented letters
        slashed = name.replace("\\", "/")
        forms = [unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")]
        for form in dict.fromkeys((name, slashed, *forms)):
            for place in self._places:
                if os.path.isfile(path := os.path.join(place, form)):
                    return Path(os.path.normpath(path))
        stem, suffix = os.path.splitext(slashed)
        known = suffix.lower() in self._suffixes
        found = self.of_stem(stem if known else slashed)
        found = [file for file in found if not known or file.suffix.lower() == suffix.lower()]
        if len(found) == 1:
            return found[0]
        # names may begin at the root with the folder, as `frames/a.jpg`
        below_root = slashed.startswith(f"{os.path.relpath(self.folder, self._root)}/")
        return (self._root if below_root else self.folder) / slashed

    def of_stem(self, stem: str) -> list[Path]:
        """Return the files of a name without suffix, below the folder."""
        return [self.folder / name for name in sorted(self._stems.get(_plain(stem), ()))]

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = defaultdict(list)
        for folder, _, names in os.walk(self.folder):
            below = os.path.relpath(folder, self.folder)
            for name in names:
                suffix = os.path.splitext(name)[1]
                if suffix.lower() in self._suffixes and not name.startswith("."):
                    path = name if below == "." else f"{below}/{name}"
                    stems[_plain(path.removesuffix(suffix))].append(path)
        return stems

    def hint(self, path: Path) -> str:
        """Say what is there in place of a missing file; empty where nothing is alike."""
        self._hints += 1
        if self._hints > _MOST_HINTS:
            return ""
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        alike = [name for name in os.listdir(path.parent) if _letters(name) == _letters(path.name)]
        return f"there is {sorted(alike)[0]}" if alike else ""


def without_suffix(name: str) -> str:
    """Return the name of a file without its suffix, folders included."""
    return os.path.splitext(name)[0]


def _letters(name: str) -> str:
    """Letters and digits of a name, without its suffix."""
    stem = without_suffix(name).casefold()
    return "".join(filter(str.isalnum, _plain(stem)))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)

"""What a run's result rests on: annotation, images and sounds, and whether they are still the same.

A run keeps name, size, time of change and sha256 of each file that it read. A file whose size and
time are as they were is taken for the same; else its content decides. So a data set may be copied
or touched, and a finished run is compared without reading it.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vssl.core.devices import each
from vssl.core.errors import UsageError
from vssl.core.hashing import FileState, file_state
from vssl.data.check import CheckedFile
from vssl.records.files import INPUTS_FILE

if TYPE_CHECKING:
    from vssl.data.base import CheckedData, DatasetReader

_ABSENT = ""  # instead of a hash: an annotation file of this name would be taken instead
_SHOWN_FILES = 3

Inputs = dict[str, Any]
"""`root`, and under `files` by name below it (or absolute): size, nanoseconds, sha256."""


def read_inputs(reader: DatasetReader, data: CheckedData) -> Inputs:
    """Read all files that a run rests on: those that the reader's check found.

    Raises:
        UsageError: for a file that was there when it was checked, and is no more.
    """
    root, annotation = reader.root.resolve(), data.annotation.resolve()
    samples = () if reader.media == "absent" else data.samples
    media = {path for s in samples for path in (s.image_path, s.audio_path)}
    paths = [annotation, *sorted(media | reader.truth_files, key=os.fspath)]
    checked: dict[Path, CheckedFile[Any]] = {**data.images, **data.sounds}

    def state(path: Path) -> FileState:
        known = checked[path].state if path in checked else None
        try:
            return file_state(path, known)
        except OSError as error:
            text = f"{path}: no such file any more. Was the test set changed?"
            raise UsageError(text) from error

    below = os.fspath(root / "_")[:-1]
    names = (os.fspath(path).removeprefix(below) for path in paths)
    files: dict[str, Any] = dict(zip(names, each(state, paths), strict=True))
    usual = getattr(reader, "annotation_names", ())
    if annotation in [(root / name).resolve() for name in usual]:
        # names under which another file would be found before the one that was
        for name in takewhile(lambda name: not (root / name).exists(), usual):
            files[name] = [0, 0, _ABSENT]
    return {"root": str(root), "files": files}


def changed_inputs(folder: Path) -> str | None:
    """What of a run's inputs has changed, in words.

    Empty for nothing, and where the test set is not on this machine any more; None where inputs
    are not known, as of vssl 0.1.
    """
    try:
        inputs: Inputs = json.loads((folder / INPUTS_FILE).read_text(encoding="utf-8"))
        root, files = Path(inputs["root"]), dict(inputs["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not root.is_dir():
        return ""
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        kinds = list(pool.map(lambda name: _change(root / name, files[name]), files))
    parts = []
    for kind in ("changed", "gone", "new"):
        names = [str(root / name) for name, own in zip(files, kinds, strict=True) if own == kind]
        more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
        if names:
            are = "is" if len(names) == 1 else "are"
            parts.append(f"{', '.join(names[:_SHOWN_FILES])}{more} {are} {kind}")
    return "; ".join(parts)


def _change(path: Path, known: list[Any]) -> str:
    size, modified, sha256 = known
    try:
        state = path.stat()
    except OSError:
        return "" if sha256 == _ABSENT else "gone"
    if sha256 == _ABSENT:
        return "new"
    if (state.st_size, state.st_mtime_ns) == (size, modified):
        return ""
    with suppress(OSError):
        if state.st_size == size and file_state(path).sha256 == sha256:
            return ""
    return "changed"

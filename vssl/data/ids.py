"""Parts of a test set: a named list of ids, the first samples, and how tables name them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256

if TYPE_CHECKING:
    from vssl.types import Sample

_COLUMNS = ("sample_id", "file", "video", "id")


class IdList(NamedTuple):
    """Ids that a file lists, each once, in its order, and the sha256 of the file."""

    path: Path
    ids: tuple[str, ...]
    sha256: str


def read_ids(path: str | Path) -> IdList:
    """Read a list of ids.

    A file that ends in `.csv` is a table with a header and a column `sample_id`, `file`, `video` or
    `id`, of which the first of these counts. Any other file has an id a line; empty lines, and
    those that begin with `#`, are left out.

    Raises:
        UsageError: for a file that is missing, is no text in UTF-8, lacks the column, or lists
            nothing.
    """
    path = Path(path).expanduser()
    try:
        text, sha256 = path.read_text(encoding="utf-8-sig"), file_sha256(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file (data.ids).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not readable as a list of ids ({error}; data.ids).") from error
    if path.suffix.lower() == ".csv":
        table = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        columns = [str(name).strip() for name in table.fieldnames or ()]
        table.fieldnames = columns
        column = next((name for name in _COLUMNS if name in columns), None)
        if column is None:
            raise UsageError(
                f"{path}: has the columns {', '.join(columns) or '(none)'}, and none of"
                f" {', '.join(_COLUMNS)}. Name the column of ids so in the first line, or list the"
                " ids in a .txt, one a line (data.ids)."
            )
        lines = [row[column] or "" for row in table]
    else:
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise UsageError(f"{path}: lists no ids (data.ids).")
    return IdList(path, ids, sha256)


def first_pictures(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Take the samples of the first pictures, at most `limit` samples but at least one picture.

    A picture's samples stay together, as metrics over the pairs of IS3 need them. Where each
    picture has one sample, these are the first samples.
    """
    sizes = Counter(sample.image_group for sample in samples)
    count = sum(total <= limit for total in accumulate(sizes.values()))
    taken = set(islice(sizes, max(count, 1)))
    return [sample for sample in samples if sample.image_group in taken]


PART_WORDS = {
    "subset": {
        "clean": "clean",
        "clean_one_label": "clean, one label",
        "not_visible": "class not visible",
    },
    "not_visible": {"negative": "class not visible is negative"},
    "same_class": {"skip": "no pairs of one class"},
}
"""Options of test sets that change what is evaluated: how names say their values."""


def shown_name(
    name: str,
    *,
    ids: str | Path | None,
    limit: int | None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Name a test set, or the part of it that is evaluated, in folders, tables and loggers.

    A list of ids that cannot be read is named alone: the reader has the error. Of `options`, the
    test set's, those of `PART_WORDS` are named.

    Example:
        >>> shown_name("vggss", ids=None, limit=20, options={"subset": "clean"})
        'vggss (clean; first 20)'
    """
    parts = [
        words[value]
        for key, words in PART_WORDS.items()
        if isinstance(value := options.get(key), str) and value in words
    ]
    if ids is not None:
        try:
            listed = read_ids(ids)
            parts.append(f"{listed.path.name}: {len(listed.ids)} ids, {listed.sha256[:8]}")
        except UsageError:
            parts.append(Path(ids).name)
    if limit is not None:
        parts.append(f"first {limit}")
    return f"{name} ({'; '.join(parts)})" if parts else name

"""docs/test-sets.md: counts in its table are those that the readers expect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vssl.data.avsbench import VPOMS, VPOSS, AVSBenchMS3, AVSBenchS4
from vssl.data.base import DatasetReader
from vssl.data.flickr import FlickrSoundNet
from vssl.data.is3 import IS3
from vssl.data.music import MusicDuet
from vssl.data.vggss import VGGSS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "test-sets.md").read_text(encoding="utf-8")
READERS = (AVSBenchS4, AVSBenchMS3, FlickrSoundNet, IS3, MusicDuet, VGGSS, VPOSS, VPOMS)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_count_and_section(reader: type[DatasetReader]) -> None:
    row = re.search(rf"^\| \[`{reader.name}`\]\(#([\w-]+)\) \| ([\d,]+) \|", PAGE, re.MULTILINE)
    assert row is not None
    assert int(row[2].replace(",", "")) == reader.expected_count
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert row[1] in {heading.lower().replace(" ", "-") for heading in headings}
    assert f"data={reader.name} " in PAGE

"""Names that options choose from, apart from what implements them, which loads torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

UPSAMPLING_RULES = ("half_pixel", "align_corners", "opencv", "bicubic")
"""Rules of `vssl.maps.upsample`."""

MAP_TRANSFORMS = ("none", "stretch", "stretch_and_clip")
"""Post-processings of `vssl.maps.transform_maps`."""

FLAG_SUBSETS = ("all", "clean", "clean_one_label", "not_visible")
"""Parts of VGG-SS by VGGSounder's flags, see `vssl.data.vggsounder`."""


def did_you_mean(word: str, known: Iterable[str], form: str = " Did you mean `{}`?") -> str:
    """Name the one of some names that a misspelt word may mean; empty where none is near."""
    return "".join(map(form.format, difflib.get_close_matches(word, list(known), n=1)))

"""What VGGSounder's annotators found out about the samples of VGG-SS.

Source: Zverev et al., VGGSounder: Audio-Visual Evaluations for Foundation Models, ICCV 2025;
github.com/Bizilizi/VGGSounder, `vggsounder/data/vggsounder+background-music.csv`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vssl.core.errors import UsageError
from vssl.negatives.labels import LabelTable, read_labels, table_rows

_VIDEO_FLAGS = ("background_music", "voice_over", "static_image")
_TRUTHS = {"True": "yes", "False": "no"}

Flags = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VGGSounder:
    """Labels by sample with their modalities, and the flags of each video."""

    labels: LabelTable
    videos: dict[str, Flags]

    def flags(self, sample_id: str, category: str) -> Flags:
        """Flags of a sample of VGG-SS.

        `own_class` says whether the sample's class is audible and visible (`AV`), only one of both
        (`A`, `V`), or no label of the video (`absent`); of a video that the table lacks it is
        `not_in_vggsounder`, and the only flag. `audible_labels`: none, one, several.
        `audible_only_labels`: some, where a label is audible and not visible, else none.
        `background_music`, `voice_over`, `static_image`: yes, no. `clean`: yes, where the own
        class is AV and these three are no.
        """
        if sample_id not in self.videos:
            return (("own_class", "not_in_vggsounder"),)
        audible = self.labels.audible.get(sample_id, set())
        visible = self.labels.visible.get(sample_id, set())
        own = "A" * (category in audible) + "V" * (category in visible) or "absent"
        video = self.videos[sample_id]
        clean = own == "AV" and all(value == "no" for _, value in video)
        return (
            ("own_class", own),
            ("audible_labels", ("none", "one", "several")[min(2, len(audible))]),
            ("audible_only_labels", "some" if audible - visible else "none"),
            *video,
            ("clean", "yes" if clean else "no"),
        )


def in_subset(flags: Flags, subset: str) -> bool:
    """Whether a sample with such flags is in a subset.

    `clean`: the own class is audible and visible, without music, voice-over and static image.
    `clean_one_label`: of these, samples with one audible label. `not_visible`: the own class is
    audible and not visible.
    """
    known = dict(flags)
    return {
        "all": True,
        "clean": known.get("clean") == "yes",
        "clean_one_label": known.get("clean") == "yes" and known["audible_labels"] == "one",
        "not_visible": known.get("own_class") == "A",
    }[subset]


def read_vggsounder(path: Path) -> VGGSounder:
    """Read VGGSounder's csv, as its repository or its package on PyPI holds it."""
    key = "data.flags, VGGSounder's vggsounder+background-music.csv"
    labels = read_labels(path, key=key)
    videos: dict[str, Flags] = {}
    for where, row in table_rows(path, _VIDEO_FLAGS, key=key):
        if odd := [name for name in _VIDEO_FLAGS if row[name] not in _TRUTHS]:
            raise UsageError(
                f"{where}: expected {odd[0]} to be True or False, but got {row[odd[0]]!r} ({key})"
            )
        sample, flags = row["video_id"], tuple((name, _TRUTHS[row[name]]) for name in _VIDEO_FLAGS)
        if videos.setdefault(sample, flags) != flags:
            raise UsageError(f"{where}: the flags of {sample} differ between rows ({key})")
    return VGGSounder(labels, videos)

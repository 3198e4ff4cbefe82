"""VGG-SS (Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021), original layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vssl.core.checks import check_choice
from vssl.core.choices import FLAG_SUBSETS
from vssl.core.errors import UsageError
from vssl.data.base import DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.data.vggsounder import in_subset, read_vggsounder
from vssl.types import Sample

_log = logging.getLogger(__name__)


class VGGSS(DatasetReader):
    """`frames/<file>.jpg`, `audio/<file>.wav`, and a JSON list of `file`, `class`, `bbox`.

    Boxes are `[x0, y0, x1, y1]` in fractions of the image. They are clipped, multiplied by 224 and
    truncated; their union is the ground truth.

    Args:
        flags: VGGSounder's csv, which gives every sample the flags of
            `vssl.data.vggsounder.VGGSounder.flags`; None for no flags.
        subset: evaluates a part by these flags, see `vssl.data.vggsounder.in_subset`.
            `not_visible` makes natural negatives of its samples.
        not_visible: `negative` makes natural negatives of the samples whose own class is audible
            and not visible, beside those of any subset; `positive` keeps them as published.

    Raises:
        UsageError: for a file of flags that cannot be used, or flags that are missing.
    """

    name = "vggss"
    annotation_names = (
        "vggss_annotations.json",
        "vggss.json",
        "metadata/vggss_annotations.json",
        "metadata/vggss.json",
    )
    expected_count = 5158
    citation = "Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021"

    def __init__(
        self,
        root: str | Path,
        *,
        image_suffix: str = ".jpg",
        audio_suffix: str = ".wav",
        flags: str | Path | None = None,
        subset: Literal["all", "clean", "clean_one_label", "not_visible"] = "all",
        not_visible: Literal["positive", "negative"] = "positive",
        **options: Any,
    ) -> None:
        check_choice(subset, FLAG_SUBSETS, name="data.subset")
        check_choice(not_visible, ("positive", "negative"), name="data.not_visible")
        super().__init__(root, **options)
        self.image_suffix = image_suffix
        self.audio_suffix = audio_suffix
        self.subset = subset
        self.negative = subset == "not_visible" or not_visible == "negative"
        self._flags = None if flags is None else read_vggsounder(Path(flags).expanduser())
        self._flags_file = flags
        if self._flags is None and (subset != "all" or self.negative):
            chosen = f"subset={subset}" if subset != "all" else f"not_visible={not_visible}"
            raise UsageError(
                f"data.{chosen} needs data.flags=FILE, VGGSounder's"
                " vggsounder+background-music.csv (docs/vggsounder.md)."
            )

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry."""
        sample_id, category = text_of(entry, "file"), text_of(entry, "class")
        boxes = tuple(pixels_of(box, full=1.0) for box in entry["bbox"])
        flags = self._flags.flags(sample_id, category) if self._flags else ()
        silent = self.negative and in_subset(flags, "not_visible")
        return Sample(
            sample_id=sample_id,
            image_path=self.image_folder / f"{sample_id}{self.image_suffix}",
            audio_path=self.audio_folder / f"{sample_id}{self.audio_suffix}",
            category=category,
            boxes=() if silent else boxes,
            flags=flags,
            is_natural_negative=silent,
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes, which are fractions of the image."""
        return [[float(value) for value in box] for box in entry["bbox"]]

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Check that the file of flags knows the samples."""
        if self._flags is not None:
            ids = [sample.sample_id for sample in samples]
            if unknown := self._flags.labels.lacking(ids, key="data.flags"):
                _log.info(
                    "%s: lacks %d of %d samples, e.g. %s; their flag own_class is"
                    " not_in_vggsounder",
                    self._flags_file, len(unknown), len(samples), unknown[0],
                )  # fmt: skip
        return super().complete(samples, annotation)

    def excluded(self, sample: Sample) -> str:
        """Leave out what is neither in the subset nor a natural negative by `not_visible`."""
        if in_subset(sample.flags, self.subset) or sample.is_natural_negative:
            return ""
        return f"samples outside of the subset {self.subset}"

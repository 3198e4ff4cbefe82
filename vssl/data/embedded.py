"""The embedded benchmark as a test set: generated on first use, read like IS3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vssl.data.base import DataError, text_of
from vssl.data.boxes import pixels_of
from vssl.data.is3 import IS3
from vssl.data.synthetic.generate import VERSION, SceneSet, empty_scene, ensure
from vssl.data.synthetic.variants import variant_name
from vssl.images import Pixels
from vssl.types import EVALUATION_SIZE, Sample


class Synthetic(IS3):
    """Drawn scenes with one to three objects each and a synthesized sound for each class.

    Args:
        cache: folder of the generated files.
        name: the test set's name; None names it after split, difficulty and noise.
        version: version of the generator that the configuration expects; another is an error.
        options: fields of `vssl.data.synthetic.generate.SceneSet`.
    """

    name = "synthetic"
    expected_count = None
    citation = "vssl, embedded benchmark"

    def __init__(
        self,
        *,
        cache: str | Path,
        name: str | None = None,
        version: str = VERSION,
        ids: str | Path | None = None,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        if str(version) != VERSION:
            raise DataError(
                f"data.version={version}: this vssl makes version {VERSION} of the embedded"
                " benchmark; numbers of different versions cannot be compared."
            )
        self._request = scenes = SceneSet(**options)
        self._cache = Path(cache).expanduser()
        super().__init__(
            self._cache / scenes.folder,
            name=name or variant_name(scenes.split, scenes.difficulty, scenes.snr),
            ids=ids,
            limit=limit,
        )

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Generate the files on first use, and return the annotation file and its entries."""
        ensure(self._cache, **vars(self._request))
        return super().read_entries()

    def count(self) -> int:
        """Number of samples, known before the files are generated."""
        if self.root.is_dir() or self.ids is not None:
            return super().count()
        return min(self._request.samples, self.limit or self._request.samples)

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry; entries with `classes` have no names in the format of IS3."""
        if "classes" not in entry:
            return super().parse(entry)
        image = text_of(entry, "image")
        return Sample(
            sample_id=Path(image).stem,
            image_path=self.image_folder / image,
            audio_path=self.audio_folder / text_of(entry, "audio"),
            category=text_of(entry, "class"),
            image_categories=tuple(entry["classes"]),
            image_group=text_of(entry, "group"),
            boxes=tuple(pixels_of(box, full=EVALUATION_SIZE) for box in entry["gt_box"]),
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes in fractions of the image."""
        if "classes" not in entry:
            return super().annotated_boxes(entry)
        return [[float(value) / EVALUATION_SIZE for value in box] for box in entry["gt_box"]]

    def empty_scene(self, sample: Sample) -> Pixels:
        """Draw the picture of a sample without its objects, `[224, 224, 3]`."""
        number = int(sample.image_group.rpartition("_")[2])
        return empty_scene(self._request.seed, number, self._request.split)

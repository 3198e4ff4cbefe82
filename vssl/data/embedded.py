"""The embedded benchmark as a test set: made on first use, read like IS3."""

from __future__ import annotations

from pathlib import Path

from vssl.data.base import CheckedData, DataError
from vssl.data.is3 import IS3
from vssl.data.synthetic import VERSION, ensure


class Synthetic(IS3):
    """Drawn scenes with two objects each and a synthesized sound for each object.

    Args:
        cache: folder in which the files are made and kept.
        name: what to call it.
        version: version of the generator that the configuration was written for.
        scenes: number of scenes; two samples each.
        seed: seed of the scenes.

    Raises:
        DataError: when this vssl has another version of the generator.
    """

    name = "synthetic"
    expected_count = None
    citation = "vssl, embedded benchmark"

    def __init__(
        self,
        *,
        cache: str | Path,
        name: str = "synthetic",
        version: str = VERSION,
        scenes: int = 240,
        seed: int = 0,
    ) -> None:
        if version != VERSION:
            raise DataError(
                f"data.version={version}: this vssl makes version {VERSION} of the embedded"
                " benchmark; numbers of different versions cannot be compared."
            )
        if scenes < 1 or seed < 0:
            raise DataError(
                f"Expected `data.scenes` of at least 1 and `data.seed` of at least 0, but got"
                f" {scenes} and {seed}."
            )
        self._cache = Path(cache).expanduser()
        self._scenes = scenes
        self._seed = seed
        folder = f"synthetic-v{VERSION}-{scenes}-{seed}"
        super().__init__(self._cache / folder, name=name)

    def check(self) -> CheckedData:
        """Make the files if they are not there yet, and check them."""
        ensure(self._cache, scenes=self._scenes, seed=self._seed)
        return super().check()

    def count(self) -> int:
        """Number of samples, two for each scene, also before the files are made."""
        return len(super().check().samples) if self.root.is_dir() else 2 * self._scenes

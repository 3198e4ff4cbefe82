"""What stands above and below a figure of `vssl-localize`: files, verdict, warnings, sources."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from matplotlib.figure import Figure

_LARGE, _SMALL = 0.23, 0.16
"""Heights of a line in inches."""
_LARGE_CHARACTERS, _SMALL_CHARACTERS = 10.2, 15.5
"""How many stand on an inch."""
_WARNING = "#B2182B"


@dataclass(frozen=True)
class Captions:
    """Texts of a figure.

    Attributes:
        files: which picture, which sound.
        verdict: the verdict in words.
        warnings: what should keep the reader from trusting it.
        errors: how often it is wrong.
        note: where the numbers come from.
        width: of the figure, in inches.
    """

    files: str
    verdict: str
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    note: str
    width: float

    @property
    def _above(self) -> tuple[list[str], list[str]]:
        wide = int(self.width * _LARGE_CHARACTERS)
        return textwrap.wrap(self.files, int(1.1 * wide)), textwrap.wrap(self.verdict, wide)

    @property
    def _below(self) -> tuple[list[str], list[str], list[str]]:
        wide = int(self.width * _SMALL_CHARACTERS)
        warnings = [line for w in self.warnings for line in textwrap.wrap(f"warning: {w}", wide)]
        errors = [line for each in self.errors for line in textwrap.wrap(each, wide)]
        return warnings, errors, textwrap.wrap(self.note, wide)

    @property
    def above(self) -> float:
        """Height in inches of what stands above."""
        return 0.1 + _LARGE * sum(map(len, self._above))

    @property
    def below(self) -> float:
        """Height in inches of what stands below."""
        return 0.08 + _SMALL * sum(map(len, self._below))

    def draw(self, figure: Figure) -> None:
        """Write them on a figure."""
        height = figure.get_figheight()
        (files, verdict), (warnings, errors, note) = self._above, self._below
        place = height - 0.08
        figure.text(0.5, place / height, "\n".join(files), fontsize=10, color="#444444",
                    ha="center", va="top")  # fmt: skip
        place -= _LARGE * len(files)
        figure.text(0.5, place / height, "\n".join(verdict), fontsize=11, ha="center", va="top")
        left = 0.1 / self.width
        place = 0.06
        figure.text(left, place / height, "\n".join(note), fontsize=7.5, color="#444444")
        place += _SMALL * len(note)
        figure.text(left, place / height, "\n".join(errors), fontsize=8, linespacing=1.4)
        place += _SMALL * len(errors)
        figure.text(left, place / height, "\n".join(warnings), fontsize=8, color=_WARNING)

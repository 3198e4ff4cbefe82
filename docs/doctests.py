"""Extension of griffe: sections named `Example:` are doctests, as in the rest of Python's world."""

from __future__ import annotations

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Gives the section the name by which griffe knows code."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename the section in a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")

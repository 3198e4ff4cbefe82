"""vssl: evaluation of visual sound source localization models, negative audio included."""

from __future__ import annotations

__version__ = "0.2.0"

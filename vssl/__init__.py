"""vssl: evaluation of visual sound source localization models, negative audio included.

A model is run over a test set, with each image's own sound and with sounds that have nothing to do
with it (silence, noise, offscreen sounds). Its similarity maps are kept, and scored::

    import vssl

    run = vssl.evaluate("ezvsl", weights="ezvsl.pth", data="vggss", root="/data/vggss")
    run.table                                 # the main numbers, a row for each threshold policy
    run.summary, run.scores, run.records      # data frames: numbers, maps' scores, the maps
    run.maps(run.sample_ids[0])               # by audio condition and draw
    vssl.score(run, threshold=["fixed"])      # new numbers of the same maps, in seconds

What there is:

    vssl.evaluate       a model by its name, or a `torch.nn.Module` of your own
    vssl.score          other thresholds and metrics, from the maps that a run has kept
    vssl.load_run       a run that the command line made
    vssl.Run            what the three return
    vssl.metrics        the metrics, as torchmetrics for a validation loop of your own
    vssl.negatives      silence, noise, offscreen sounds and others
    vssl.thresholds     how a map becomes a mask
    vssl.types          plain values: `Sample`, `AudioClip`
    vssl.UsageError     raised for any fault in what is given, with what to do

Where to read on: docs/python.md (this, in more words), docs/notebooks/, docs/metrics.md,
docs/own-model.md (a model by a class and a yaml), docs/protocols.md (how numbers come about). The
commands do the same without Python: `vssl-evaluate --help`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vssl.core.late_imports import import_late

if TYPE_CHECKING:
    from vssl import metrics, negatives, thresholds, types
    from vssl.api import evaluate, load_run, score
    from vssl.core.errors import UsageError
    from vssl.records.run import Run

__version__ = "0.3.0"

__all__ = [
    "Run",
    "UsageError",
    "evaluate",
    "load_run",
    "metrics",
    "negatives",
    "score",
    "thresholds",
    "types",
]

_HOMES = {
    "evaluate": "vssl.api",
    "load_run": "vssl.api",
    "score": "vssl.api",
    "Run": "vssl.records.run",
    "UsageError": "vssl.core.errors",
}

import_late()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import vssl` alone loads no torch."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"vssl.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"vssl.{name}":
            raise
        raise AttributeError(f"module 'vssl' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The libraries that evaluating takes, imported at once."""

import gc
import importlib

_MODULES = (
    "vssl.commands.evaluate",
    "vssl.commands.job",
    "vssl.commands.make_records",
    "vssl.engine.loggers",
    "vssl.records.aggregate",
    "vssl.records.fit",
    "vssl.records.score",
    "vssl.reporting.sweep",
)


def import_libraries() -> None:
    """Import them in a process that has done nothing else yet.

    Imports make hundreds of thousands of objects that stay. Python would search them for unused
    ones again and again, which takes a fifth of the time of importing torch and Lightning, and in
    a process that is forked later it would copy the memory that they lie in. So nothing is searched
    meanwhile, nor what is there at the end ever after.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        for name in _MODULES:
            importlib.import_module(name)
    finally:
        gc.freeze()
        if enabled:
            gc.enable()

"""Where the time of a run goes: `python benchmarks/stages.py NOTES STARTED [--bare] [overrides]`.

Evaluates as vssl-evaluate does with these overrides, and keeps the file NOTES up to date with the
seconds of each stage. STARTED is the time at which the process was started, in seconds since 1970.
With --bare there follow the bare passes of the same networks and the reading of the same pictures.
"""

from __future__ import annotations

import functools
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGES = {
    "networks": "vssl.config.build:build_localizer",
    "fingerprint": "vssl.runs.record:take_fingerprint",
    "check": "vssl.data.base:DatasetReader.check",
    "plan": "vssl.runs.record:make_plan",
    "manifest": "vssl.runs.record:write_manifest",
    "sounds": "pytorch_lightning:Trainer.test",
    "join": "vssl.records.shards:Shards.join",
    "fit": "vssl.runs.score:fit_policies",
    "score": "vssl.runs.score:score_records",
    "summary": "vssl.runs.score:summarize",
    "subsets": "vssl.runs.score:summarize_subsets",
}
"""Function of each stage; `images` begins in that of `sounds`, with the first batch of images."""

_STEP = "vssl.engine.module:LocalizationModule.test_step"


class Clock:
    """Times the stages of the runs that are made in its context.

    The time of a stage inside another one is not the other's. A GPU is waited for at the end of
    each stage.

    Args:
        file: where everything is kept, after each stage.
        facts: what else is written there.

    Attributes:
        seconds: by stage.
        batches: of sounds and images.
        windows: by stage: when it first began and last ended, in seconds since 1970.
    """

    def __init__(self, file: Path | None = None, **facts: Any) -> None:
        self.file = file
        self.facts = facts
        self.seconds: dict[str, float] = {}
        self.batches = 0
        self.windows: dict[str, tuple[float, float]] = {}
        self._open: list[str] = []
        self._since = 0.0
        self._replaced: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Clock:
        for stage, place in STAGES.items():
            self._replace(place, functools.partial(self._timed, stage))
        self._replace(_STEP, self._step)
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, function in reversed(self._replaced):
            setattr(owner, name, function)

    def _replace(self, place: str, wrapped: Callable[[Callable[..., Any]], Any]) -> None:
        owner, name = found(place)
        function = getattr(owner, name)
        self._replaced.append((owner, name, function))
        setattr(owner, name, functools.wraps(function)(wrapped(function)))

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._pass_time()
            self._open.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                self._pass_time()
                self._open.pop()
                self.write()

        return call

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: Any, batch: Any, *arguments: Any, **options: Any) -> Any:
            self.batches += 1
            if self._open[-1:] == ["sounds"] and not isinstance(batch, list):
                self._pass_time()
                self._open[-1] = "images"
            return function(module, batch, *arguments, **options)

        return call

    def _pass_time(self) -> None:
        """Count the time since the last call for the stage that is open."""
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        now, clock = time.perf_counter(), time.time()
        if self._open:
            stage, passed = self._open[-1], now - self._since
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed
            self.windows[stage] = (self.windows.get(stage, (clock - passed,))[0], clock)
        self._since = now

    def write(self) -> None:
        """Write everything to the file."""
        if self.file is not None:
            content = {"stages": self.seconds, "windows": self.windows, **self.facts}
            write_whole(self.file, content)


def write_whole(file: Path, content: object) -> None:
    """Write JSON to a file, which is never half written."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(file)


def found(place: str) -> tuple[Any, str]:
    """The module or class that has a function, and the function's name."""
    module, _, path = place.partition(":")
    *classes, name = path.split(".")
    owner = functools.reduce(getattr, classes, importlib.import_module(module))
    getattr(owner, name)
    return owner, name


def main() -> None:
    """Evaluate, and measure the floor in the same process."""
    file, started, *overrides = sys.argv[1:]
    bare = overrides[:1] == ["--bare"]
    overrides = overrides[bare:]
    sys.argv[1:] = overrides
    command = importlib.import_module("vssl.cli.evaluate")
    with Clock(Path(file)) as clock:
        clock.facts["start_seconds"] = time.time() - float(started)
        command.main()
        clock.facts["total_seconds"] = time.time() - float(started)
        clock.facts["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_initialized() else "cpu"
    if device == "cuda":
        clock.facts["device_mib"] = torch.cuda.max_memory_reserved() / 2**20
    clock.write()
    if bare:
        floors = importlib.import_module("bare").floors(overrides, device=device)
        clock.facts |= floors
        clock.write()


if __name__ == "__main__":
    main()

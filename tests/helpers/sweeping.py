"""Sweeps as commands, and models that do to a job what a machine may do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from tests.helpers.running import KEY, command, records
from tests.helpers.running import start as start_command

QUICK = (
    "logger=none", "loader.num_workers=0", "trainer=cpu", "negatives=silence", "threshold=fixed",
    "metrics=[ciou,pia]", "subsets=[]",
    "bootstrap.resamples=20",
)  # fmt: skip
"""Settings of small jobs."""

_MODELS = '''
import os, signal, time, torch
from pathlib import Path
from vssl.models.baselines import Center, Random

class Killed(Center):
    """Ends as memory that runs out ends it."""
    def localize(self, *inputs):
        os.kill(os.getpid(), signal.SIGKILL)

class Counting(Center):
    """Says how many threads it may use."""
    def localize(self, *inputs):
        Path("threads").write_text(str(torch.get_num_threads()))
        return super().localize(*inputs)

class Slow(Center):
    """Says that it runs, and waits for a word."""
    def localize(self, *inputs):
        Path("running").touch()
        while not Path("go").exists():
            time.sleep(0.05)
        return super().localize(*inputs)

class Paced(Random):
    """Notes every sample that it sees, and takes its time."""
    def localize(self, batch, audio):
        with Path("seen").open("a") as file:
            file.write("".join(f"{name}\\n" for name in batch.sample_ids))
        time.sleep(0.3)
        return super().localize(batch, audio)

class Stuck(Random):
    """Gets no further than its first sample."""
    samples = 0
    def localize(self, batch, audio):
        self.samples += "fixed" not in batch.sample_ids  # the fingerprint's image
        if self.samples > 1:
            time.sleep(600)
        return super().localize(batch, audio)
'''


def prepare(folder: Path) -> None:
    """Put the odd models where a command started in `folder` finds them."""
    (folder / "conf" / "model").mkdir(parents=True)
    for name in ("Killed", "Counting", "Slow", "Paced", "Stuck"):
        base = "random" if name in ("Paced", "Stuck") else "center"
        facts = f"name: {name.lower()}\n_target_: odd_models.{name}\n"
        path = folder / "conf" / "model" / f"{name.lower()}.yaml"
        path.write_text(f"defaults:\n  - {base}\n  - _self_\n{facts}")
    (folder / "odd_models.py").write_text(_MODELS)


def sweep(folder: Path, *arguments: str, new: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a sweep to its end, in `folder`; a new process has the threads of that of `start`."""
    return command("vssl-evaluate", *_arguments(arguments), cwd=folder, new=new)


def start(folder: Path, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    """Start a sweep in `folder`."""
    return start_command(
        "vssl-evaluate", *_arguments(arguments), cwd=folder, start_new_session=start_new_session
    )


def _arguments(arguments: Sequence[str]) -> list[str]:
    return ["--config-dir", "conf", "-m", *QUICK, "output_root=out", *arguments]


def wait_for(condition: Callable[[], object], *, seconds: float = 240) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder.resolve():
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(process.name)] if state != "Z" else []
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def all_records(folder: Path) -> dict[str, pd.DataFrame]:
    """The records of all finished runs of a sweep, by the folder's name."""
    root = folder / "out"
    return {
        str(path.parent.relative_to(root)): records(path.parent).sort_values(KEY)
        for path in sorted(root.glob("*/*/*/*/*/run.json"))
    }

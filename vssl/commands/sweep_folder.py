"""Where the jobs of a sweep say how they ended, whatever process or machine they run on."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vssl.records.files import write_text
from vssl.reporting.jobs import BEGUN, KILLED, NOT_DONE, Job

_PREFIX = ".sweep-"
_PLAN = "plan.json"
_LOCK = "lock"


def new_sweep_id() -> str:
    """A name for a sweep that no other has. An OmegaConf resolver."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class SweepFolder:
    """One file for each job, below the sweep's folder; gone when the sweep was reported.

    Args:
        output: the sweep's folder.
        sweep_id: of the sweep.
    """

    def __init__(self, output: Path, sweep_id: str) -> None:
        self.path = output / f"{_PREFIX}{sweep_id}"
        self._lock = FileLock(self.path / _LOCK)

    def create(self, planned: Sequence[str] | None) -> None:
        """Begin a sweep, and clear away what killed sweeps left.

        Args:
            planned: names of all jobs; None where they are not known before they run.

        Raises:
            OSError: when nothing can be written there.
        """
        for left in self.path.parent.glob(f"{_PREFIX}*"):
            with contextlib.suppress(Timeout), FileLock(left / _LOCK, blocking=False):
                shutil.rmtree(left, ignore_errors=True)
        self.path.mkdir(parents=True)
        self._lock.acquire()
        write_text(self.path / _PLAN, json.dumps(planned))

    def planned(self) -> list[str] | None:
        """The names of all jobs, None where not known."""
        names: list[str] | None = json.loads((self.path / _PLAN).read_text(encoding="utf-8"))
        return names

    def write(self, job: Job) -> None:
        """Say how a job stands."""
        write_text(self.path / f"{job.number:05d}.json", json.dumps(asdict(job)))

    def jobs(self) -> list[Job]:
        """All jobs in order; those that left no word, or not their last one, as such."""
        reports = [
            Job(**json.loads(path.read_text(encoding="utf-8")))
            for path in sorted(self.path.glob("[0-9]*.json"))
        ]
        known = {job.number: job for job in reports}
        for number, name in enumerate(self.planned() or ()):
            silent = Job(number, name, NOT_DONE, "it never started, or could not say how it ended")
            known.setdefault(number, silent)
        for number, job in known.items():
            if job.state == BEGUN:
                reason = "its process was killed, or could not say how it ended"
                known[number] = Job(number, job.name, KILLED, reason, job.folder)
        return [known[number] for number in sorted(known)]

    def any_begun(self) -> bool:
        """Whether any job has begun."""
        return any(self.path.glob("[0-9]*.json"))

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

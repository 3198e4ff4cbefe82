"""Jobs of a sweep: their states, counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

FINISHED, ALREADY = "finished", "already evaluated"
FAILED, KILLED, INTERRUPTED = "failed", "killed", "interrupted"
BEGUN, NOT_DONE = "begun", "not done"


@dataclass(frozen=True)
class Job:
    """A job of a sweep."""

    number: int  # from 0
    name: str
    state: str  # one of those above
    reason: str = ""  # if it is not finished
    folder: str = ""  # of its run
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether its run is finished."""
        return self.state in (FINISHED, ALREADY)

    def __str__(self) -> str:
        if self.state == FINISHED:
            return f"{self.name}: finished in {duration(self.seconds)}"
        return f"{self.name}: {self.state}{': ' if self.reason else ''}{self.reason}"


def count_jobs(jobs: Sequence[Job]) -> str:
    """Count jobs by state, in a line."""
    counts = Counter(job.state for job in jobs)
    listed = ", ".join(f"{n} {state}" for state, n in counts.items())
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}: {listed}"


def list_jobs(jobs: Sequence[Job]) -> str:
    """Write the counts, and unfinished jobs with their reasons, as Markdown."""
    lines = [f"**{count_jobs(jobs)}**", ""]
    lines += [f"- {' '.join(str(job).split())}" for job in jobs if not job.done]
    return "\n".join([*lines, ""])


def duration(seconds: float) -> str:
    """Write a duration.

    >>> [duration(s) for s in (0.4, 41.3, 200, 9000)]
    ['0.4 s', '41 s', '3 min 20 s', '2 h 30 min']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)

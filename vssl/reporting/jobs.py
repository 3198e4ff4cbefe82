"""The jobs of a sweep: how each ended, counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

FINISHED, ALREADY = "finished", "already evaluated"
FAILED, KILLED, INTERRUPTED = "failed", "killed", "interrupted"
BEGUN, NOT_DONE = "begun", "not done"


@dataclass(frozen=True)
class Job:
    """A job of a sweep: its number from 0, what it evaluates, and one of the states above.

    With the reason why it is not finished, its run's folder, and how long it took.
    """

    number: int
    name: str
    state: str
    reason: str = ""
    folder: str = ""
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
    """Return how many jobs there were and how they ended, in a line."""
    counts = Counter(job.state for job in jobs)
    listed = ", ".join(f"{n} {state}" for state, n in counts.items())
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}: {listed}"


def list_jobs(jobs: Sequence[Job]) -> str:
    """Return counts and the jobs that are not done, each with its reason, as Markdown."""
    lines = [f"**{count_jobs(jobs)}**", ""]
    lines += [f"- {' '.join(str(job).split())}" for job in jobs if not job.done]
    return "\n".join([*lines, ""])


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> [duration(s) for s in (0.4, 41.3, 200, 9000)]
    ['0.4 s', '41 s', '3 min 20 s', '2 h 30 min']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"

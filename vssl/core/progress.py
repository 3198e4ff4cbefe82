"""Progress bars of long steps, on terminals only."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich import progress
from rich.console import Console
from rich.text import Text

_REFRESH_SECONDS = 0.25
_enabled = True
_open: progress.Progress | None = None


def show_progress(enabled: bool) -> None:
    """Switch the bars of this process on (the default) or off."""
    global _enabled
    _enabled = enabled


def close_bars() -> None:
    """Remove open bars from the terminal, before an error message."""
    if _open is not None:
        _open.stop()


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr with rate, remaining and elapsed time, gone when the step ends.

    Yields a function to call with the number of items done since its last call. Bars may be nested;
    log lines appear above them. There is no thread, whose locks a forked loader process could
    inherit while held, so use bars in the main thread.
    """
    console = Console(stderr=True)
    terminal = sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal
    if not _enabled or not terminal:
        yield lambda count: None
        return
    with _display() as display:
        task = display.add_task(description, total=total)
        display.refresh()
        drawn, waiting = time.monotonic(), 0

        def advance(count: int) -> None:
            nonlocal drawn, waiting
            waiting += count
            now = time.monotonic()
            if now - drawn >= _REFRESH_SECONDS:
                display.advance(task, waiting)
                display.refresh()
                drawn, waiting = now, 0

        try:
            yield advance
        finally:
            display.remove_task(task)


class _RateColumn(progress.ProgressColumn):
    """Items per second, or seconds per item."""

    def render(self, task: progress.Task) -> Text:
        rate = task.speed or task.completed / (task.elapsed or 1.0)
        if not rate:
            return Text("-/s", style="progress.data.speed")
        text = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        return Text(text, style="progress.data.speed")


@contextmanager
def _display() -> Iterator[progress.Progress]:
    """The display of the outermost bar, which inner ones share."""
    global _open
    if _open is not None:
        yield _open
        return
    display = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        _RateColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left,"),
        progress.TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
    )
    with ExitStack() as stack:
        direct = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        ]
        stack.enter_context(display)
        for handler in direct:  # what the display has put in place of stderr prints above the bar
            stack.callback(handler.setStream, handler.stream)
            handler.setStream(sys.stderr)
        _open = display
        try:
            yield display
        finally:
            _open = None

"""Whether a wandb server would take a run, and waiting for it no longer than is bearable."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException
from threading import Thread
from typing import TypeVar

_SECONDS = 3.0

Result = TypeVar("Result")


def server_hindrance() -> str:
    """Why a run cannot be online: no key, or no answer from the server; empty where it can."""
    import wandb

    if not wandb.login(prompt=False, verify=False):
        return "there is no API key (`wandb login`, or WANDB_API_KEY)"
    return unreachable(wandb.setup().settings.base_url)


def unreachable(url: str) -> str:
    """Why there is no answer from a server; empty where there is one.

    Args:
        url: its address; the environment's proxies count.
    """
    try:
        result_within(_SECONDS, lambda: _ask(url))
    # TimeoutError is an OSError; HTTPException: no HTTP; ValueError: no URL
    except (OSError, HTTPException, ValueError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else reason_of(error)
        return f"{url} cannot be reached ({reason})"
    return ""


def _ask(url: str) -> None:
    """Wait for any answer of a server, through the environment's proxies.

    Raises:
        OSError: when none comes.
    """
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # wandb may know other certificates
            raise


def result_within(seconds: float, action: Callable[[], Result]) -> Result:
    """The result of an action in a thread, which is left to itself when it takes too long.

    Names are looked up without a time limit of their own, and wandb waits for its server where it
    checks who may write tables.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)


def reason_of(error: BaseException) -> str:
    """An error in one line of at most 200 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__

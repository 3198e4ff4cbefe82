"""Ctrl-C, whatever libraries make of it."""

from __future__ import annotations

import ast
import signal
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import vssl
from tests.running import composed
from vssl.commands.app import run_app
from vssl.errors import was_interrupted

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def interrupted() -> OmegaConfBaseException:
    """What OmegaConf raises instead when Ctrl-C comes while it makes a configuration."""
    plain = OmegaConf.to_container(composed(), resolve=False)

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for moment in range(2000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + (0.0037 * moment) % 0.009)
                for _ in range(5):  # longer than until the alarm, which a finalizer may swallow
                    OmegaConf.create(plain)
            except KeyboardInterrupt:
                pass
            except OmegaConfBaseException as error:
                return error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pytest.skip("this OmegaConf lets Ctrl-C through")


def raised(error: BaseException, *, within: BaseException | None) -> BaseException:
    """The error, raised while another one is handled."""
    try:
        if within is None:
            raise error
        try:
            raise within
        except BaseException:
            raise error  # noqa: B904
    except BaseException as found:
        return found


def test_an_error_in_place_of_an_interrupt_is_known(interrupted: OmegaConfBaseException) -> None:
    assert was_interrupted(interrupted)


@pytest.mark.parametrize("status", [0, 1])
def test_system_exit_in_place_of_an_interrupt_is_known(status: int) -> None:
    assert was_interrupted(raised(SystemExit(status), within=KeyboardInterrupt()))
    assert not was_interrupted(raised(SystemExit(status), within=None))


@pytest.mark.parametrize("within", [None, ValueError("other")])
def test_other_errors_are_not_taken_for_one(within: BaseException | None) -> None:
    with pytest.raises(OmegaConfBaseException) as other:
        DictConfig({"a": "${b}"}).a  # noqa: B018
    assert not was_interrupted(other.value)
    assert not was_interrupted(raised(KeyError("x"), within=within))
    assert not was_interrupted(None)


def test_a_command_ends_as_interrupted(
    interrupted: OmegaConfBaseException,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # which the command sets

    def main() -> NoReturn:
        raise interrupted

    with pytest.raises(SystemExit) as end:
        run_app(main, "evaluate")
    assert end.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_no_message_refers_to_what_users_do_not_have() -> None:
    """QUIRKS, notes of this project's making, are for comments and docstrings alone."""
    root = Path(vssl.__file__).parent
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in documented:
                assert "QUIRKS" not in str(node.value), f"{path}: {node.lineno}"

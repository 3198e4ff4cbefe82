"""Ctrl-C, whatever libraries make of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import vssl
from vssl.cli.app import run_app
from vssl.core.errors import was_interrupted


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


# Lightning raises SystemExit in place of Ctrl-C, OmegaConf one of its errors
@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(1), OmegaConfBaseException("half")])
def test_an_error_in_place_of_an_interrupt_is_known(error: BaseException) -> None:
    assert was_interrupted(raised(error, within=KeyboardInterrupt()))
    assert not was_interrupted(raised(type(error)(1), within=None))


@pytest.mark.parametrize("within", [None, ValueError("other")])
def test_other_errors_are_not_taken_for_one(within: BaseException | None) -> None:
    with pytest.raises(OmegaConfBaseException) as other:
        DictConfig({"a": "${b}"}).a  # noqa: B018
    assert not was_interrupted(other.value)
    assert not was_interrupted(raised(KeyError("x"), within=within))
    assert not was_interrupted(None)


def test_a_command_ends_as_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # which the command sets

    def main() -> None:
        raise raised(OmegaConfBaseException("half"), within=KeyboardInterrupt())

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

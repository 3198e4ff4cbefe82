"""Ctrl-C, whatever libraries make of it; and references to what the released code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vssl.cli.app import run_app
from vssl.core.errors import was_interrupted

ROOT = Path(__file__).resolve().parents[2]


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


def test_every_number_that_is_cited_is_explained() -> None:
    """docs/protocols.md explains what the released code does, by numbers R1, R2, ..."""
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r'^\| <a id="r(\d+)"></a>R\1 \|', page, re.M)]
    assert numbers == [*range(1, len(numbers) + 1)]
    cited = set()
    for folder, kind in (("vssl", "py"), ("tests", "py"), ("conf", "yaml"), ("docs", "md")):
        for path in sorted((ROOT / folder).rglob(f"*.{kind}")):
            text = " ".join(path.read_text(encoding="utf-8").split())
            for listed in re.findall(r"protocols\.md, (R\d+(?:(?:,| and| to|, and) R\d+)*)", text):
                found = {int(number) for number in re.findall(r"\d+", listed)}
                assert found <= set(numbers), f"{path}: {listed}"
                cited |= found
    assert len(cited) > 10

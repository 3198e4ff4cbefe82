"""Run doctests of vssl in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _doctests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what they write."""
    return tmp_path_factory.mktemp("doctests")


@pytest.fixture(autouse=True)
def _elsewhere(
    request: pytest.FixtureRequest, _doctests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the checkout nor a user's cache gets a file."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(_doctests)
        monkeypatch.setenv("VSSL_CACHE", str(_doctests / "cache"))

"""benchmarks/gpu.py without a GPU: its parts at tiny sizes, and what it does when time is over."""

from __future__ import annotations

import importlib
import json
import math
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(FOLDER)
    names = ("gpu", "gpu_measures", "run", "stages")
    return {name: importlib.import_module(name) for name in names}


def test_stages_and_measures_exist(modules: dict[str, ModuleType]) -> None:
    for place in modules["stages"].STAGES.values():
        owner, name = modules["stages"].found(place)
        assert callable(getattr(owner, name))
    for name in modules["gpu"].SECONDS:
        assert callable(getattr(modules["gpu_measures"], name))
    assert {key.partition(".")[0] for key in modules["gpu"].PREDICTED} <= set(
        modules["gpu"].SECONDS
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_measures_at_tiny_sizes(
    modules: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measures, gpu = modules["gpu_measures"], modules["gpu"]
    place = modules["run"].Place(tmp_path)
    file = tmp_path / "figures.json"
    found = {}
    for name in ("machine", "prepare", "alone", "loop", "readers"):
        bench = measures.Bench(place, measures.DRY, time.monotonic() + 600, file)
        getattr(measures, name)(bench)
        found[name] = gpu.with_predictions(name, json.loads(file.read_text()))
        numbers = [value for value in bench.figures.values() if isinstance(value, float)]
        assert numbers
        assert min(numbers) >= 0
    table = gpu.table({"figures": found, "faults": {}, "dry": True})
    assert "| machine | copy_tb_per_second |" in table
    assert "| 2.5 to 4.6 |  |" in table
    assert "grid" not in table
    assert len(found["alone"]["grid"]) == 2 * 2 * 2  # networks, precisions, memory formats
    # of two inputs, each with a positive, through 16 at once
    clock = measures.recorded(bench, "tiny_av", place.test_set(2))
    assert clock.batches == 2
    assert set(clock.seconds) >= {"networks", "check", "plan", "sounds", "images", "join"}
    assert clock.windows["sounds"][1] <= clock.windows["images"][1]


def test_a_measure_is_ended_in_time(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    def works(bench: Any) -> None:
        bench.report(first=1.0)
        bench.report(second=2.0)

    def sleeps(bench: Any) -> None:
        bench.report(first=1.0)
        time.sleep(60)

    def fails(bench: Any) -> None:
        bench.report(first=1.0)
        raise ValueError("no such thing")

    for work, seconds, fault, figures in (
        (works, 30, "", {"first": 1.0, "second": 2.0}),
        (sleeps, 1, "not done in time", {"first": 1.0}),
        (fails, 30, "ValueError: no such thing", {"first": 1.0}),
    ):
        bench = modules["gpu_measures"].Bench(None, None, 0.0, tmp_path / f"{work.__name__}.json")
        said = modules["gpu"].in_process(work, bench, time.monotonic() + seconds)
        assert fault in said
        assert bool(said) == bool(fault)
        assert json.loads(bench.file.read_text()) == figures


def test_wheels_are_unpacked_beside_vssl(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.syspath_prepend(tmp_path)  # so that the path is as before afterwards
    with zipfile.ZipFile(tmp_path / "some_1-0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_module.py", "value = 3")
    modules["gpu"].unpack(tmp_path, tmp_path / "site")
    assert importlib.import_module("some_module").value == 3
    for path in ("vssl/__init__.py", "vssl/conf/evaluate.yaml", "vssl/experiments"):
        assert (tmp_path / "site" / path).exists()


def test_numbers_are_compared_by_their_bits(modules: dict[str, ModuleType]) -> None:
    def table(numbers: list[float | None], lists: list[list[float]], names: str = "ab") -> pa.Table:
        return pa.table({"name": list(names), "number": numbers, "values": lists})

    one = table([0.0, math.nan], [[1.0, 2.0], [3.0, math.nan]])
    differing = modules["gpu_measures"].differing
    assert differing(one, one) == 0
    assert differing(one, table([-0.0, math.nan], [[1.0, 2.0], [3.0, math.nan]])) == 1
    assert differing(one, table([0.0, None], [[1.0, 2.0], [3.0, math.nan]])) == 1
    changed = [[1.0, math.nextafter(2.0, 3.0)], [math.nan, math.nan]]
    assert differing(one, table([0.0, math.nan], changed)) == 2
    with pytest.raises(RuntimeError, match="rows differ"):
        differing(one, table([0.0, math.nan], [[1.0, 2.0], [3.0, math.nan]], "ac"))


def test_predictions_stand_beside_figures(modules: dict[str, ModuleType]) -> None:
    figures = modules["gpu"].with_predictions("run", {"total_seconds": 13.4567, "samples": 5158})
    assert figures == {"total_seconds": {"value": 13.46, "predicted": (6, 12)}, "samples": 5158}
    facts = {"figures": {"run": figures}, "faults": {"large": "no time was left"}, "dry": False}
    assert modules["gpu"].table(facts).splitlines()[2:] == [
        "| run | total_seconds | 13.46 | 6 to 12 | above |",
        "| run | samples | 5158 |  |  |",
        "large: no time was left",
    ]

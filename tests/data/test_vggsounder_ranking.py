"""The tables of docs/vggsounder.md: rates, ranks and pairs by subset."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from vssl.experiments import vggsounder_ranking

N = 60


def test_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    clean = generator.random(N) < 0.5
    flags = ["video_id,label,modality,background_music,static_image,voice_over"]
    flags += [f"v{n},dog,{'AV' if clean[n] else 'A'},False,False,False" for n in range(N)]
    (tmp_path / "flags.csv").write_text("\n".join(flags))
    sides = generator.uniform(0.2, 0.6, N)
    entries = [
        {"file": f"v{n}", "class": "dog", "bbox": [[0, 0, side, 1]]} for n, side in enumerate(sides)
    ]
    (tmp_path / "vggss.json").write_text(json.dumps(entries))
    ious = {"good": 0.48 + 0.52 * generator.random(N), "bad": 0.6 * generator.random(N)}
    rows = [f"v{n},{ious['good'][n]},{ious['bad'][n]}" for n in range(N)]
    (tmp_path / "ious.csv").write_text("\n".join(["sample_id,good,bad", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vggsounder_ranking, "DRAWS", 500)
    methods = [f"{name}=ious.csv:{name}" for name in ("bad", "good")]
    given = ["--flags", "flags.csv", "--annotation", "vggss.json", "--baselines", *methods]
    monkeypatch.setattr(sys, "argv", ["vggsounder_ranking.py", *given, "--against", "bad"])
    vggsounder_ranking.main()

    printed = capsys.readouterr().out
    tables = {}
    for text in printed.strip().split("\n\n")[1::2]:
        header, _, *lines = [line.strip("| ").split(" | ") for line in text.splitlines()]
        found = {name: dict(zip(header, cells, strict=True)) for name, *cells in lines}
        tables[len(tables)] = found
    rates, _, areas, ranks, pairs, differences = tables.values()
    subsets = {"all": clean | True, "clean": clean, "clean, one label": clean}
    subsets |= {"not clean": ~clean, "not visible": ~clean}
    assert rates["good"].keys() == {f"{name} ({own.sum()})" for name, own in subsets.items()}
    for name, own in subsets.items():
        column = f"{name} ({own.sum()})"
        rate = {each: 100 * (ious[each][own] >= 0.5).mean() for each in ious}
        whole = 100 * (np.floor(224 * sides[own]) / 224 >= 0.5).mean()
        for method, expected in (*rate.items(), ("whole image", whole)):
            assert float(rates[method][column].split()[0]) == pytest.approx(expected, abs=0.051)
        grid = np.arange(21) * 0.05
        curve = (ious["good"][own][:, None] >= grid).mean(axis=0)
        assert float(areas["good"][column].split()[0]) == pytest.approx(
            100 * np.trapezoid(curve, grid), abs=0.051
        )
        assert ranks["good"][column] == "1 (1 to 1)"
        assert pairs["told apart, turned"][column] == "0"
        difference = rate["good"] - rate["bad"]
        assert float(differences["good"][column].split()[0]) == pytest.approx(difference, abs=0.051)

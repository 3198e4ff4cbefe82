"""What vssl does on one GPU, within eight minutes on a bare machine: writes benchmarks/gpu.json.

    python benchmarks/gpu.py [--wheels FOLDER] [--minutes 8] [--output FILE] [MEASURE ...]
    python benchmarks/gpu.py --dry        # every measure at tiny sizes on the CPU

It needs no network, no weights and no data: test sets and checkpoints are made. What the machine
lacks comes as wheels in a folder, which are unpacked for the time of the measures; vssl itself is
taken from this checkout. A machine with torch, numba, pyarrow, pandas, scipy, pytorch-lightning,
torchmetrics, Pillow, matplotlib, joblib, filelock, rich, PyYAML and lazy-loader lacks

    hydra-core omegaconf antlr4-python3-runtime hydra-joblib-launcher
    simplejpeg soundfile cffi pycparser librosa soxr

(`pip download --no-deps --only-binary=:all: --python-version 3.12 -d FOLDER NAME ...`, but
antlr4-python3-runtime, which is published as source alone, by `pip wheel --no-deps -w FOLDER`).
Nothing here uses wandb, av or hydra-submitit-launcher. nvidia-ml-py and torchvision are used where
they are.

Each measure runs in a separate process, forked from one that has the libraries. It is killed when
its time is over; its figures up to then count. After each measure the file is written: the card,
the driver, the figures, and beside each figure the prediction made before any was measured. A table
of all comes last. `--dry` writes outputs/gpu_dry.json.

    machine      card, driver, cores; copies, matrix products, disk
    prepare      making the test sets; compilation of kernels
    start        `vssl --help`, imports
    run          5,158 samples x 22 records, nine policies, 1,000 resamples, without loggers:
                 seconds from the start of the process to its end, by stage; share of the time in
                 which the GPU worked while the networks ran; over the bare passes of all inputs
                 in strict float32, and over the reading of all pictures, in the same process
    alone        networks without anything else: precision, memory format, batch size; deviations
                 from float64
    loop         kernels, copies and waits of a batch, by the profiler
    readers      pictures through a whole run with a small network, over reading them by threads
    device       scoring on the device: equal to the CPU's bit for bit, and how fast
    scoring      scoring and summary on the CPU, by number of threads
    together     runs of other models at once on the card, and a sweep over them
    large        five times the samples of `run`
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

SECONDS = {
    "machine": 25, "prepare": 75, "start": 30, "run": 90, "alone": 60, "loop": 30, "readers": 60,
    "device": 60, "scoring": 60, "together": 90, "large": 120,
}  # fmt: skip
"""Most that each measure may take; all together are ended after `--minutes`."""

_PATIENCE = 5  # times as long when dry, where nothing depends on the time and cores may be shared

_LEAST = 5  # seconds that a measure is begun with

PREDICTED = {
    "machine.copy_tb_per_second": (2.5, 4.6),
    "machine.matmul_float32_tflops": (40, 60),
    "machine.matmul_tf32_tflops": (250, 450),
    "machine.upload_pinned_gb_per_second": (20, 55),
    "start.help_seconds": (0, 0.5),
    "start.imports_seconds": (0, 4),
    "run.total_seconds": (6, 12),
    "run.score_per_second": (60_000, 1_500_000),
    "run.busy_while_held": (0.7, 1),
    "run.over_floor": (3, 9),
    "alone.ezvsl_images_per_second": (5_000, 8_000),
    "alone.ezvsl_images_tf32_over_float32": (3, 4),
    "alone.lvs_images_per_second": (3_000, 5_000),
    "readers.threads16_640x360_per_second": (4_000, 6_000),
    "readers.run_over_threads_640x360": (0.8, 1.1),
    "loop.pageable_copies_a_batch": (0, 0.1),
    "loop.waits_a_batch": (0, 1),
    "device.different_values": (0, 0),
    "device.maps_7x7_per_second": (60_000, 100_000),
    "scoring.threads16_maps_per_second": (8_000, 13_000),
    "together.2_at_once_over_one": (1, 1.3),
    "together.4_at_once_over_one": (1, 2),
    "together.sweep_of_4_over_one": (1, 2.5),
    "large.total_seconds": (20, 48),
    "large.busy_while_held": (0.7, 1),
}
"""Least and most, written down before the first measurement on a GPU."""


def main() -> None:
    """Measure, write, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measures", nargs="*", choices=[*SECONDS, []], help="what to measure (all)")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="what the machine lacks")
    parser.add_argument("--minutes", type=float, default=8, help="end after (8)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of gpu.json")
    options = parser.parse_args()
    patience = _PATIENCE if options.dry else 1
    until = time.monotonic() + 60 * options.minutes * patience
    usual = HERE.parent / "outputs" / "gpu_dry.json" if options.dry else HERE / "gpu.json"
    output = options.output or usual
    # looking for GPUs must not initialise CUDA, which a forked process could not use then
    if options.dry:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # more would wait for each other
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if options.wheels is not None:
            unpack(options.wheels, folder / "site")
        os.environ["VSSL_CACHE"] = str(folder / "cache")
        found = measure(folder, options.measures or list(SECONDS), until, output, dry=options.dry)
    print(table(found))
    if found["faults"]:
        sys.exit(f"not measured: {', '.join(found['faults'])}")


def unpack(wheels: Path, site: Path) -> None:
    """Put wheels and this checkout's vssl where this process and its children import them."""
    for path in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(site)
    shutil.copytree(HERE.parent / "vssl", site / "vssl")
    for name in ("conf", "experiments"):  # see package_dir in setup.cfg
        shutil.copytree(HERE.parent / name, site / "vssl" / name)
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])


def measure(
    folder: Path, names: list[str], until: float, output: Path, *, dry: bool
) -> dict[str, Any]:
    """Measure in the order of `SECONDS`, and write the output after each measure.

    Raises:
        SystemExit: without a GPU, unless dry.
    """
    sys.path.insert(0, str(HERE))
    measures, run = importlib.import_module("gpu_measures"), importlib.import_module("run")
    if not dry and not importlib.import_module("torch").cuda.is_available():
        raise SystemExit("no GPU was found. Use --dry for tiny sizes on the CPU.")
    place = run.Place(folder, trainer="cpu" if dry else "gpu")
    sizes = measures.DRY if dry else measures.FULL
    found: dict[str, Any] = {
        "commit": commit(), "dry": dry, "figures": {}, "seconds": {}, "faults": {}
    }  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    for name in SECONDS:
        if name not in {"machine", "prepare", *names}:
            continue
        begin = time.monotonic()
        end = min(until, begin + SECONDS[name] * (_PATIENCE if dry else 1))
        fault = "no time was left"
        file = folder / f"{name}.json"
        if end - begin >= _LEAST:
            bench = measures.Bench(place, sizes, end, file)
            fault = in_process(getattr(measures, name), bench, end)
        figures = json.loads(file.read_text()) if file.is_file() else {}
        found["figures"][name] = with_predictions(name, figures)
        found["seconds"][name] = round(time.monotonic() - begin, 1)
        if fault:
            found["faults"][name] = fault
        print(f"{name}: {found['seconds'][name]} s {fault}", flush=True)
        output.write_text(json.dumps(found, indent=1) + "\n")
    return found


def commit() -> str:
    """The checkout's commit; empty outside of one."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+dirty"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def in_process(work: Any, bench: Any, end: float) -> str:
    """Call a measure in another process, which is killed at `end`; return its fault, if any."""
    said = bench.file.with_suffix(".fault")

    def call() -> None:
        os.setsid()  # so that the processes that it starts can be ended with it
        try:
            work(bench)
        except BaseException:
            said.write_text(traceback.format_exc())
            raise SystemExit(1) from None

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    process.join(max(0, end - time.monotonic()))
    late = process.is_alive()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    if late:
        return "not done in time"
    if said.is_file():
        return said.read_text()
    return f"ended with status {process.exitcode}" if process.exitcode else ""


def with_predictions(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures rounded to four digits, and beside some the prediction."""
    kept: dict[str, Any] = {}
    for key, value in figures.items():
        short = float(f"{value:.4g}") if isinstance(value, float) else value
        predicted = PREDICTED.get(f"{name}.{key}")
        kept[key] = short if predicted is None else {"value": short, "predicted": predicted}
    return kept


def table(found: Mapping[str, Any]) -> str:
    """All figures as a Markdown table; groups of figures are left to the file."""
    lines = ["| measure | figure | value | predicted | |", "| --- | --- | ---: | ---: | --- |"]
    for name, figures in found["figures"].items():
        for key, figure in figures.items():
            if isinstance(figure, dict) and "predicted" not in figure:
                continue
            value, span, verdict = figure, "", ""
            if isinstance(figure, dict):
                value, (low, high) = figure["value"], figure["predicted"]
                span = f"{low:g} to {high:g}"
                verdict = "below" if value < low else "above" if value > high else "as predicted"
                verdict = "" if found["dry"] else verdict
            shown = f"{value:,.4g}" if isinstance(value, float) else str(value)
            lines.append(f"| {name} | {key} | {shown} | {span} | {verdict} |")
    lines += [f"{name}: {fault}" for name, fault in found["faults"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

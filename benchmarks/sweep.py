"""Wall time of a sweep over 1 to 8 GPUs, by its own scheduling and jobs that sleep.

    python benchmarks/sweep.py     writes benchmarks/sweep.json, in about five minutes

A sweep under `hydra/launcher=joblib` is joblib's queue of jobs and the lending of GPUs by
`vssl.core.devices`; both are used here as they are. A job of the sweep 8 models x 4 test sets
sleeps for as long as its parts take: before its networks (files checked, plan made), on the GPU,
and after it (shards joined, scores, tables, wandb). So cores are not what bounds the sweep here,
and no GPU is needed. `busy` is the share of the time in which the networks of a job run on a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from joblib import Parallel, delayed

from vssl.core.devices import JOBS_PER_GPU, DeviceRequest, acquire_devices

JOBS = 32
BEFORE, NETWORKS, AFTER = 4.0, 4.0, 8.0
"""Seconds of an evaluation of VGG-SS with ten draws on an H100 with 16 cores, estimated."""


def sweep(gpus: int, jobs_per_gpu: int, scale: float) -> dict[str, float]:
    """Run a sweep of sleeping jobs: its wall time in seconds, and the share that GPUs were busy."""
    names = tuple(f"GPU-{number}" for number in range(gpus))
    with tempfile.TemporaryDirectory() as folder:

        def job(number: int) -> None:
            time.sleep(BEFORE * scale)
            request = DeviceRequest("GPU", names, 1)
            with acquire_devices(request, who=f"job {number}", folder=Path(folder)):
                time.sleep(NETWORKS * scale)
            time.sleep(AFTER * scale)

        begin = time.monotonic()
        workers = min(JOBS, jobs_per_gpu * gpus)
        Parallel(n_jobs=workers, backend="threading")(delayed(job)(n) for n in range(JOBS))
        seconds = (time.monotonic() - begin) / scale
    return {"seconds": round(seconds, 1), "busy": round(JOBS * NETWORKS / (seconds * gpus), 3)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.2, help="of all seconds (0.2)")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    found: dict[str, object] = {"jobs": JOBS, "before": BEFORE, "networks": NETWORKS}
    found |= {"after": AFTER, "jobs_per_gpu": JOBS_PER_GPU}
    print("jobs a GPU   GPUs   seconds   busy")
    for each in sorted({1, 2, JOBS_PER_GPU, JOBS_PER_GPU + 1}):
        for gpus in (1, 8) if each != JOBS_PER_GPU else range(1, 9):
            result = sweep(gpus, each, arguments.scale)
            print(f"{each:10} {gpus:6} {result['seconds']:9.1f} {result['busy']:6.0%}", flush=True)
            found |= {f"{each}_a_gpu_{gpus}_gpus_{key}": value for key, value in result.items()}
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

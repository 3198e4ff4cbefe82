"""What model.precision and the options beside it change, against float32 eager.

    python benchmarks/options.py --weights FOLDER --data vggss --root FOLDER [--models lvs,ezvsl]

Evaluates each model as it is and with each option, and prints a Markdown table: the largest and the
mean difference of its similarity maps over all audio conditions, both relative to the spread of the
reference's values (their maximum minus their minimum), and the time of the run relative to the
reference's. Runs go to a temporary folder. docs/models.md keeps a result.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

MODELS = "lvs,ezvsl,slavc,fnac,ssltie,sslalign,rcgrad,rcgrad_raw"
OPTIONS = (
    "precision=tf32,precision=bf16-mixed,precision=16-mixed,channels_last=true,"
    "fold_batch_norms=true,compile=true"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="folder with the checkpoints")
    parser.add_argument("--data", default="vggss", help="test set")
    parser.add_argument("--root", required=True, help="folder of the test set")
    parser.add_argument("--models", default=MODELS, help="comma-separated")
    parser.add_argument("--options", default=OPTIONS, help="comma-separated, of the group model")
    arguments = parser.parse_args()
    common = [f"data={arguments.data}", f"data.root={Path(arguments.root).absolute()}"]
    common += [f"paths.weights={Path(arguments.weights).absolute()}", "threshold=fixed"]
    common += ["negatives.noise.draws=2", "negatives.offscreen.draws=2", "logger=none"]
    common += ["model.channels_last=false", "model.fold_batch_norms=false", "cache=off"]
    print("| model | option | largest difference | mean difference | time |")
    print("| --- | --- | ---: | ---: | ---: |")
    for model in arguments.models.split(","):
        reference, seconds = evaluate([f"model={model}", *common])
        if reference is None:
            sys.exit(f"{model} cannot be evaluated; the message is above")
        for option in arguments.options.split(","):
            maps, took = evaluate([f"model={model}", *common, f"model.{option}"])
            if maps is None:
                continue
            difference = np.abs(maps - reference) / np.ptp(reference)
            print(
                f"| {model} | `{option}` | {difference.max():.1e} | {difference.mean():.1e} |"
                f" {took / seconds:.2f} |",
                flush=True,
            )


def evaluate(arguments: list[str]) -> tuple[np.ndarray | None, float]:
    """Similarity maps of a run `[R, h * w]` and its seconds; None where it is not possible here."""
    program = Path(sys.executable).with_name("vssl-evaluate")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        done = subprocess.run(
            [program, *arguments, f"output_dir={folder}/run"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
            return None, seconds
        records = pd.read_parquet(f"{folder}/run/records.parquet")
        return np.stack(records["similarity_map"].to_list()), seconds


if __name__ == "__main__":
    main()

"""Time and memory of a report over eight models, two test sets of VGG-SS's size and ten draws.

`python benchmarks/report.py [--samples N] [--keep DIR] [vssl-report options]` makes records of one
run, whose maps are drawn at random, scores them, gives them to sixteen runs, and times vssl-report
over these in a process of its own. Prints seconds, and peak memory in MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from inputs import make_test_set, settings
from scoring import write_random_maps

from vssl.config import build
from vssl.core.hashing import text_hash
from vssl.data.vggss import VGGSS
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import make_plan
from vssl.negatives.silence import Silence
from vssl.records.files import RECORDS_FILE, RUN_FILE, SCORES_FILE, SUMMARY_FILE, TRUTH_FILE
from vssl.records.schema import METADATA_KEY
from vssl.runs.paper import EVALUATED_MODELS as MODELS
from vssl.runs.score import score_run

TEST_SETS = ("vggss", "is3")
SAMPLES, PICTURES, DRAWS, SIDE = 5158, 40, 10, 7
LIMITS = {"seconds": 120, "mib": 3 * 1024}
_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def make_run(folder: Path, count: int) -> Path:
    """A scored run with object-guided maps, whose samples share some pictures."""
    make_test_set(folder / "data", PICTURES)
    pictures = VGGSS(root=folder / "data").check().samples
    samples = [
        replace(pictures[n % PICTURES], sample_id=f"made{n:05d}", image_group=f"image{n}")
        for n in range(count)
    ]
    plan = make_plan(samples, [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)], seed=0)
    run = folder / "run"
    run.mkdir()
    write_random_maps(run, samples, plan, side=SIDE, together=200, model="made")
    asked = settings(
        "threshold=[half_image,object_area,universal_q3]", "subsets=[]", "bootstrap.resamples=100"
    )
    score_run(asked.scoring, run, build.build_policies(asked.scoring, model="made", negatives=True))
    return run


def give(run: Path, folder: Path, *, model: str, dataset: str) -> None:
    """A copy of a run under another model's and test set's name."""
    folder.mkdir(parents=True)
    own = {"model": model, "dataset": dataset, "config_hash": text_hash(f"{model} {dataset}")}
    for name in (RECORDS_FILE, TRUTH_FILE, SCORES_FILE, SUMMARY_FILE):
        source = pq.ParquetFile(run / name)
        schema = source.schema_arrow
        known = json.loads(schema.metadata[METADATA_KEY])
        metadata = {**schema.metadata, METADATA_KEY: json.dumps({**known, **own}).encode()}
        schema = schema.with_metadata(metadata)
        with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                if name == SUMMARY_FILE:
                    for key, value in own.items():
                        place = table.column_names.index(key)
                        same = pa.array([value] * len(table), pa.string())
                        table = table.set_column(place, schema.field(key), same)
                writer.write_table(table.cast(schema))
    identity = {"model": {"name": model}, "data": {"name": dataset}, "negatives": {}}
    facts = {**own, "scoring_hash": "", "identity": identity, "config": {"data": {}}}
    (folder / RUN_FILE).write_text(json.dumps(facts))


def main() -> None:
    """Make the runs, and report on them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N")
    parser.add_argument("--keep", type=Path, default=None, metavar="DIR", help="leave all there")
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "runs").is_dir():
            run = make_run(folder, options.samples)
            for dataset in TEST_SETS:
                for model in MODELS:
                    give(run, folder / "runs" / model / dataset, model=model, dataset=dataset)
        words = [str(folder / "runs"), "--output", str(folder / "report"), *more]
        # a child's peak begins at its parent's, so a small process stands between
        command = [sys.executable, "-c", _MEASURE, "-m", "vssl.cli.report", *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    *said, last = done.stdout.splitlines()
    print("\n".join(said))
    seconds, mib = (float(number) for number in last.split())
    rows = len(MODELS) * len(TEST_SETS) * options.samples * (2 + 2 * DRAWS)
    print(f"{rows:,} records: {seconds:.1f} s (limit {LIMITS['seconds']}), {mib:.0f} MiB"
          f" (limit {LIMITS['mib']})")  # fmt: skip


if __name__ == "__main__":
    main()

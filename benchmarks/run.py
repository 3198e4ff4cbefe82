"""Speed as ratios, each measured in one run: `python benchmarks/run.py` writes latest.json.

Ratios, because seconds say more about the machine than about vssl; measure on an idle machine.
Networks have random weights: speed does not depend on them. The test set is made: 1280 x 720 JPEGs
and 10 s clips in the layout of VGG-SS. Unless said otherwise a run is `vssl-evaluate` as it comes
(ten draws, all threshold policies and metrics, cache empty), without loggers, in a process whose
libraries are loaded.

    encode_once_speedup   ten draws of the released procedure (for each draw, every image is read
                          and encoded, with its sound, for each of the four audio conditions; NumPy
                          scoring map by map) over one run; geometric mean over the models
    over_floor            a run over the bare forward passes of each image and each distinct clip
                          once, in a plain process: the network as its authors define it, in the
                          better memory format, at the best batch size; geometric mean over the
                          models
    over_own_floor        the same over the passes of the network as the run has it: batch norms
                          folded, freed memory kept
    warm_ratio            a second run, with the cache that the first left, over the first
    negatives_ratio       the commands: a sweep over four types of negatives over a run of all, the
                          fastest of three of each, in turns
    growth                time per added sample from 200 to 400 over that from 50 to 100 samples
    memory_growth         peak memory of a run of 400 samples over that of 50
    scoring_speedup       a straightforward NumPy loop, one map at a time, over vssl's scoring: same
                          records, nine policies, both map variants, the same columns
    scoring_growth        scoring time per sample with 400 samples over that with 100
    scoring_memory        peak memory of scoring 400 samples over that of scoring 100
    check_over_reading    the check of a folder of 20,000 small pictures and sounds over a loop that
                          decodes and hashes each file
    check_growth          its time per sample over that with 2,000

`python benchmarks/run.py NAME [...]` measures only some: models, cache, negatives, growth, scoring,
checking.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import checking
from bare import network_seconds
from inputs import make_checkpoint, make_test_set, settings, timed
from released import one_draw
from scoring import make_records, score_by_numpy
from scoring import score as score_made

from vssl.config import build, networks
from vssl.negatives.base import Positive
from vssl.negatives.plan import make_plan
from vssl.runs.evaluate import evaluate
from vssl.types import POSITIVE

MODELS = ("rcgrad", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
SAMPLES = 400
REENACTED = 24  # samples of the released procedure that are timed; its cost is linear in them
DRAWS = 10
COMMANDS = 3  # of each kind whose fastest counts
SIZES = (50, 100, 200, 400)
PARTS = ("models", "cache", "negatives", "growth", "scoring", "checking")


@dataclass(frozen=True)
class Place:
    """Where the benchmarks work, and on what."""

    folder: Path
    trainer: str = "cpu"

    def test_set(
        self, samples: int, *, size: tuple[int, int] = (1280, 720), classes: int = 12
    ) -> Path:
        """A test set, made when first asked for; see `make_test_set`."""
        root = self.folder / f"set{samples}-{size[0]}x{size[1]}-{classes}"
        if not root.is_dir():
            make_test_set(root, samples, size=size, classes=classes)
        return root

    def weights(self, models: Iterable[str]) -> None:
        """Make checkpoints, where they are not there yet."""
        (self.folder / "weights").mkdir(exist_ok=True)
        for model in models:
            make_checkpoint(model, self.folder / "weights")

    def overrides(self, model: str, root: Path, cache: str = "cache") -> list[str]:
        """What the command line says."""
        return [
            f"model={model}", f"paths.weights={self.folder / 'weights'}", "data=vggss",
            f"data.root={root}", f"cache.folder={self.folder / cache}",
            f"trainer={self.trainer}", "logger=none", "trainer.enable_progress_bar=false",
        ]  # fmt: skip

    def empty(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def run(self, model: str, samples: int = SAMPLES, *, cache: str) -> float:
        """Seconds of a run."""
        asked = settings(*self.overrides(model, self.test_set(samples), cache))
        run = self.empty("run")
        return timed(lambda: evaluate(asked, run, quiet=True))

    def command(self, *arguments: str, cache: str) -> float:
        """Seconds of `vssl-evaluate` in a process of its own."""
        output = self.empty("outputs")
        program = Path(sys.executable).with_name("vssl-evaluate")
        overrides = self.overrides("lvs", self.test_set(SAMPLES), cache)
        line = [str(program), *arguments, *overrides, f"output_root={output}"]
        return timed(lambda: subprocess.run(line, check=True, capture_output=True))


def of_models(place: Place) -> dict[str, float]:
    """Against the released procedure, and against the networks alone."""
    results = {}
    place.run("ezvsl", 50, cache="warm_up")  # libraries and kernels load
    for model in MODELS:
        ours, plain, own, theirs = of_model(place, model)
        results[f"encode_once_speedup_{model}"] = theirs / ours
        results[f"over_floor_{model}"] = ours / plain
        results[f"over_own_floor_{model}"] = ours / own
        print(
            f"{model}: {ours:.1f} s, plain floor {plain:.1f} s, own floor {own:.1f} s,"
            f" released {theirs:.0f} s",
            flush=True,
        )
    for name in ("encode_once_speedup", "over_floor", "over_own_floor"):
        values = [results[f"{name}_{model}"] for model in MODELS]
        results[name] = math.prod(values) ** (1 / len(values))
    return results


def of_model(place: Place, model: str) -> tuple[float, float, float, float]:
    """Seconds of a run, of bare passes plain and own, and of the released procedure's ten draws."""
    asked = settings(*place.overrides(model, place.test_set(SAMPLES)))
    ours = place.run(model, cache=f"cold_{model}")
    own = network_seconds(asked)
    line = [sys.executable, __file__, "--plain", str(place.folder), model]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return ours, found["floor"], own, found["released"]


def plain(folder: Path, model: str) -> None:
    """Without anything that makes a run faster; prints seconds of bare passes and of ten draws."""
    place = Place(folder)
    given = place.overrides(model, place.test_set(SAMPLES))
    common = [*given, "model.fold_batch_norms=false"]
    first, last = (
        settings(*common, f"model.channels_last={choice}") for choice in ("false", "true")
    )
    floor = network_seconds(first, last)
    released = settings(*given, "protocol=released")
    network, _ = networks.build_model(released.model)
    samples = build.build_reader(released.data).check().samples
    few, negatives = samples[:REENACTED], build.build_conditions(first)
    conditions = {POSITIVE: Positive(), **{each.name: each for each in negatives}}
    plan = make_plan(few, negatives, seed=0)
    frontend = build.build_frontends(first, [])[POSITIVE]
    transform, _ = build.build_transforms(released)
    seconds = timed(lambda: one_draw(network, few, plan, conditions, frontend, transform))
    print(json.dumps({"floor": floor, "released": seconds * DRAWS * len(samples) / len(few)}))


def of_cache(place: Place) -> dict[str, float]:
    """A second run over the first."""
    place.run("lvs", 50, cache="warm_up")
    first, second = (place.run("lvs", cache="twice") for _ in range(2))
    return {"warm_ratio": second / first}


def of_negatives(place: Place) -> dict[str, float]:
    """A sweep over types of negatives over one run, as commands, each with an empty cache."""
    ones, sweeps = [], []
    for n in range(COMMANDS):
        ones.append(place.command("negatives=all", cache=f"one{n}"))
        types = "negatives=silence,noise,offscreen,all"
        sweeps.append(place.command("-m", types, cache=f"sweep{n}"))
    for what, seconds in (("one run", ones), ("sweep of four", sweeps)):
        print(f"{what}: {', '.join(f'{each:.1f}' for each in seconds)} s", flush=True)
    return {"negatives_ratio": min(sweeps) / min(ones)}


def of_growth(place: Place) -> dict[str, float]:
    """Runs of growing test sets, each in a process of its own."""
    for samples in SIZES:
        place.test_set(samples)
    found = {}
    for samples in SIZES:
        line = [sys.executable, __file__, "--alone", str(place.folder), str(samples)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        found[samples] = json.loads(done.stdout.splitlines()[-1])
    seconds, memory = ({n: found[n][key] for n in SIZES} for key in ("seconds", "mib"))
    print("growth: " + ", ".join(f"{n}: {seconds[n]:.1f} s, {memory[n]:.0f} MiB" for n in SIZES))
    added = (seconds[400] - seconds[200]) / 200, (seconds[100] - seconds[50]) / 50
    return {"growth": added[0] / added[1], "memory_growth": memory[400] / memory[50]}


def alone(folder: Path, samples: int) -> None:
    """One run in this process; prints seconds and peak memory."""
    place = Place(folder)
    place.run("ezvsl", 50, cache="warm_up")
    seconds = place.run("ezvsl", samples, cache=f"growth{samples}")
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": mib}))


def of_scoring(place: Place) -> dict[str, float]:
    """Scoring by itself."""
    count, by_loop = 200, 6
    folder = place.folder / "scoring"
    folder.mkdir()
    samples = make_records(folder, count)
    score_made(folder)  # kernels compile or load
    ours = timed(lambda: score_made(folder)) / (count * (2 + 2 * DRAWS))
    script = Path(__file__).with_name("scoring.py")
    found = {}
    for size in (100, 400):
        line = [sys.executable, str(script), str(size)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        found[size] = json.loads(done.stdout)
    return {
        "scoring_speedup": score_by_numpy(folder, samples, by_loop) / ours,
        "scoring_growth": found[400]["seconds"] / found[100]["seconds"] / 4,
        "scoring_memory": found[400]["mib"] / found[100]["mib"],
    }


def of_checking(place: Place) -> dict[str, float]:
    """The check of a folder of one's own."""
    return checking.measure(place.folder)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (all)")
    parser.add_argument("--alone", nargs=2, metavar=("FOLDER", "SAMPLES"), help=argparse.SUPPRESS)
    parser.add_argument("--plain", nargs=2, metavar=("FOLDER", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain(Path(arguments.plain[0]), arguments.plain[1])
        return
    if arguments.alone:
        alone(Path(arguments.alone[0]), int(arguments.alone[1]))
        return
    path = Path(__file__).with_name("latest.json")
    results = json.loads(path.read_text()) if arguments.parts and path.is_file() else {}
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        place.weights(MODELS)
        for part in arguments.parts or PARTS:
            measured = globals()[f"of_{part}"](place)
            results.update({key: round(value, 3) for key, value in measured.items()})
            path.write_text(json.dumps(results, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()

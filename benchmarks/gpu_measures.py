"""The measures of benchmarks/gpu.py; each is a function of a `Bench` that reports figures."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from bare import BATCHES, network_inputs, pass_seconds, pictures_per_second, synchronized
from inputs import settings, timed
from run import Place
from scoring import DRAWS, make_records, policies
from stages import Clock, write_whole

from vssl.config import build, networks
from vssl.core.devices import usable_cores
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import fit_policies
from vssl.records.score import score_records
from vssl.records.store import read_columns
from vssl.runs.record import record
from vssl.runs.score import score_run
from vssl.tensor_kernels import LOOPS_ON

RECORDS = 2 + 2 * DRAWS  # of a sample: positive, silence, and the draws of noise and offscreen
NOTHING_MORE = ("negatives=none", "bootstrap.resamples=100", "subsets=[]", "threshold=fixed")
_LOOKED_EVERY = 0.02  # seconds
_RULES = {
    "positive": "align_corners", "silence": "opencv", "noise": "half_pixel", "offscreen": "opencv",
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    samples: int  # of the run; 5,158 is VGG-SS
    classes: int
    many: int  # times as many samples of the large run
    read: int  # pictures of a size
    picture: tuple[int, int]  # width and height in the runs
    pictures: tuple[tuple[int, int], ...]  # that are read
    models: tuple[str, ...]  # the first is that of the run
    measured: int  # of the models, whose networks are measured alone
    repeats: int
    scored: int  # samples
    together: int  # samples of each of the runs side by side
    at_once: tuple[int, ...]


FULL = Sizes(
    samples=5158, classes=220, many=5, read=2048, picture=(640, 360),
    pictures=((224, 224), (640, 360), (1024, 768)), models=("ezvsl", "lvs", "slavc", "fnac"),
    measured=2, repeats=9, scored=1000, together=1280, at_once=(2, 4),
)  # fmt: skip
DRY = Sizes(
    samples=6, classes=3, many=2, read=4, picture=(64, 48), pictures=((64, 48),),
    models=("tiny_av", "tiny_san"), measured=1, repeats=1, scored=4, together=4, at_once=(2,),
)  # fmt: skip


@dataclass
class Bench:
    """Where a measure works, how much, until when, and where its figures go."""

    place: Place
    sizes: Sizes
    until: float  # by time.monotonic()
    file: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """Where the networks run."""
        return "cpu" if self.place.trainer == "cpu" else "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def report(self, **figures: Any) -> None:
        """Add figures, and write all of the measure."""
        self.figures.update(figures)
        if self.file is not None:
            write_whole(self.file, self.figures)

    def root(self) -> Path:
        """The test set of the run."""
        return self.place.test_set(
            self.sizes.samples, size=self.sizes.picture, classes=self.sizes.classes
        )


def machine(bench: Bench) -> None:
    """The card and the machine, and what they do at best."""
    bench.report(torch=torch.__version__, cores=len(usable_cores()))
    large = 4 if bench.device == "cpu" else 8192
    megabytes = large // 4
    if bench.device == "cuda":
        asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        card, driver = said.splitlines()[0].split(", ")
        bench.report(card=card, driver=driver, cuda=torch.version.cuda)
    buffer = torch.zeros(megabytes << 20, dtype=torch.uint8, device=bench.device)
    seconds = pass_seconds(torch.clone, buffer, repeats=bench.sizes.repeats)
    bench.report(copy_tb_per_second=2 * buffer.nbytes / seconds / 1e12)
    batch = torch.zeros(64, 3, 224, 224)
    kinds = {"pageable": batch}
    if bench.device == "cuda":
        kinds["pinned"] = batch.pin_memory()
    for kind, tensor in kinds.items():
        seconds = pass_seconds(
            lambda each: each.to(bench.device, non_blocking=True, copy=True),
            tensor,
            repeats=bench.sizes.repeats,
        )
        bench.report(**{f"upload_{kind}_gb_per_second": tensor.nbytes / seconds / 1e9})
    matrix = torch.randn(large, large, device=bench.device)
    for name, allowed in (("float32", False), ("tf32", True)):
        with tf32(allowed):
            seconds = pass_seconds(lambda m: m @ m, matrix, repeats=3)
        bench.report(**{f"matmul_{name}_tflops": 2 * large**3 / seconds / 1e12})
    data = bytes(megabytes << 20)
    seconds = timed(lambda: (bench.place.folder / "written").write_bytes(data))
    bench.report(disk_write_gb_per_second=len(data) / seconds / 1e9)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let matrix products and convolutions use TensorFloat-32, or not."""
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = allowed
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def prepare(bench: Bench) -> None:
    """Make the test sets and the checkpoints, and let kernels compile."""
    bench.place.weights(bench.sizes.models if bench.sizes is FULL else ())
    bench.report(make_seconds=timed(bench.root))
    folder = bench.place.empty("few")
    make_records(folder, 4, side=7, prior=None)
    asked = settings("bootstrap.resamples=10")
    bench.report(compile_seconds=timed(lambda: score_run(asked.scoring, folder)))
    few = bench.place.test_set(2)
    bench.report(first_run_seconds=timed(lambda: recorded(bench, bench.sizes.models[0], few)))


def recorded(bench: Bench, model: str, root: Path, *more: str) -> Clock:
    """Record one sound for each picture, and time the stages."""
    asked = settings(*bench.place.overrides(model, root), "cache=off", *NOTHING_MORE, *more)
    with Clock() as clock:
        record(asked, bench.place.empty("recorded"), [])
    return clock


def start(bench: Bench) -> None:
    """How long a process takes until it begins to work."""
    lines = {
        "help_seconds": "import sys; sys.argv[1:] = ['--help']; from vssl.cli.main import main;"
        " main()",
        "imports_seconds": "import vssl.runs.evaluate",
        "torch_seconds": "import torch",
    }
    for name, line in lines.items():
        command = [sys.executable, "-c", line]
        bench.report(**{
            name: min(
                timed(lambda c=command: subprocess.run(c, check=True, capture_output=True))
                for _ in range(1 if bench.sizes is DRY else 2)
            )
        })  # fmt: skip


class Utilization(threading.Thread):
    """Looks at a GPU all the time: the share of the last moment in which a kernel ran."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, float]] = []  # time, share
        self._done = threading.Event()
        self._nvml: Any = importlib.import_module("pynvml")
        self._nvml.nvmlInit()
        self._card = self._nvml.nvmlDeviceGetHandleByIndex(0)

    def run(self) -> None:
        """Look until `mean` is asked for."""
        while not self._done.wait(_LOOKED_EVERY):
            share = self._nvml.nvmlDeviceGetUtilizationRates(self._card).gpu / 100
            self.seen.append((time.time(), share))

    def mean(self, begin: float, end: float) -> float | None:
        """Mean share in a span of time, None if none was seen; it looks no more."""
        self._done.set()
        shares = [share for when, share in self.seen if begin <= when <= end]
        return float(np.mean(shares)) if shares else None


def staged(bench: Bench, root: Path, *options: str) -> None:
    """`vssl-evaluate` from the prompt to the table, stage by stage."""
    file, run = bench.place.folder / "stages.json", bench.place.empty("whole")
    file.unlink(missing_ok=True)
    script = str(Path(__file__).with_name("stages.py"))
    overrides = [
        *bench.place.overrides(bench.sizes.models[0], root),
        "negatives=all",
        f"output_dir={run}",
    ]
    watched = bench.device == "cuda" and importlib.util.find_spec("pynvml") is not None
    watch = Utilization() if watched else None
    if watch is not None:
        watch.start()
    line = [sys.executable, script, str(file), str(time.time()), *options, *overrides]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=max(1, bench.left - 2))
        fault = done.stderr[-2000:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        fault = "not done in time"
    facts = json.loads(file.read_text()) if file.is_file() else {"stages": {}, "windows": {}}
    seconds, windows = facts.pop("stages"), facts.pop("windows")
    samples = len(json.loads((root / "vggss.json").read_text()))
    bench.report(samples=samples, **facts, **{f"{k}_seconds": v for k, v in seconds.items()})
    rates = {"images": samples, "sounds": samples + 1 + DRAWS, "score": RECORDS * samples}
    bench.report(**{f"{k}_per_second": n / seconds[k] for k, n in rates.items() if k in seconds})
    if "images" in windows:
        begin, end = windows["sounds"][0], windows["images"][1]
        bench.report(device_seconds=end - begin)
        busy = None if watch is None else watch.mean(begin, end)
        if busy is not None:
            bench.report(busy_while_held=busy)
    if "bare_seconds" in facts:
        total, floor = facts["total_seconds"], facts["bare_seconds"]
        bench.report(
            bare_over_device_seconds=floor / bench.figures["device_seconds"],
            over_floor=total / floor,
        )
    if "read_seconds" in facts:
        bench.report(over_both_floors=total / max(floor, facts["read_seconds"]))
    if fault:
        raise RuntimeError(fault)


def run(bench: Bench) -> None:
    """The reference run: VGG-SS's size, all negatives, ten draws, all policies."""
    staged(bench, bench.root(), "--bare")


def large(bench: Bench) -> None:
    """The same with several times the samples: other names of the same files."""
    source, root = bench.root(), bench.place.empty("large")
    entries = json.loads((source / "vggss.json").read_text())
    repeated = []
    for name in ("frames", "audio"):
        (root / name).mkdir()
    for n, entry in product(range(bench.sizes.many), entries):
        own = f"{n}{entry['file']}"
        for folder, suffix in (("frames", ".jpg"), ("audio", ".wav")):
            (root / folder / (own + suffix)).hardlink_to(source / folder / (entry["file"] + suffix))
        repeated.append({**entry, "file": own})
    (root / "vggss.json").write_text(json.dumps(repeated))
    staged(bench, root)


def alone(bench: Bench) -> None:
    """Networks alone: precision, memory format, batch size, and what each changes."""
    batches = BATCHES[bench.device] if bench.sizes is FULL else (1,)
    grid: dict[str, float] = {}
    for name in bench.sizes.models[: bench.sizes.measured]:
        asked, apart = (
            settings(
                *bench.place.overrides(name, bench.root()),
                *("model.channels_last=false", f"model.fold_batch_norms={folded}"),
            )
            for folded in ("true", "false")
        )
        samples = build.build_reader(asked.data).check().samples[: bench.sizes.read]
        images, sounds = (
            each.to(bench.device) for each in network_inputs(asked, samples, max(batches))
        )
        model = networks.build_model(asked.model)[0].to(bench.device)
        unfolded = networks.build_model(apart.model)[0].to(bench.device)
        for kind, inputs in (("images", images), ("sounds", sounds)):
            rates = {
                key: rate_of(bench, encoder(model, kind), inputs[: key[2]], *key[:2])
                for key in product((False, True), ("first", "last"), batches)
            }
            for key, rate in rates.items():
                words = ("tf32" if key[0] else "float32", f"channels_{key[1]}", key[2])
                grid["_".join(map(str, (name, kind, *words)))] = rate

            def best(fast: bool, rates: dict[Any, float] = rates) -> Any:
                return max((key for key in rates if key[0] == fast), key=lambda key: rates[key])

            strict, quick = best(False), best(True)
            own = f"{name}_{kind}"
            others = {
                "channels_last_over_first": max(r for k, r in rates.items() if k[1] == "last")
                / max(r for k, r in rates.items() if k[1] == "first"),
                "tf32_over_float32": rates[quick] / rates[strict],
            }
            bench.report(
                grid=grid,
                **{
                    f"{own}_per_second": rates[strict],
                    f"{own}_best": f"channels {strict[1]}, {strict[2]} at once",
                },
                **{f"{own}_{key}": value for key, value in others.items()},
            )
            part = inputs[: strict[2]]
            torch.backends.cudnn.benchmark = True
            tried = rate_of(bench, encoder(model, kind), part, *strict[:2])
            torch.backends.cudnn.benchmark = False
            apart_rate = rate_of(bench, encoder(unfolded, kind), part, *strict[:2])
            bench.report(**{
                f"{own}_cudnn_benchmark_over_not": tried / rates[strict],
                f"{own}_folded_over_not": rates[strict] / apart_rate,
                **{f"{own}_{k}": v for k, v in deviations(model, kind, inputs[:64]).items()},
            })  # fmt: skip


def encoder(model: torch.nn.Module, kind: str) -> Any:
    """The network of images or of sounds."""
    return model.encode_image if kind == "images" else model.encode_audio


def rate_of(bench: Bench, encode: Any, batch: torch.Tensor, fast: bool, channels: str) -> float:
    """Inputs per second of a network."""
    formats = {"first": torch.contiguous_format, "last": torch.channels_last}
    encode.__self__.to(memory_format=formats[channels])
    with tf32(fast), torch.inference_mode():
        return len(batch) / pass_seconds(encode, batch, repeats=bench.sizes.repeats)


def deviations(model: torch.nn.Module, kind: str, batch: torch.Tensor) -> dict[str, float]:
    """Largest difference to float64, over the spread of the values."""
    with torch.inference_mode():
        exact = encoder(copy.deepcopy(model).double(), kind)(batch.double())
        found = {}
        for name, fast in (("float32", False), ("tf32", True)):
            with tf32(fast):
                difference = encoder(model, kind)(batch).double() - exact
            found[f"{name}_deviation"] = float(difference.abs().max() / (exact.max() - exact.min()))
    return found


def readers(bench: Bench) -> None:
    """How fast pictures come: through a whole run with a small network, and read alone."""
    for size in bench.sizes.pictures:
        root = bench.place.test_set(bench.sizes.read, size=size, classes=2)
        name = f"{size[0]}x{size[1]}"
        asked = settings(*bench.place.overrides("tiny_av", root))
        transform, _ = build.build_transforms(asked)
        paths = sorted((root / "frames").iterdir())
        clock = recorded(bench, "tiny_av", root)
        rate = len(paths) / clock.seconds["images"]
        bench.report(**{f"run_{name}_per_second": rate})
        alone = {
            threads: pictures_per_second(paths, transform, threads=threads, device=bench.device)
            for threads in threads_of(bench, 1)
        }
        bench.report(
            **{f"threads{n}_{name}_per_second": each for n, each in alone.items()},
            **{f"run_over_threads_{name}": rate / max(alone.values())},
        )
        if bench.device == "cuda":
            decoded_on_card(bench, paths, name)


def threads_of(bench: Bench, first: int) -> list[int]:
    """Numbers of threads to try: powers of four up to the number of cores."""
    cores = len(usable_cores()) if bench.sizes is FULL else 2
    return sorted({min(first * 4**n, cores) for n in range(4)})


def decoded_on_card(bench: Bench, paths: Sequence[Path], name: str) -> None:
    """Decode by the card's own decoder, where torchvision is; how far its pixels are off."""
    try:
        io = importlib.import_module("torchvision.io")
    except ImportError:
        return
    images = importlib.import_module("vssl.images")
    data = [torch.from_numpy(np.fromfile(path, np.uint8)) for path in paths]
    chunks = [data[first : first + 64] for first in range(0, len(data), 64)]

    def decode(some: list[torch.Tensor]) -> list[torch.Tensor]:
        found: list[torch.Tensor] = io.decode_jpeg(some, device="cuda", mode=io.ImageReadMode.RGB)
        return found

    pixels = decode(data[:1])[0].cpu().permute(1, 2, 0).int()
    ours = torch.from_numpy(images.decode_image(paths[0].read_bytes(), paths[0])).int()
    seconds = synchronized(lambda: [decode(chunk) for chunk in chunks])
    bench.report(**{
        f"nvjpeg_{name}_per_second": len(data) / seconds,
        f"nvjpeg_{name}_pixel_difference": float((pixels - ours).abs().float().mean()),
    })  # fmt: skip


def loop(bench: Bench) -> None:
    """What the device does while records are made: kernels, copies and waits of each batch."""
    root = bench.place.test_set(bench.sizes.read, size=bench.sizes.picture, classes=2)
    clock = recorded(bench, bench.sizes.models[0], root)
    plain = clock.seconds["sounds"] + clock.seconds["images"]
    activity = torch.profiler.ProfilerActivity
    kinds = [activity.CUDA if bench.device == "cuda" else activity.CPU]
    with torch.profiler.profile(activities=kinds) as profile:
        recorded(bench, bench.sizes.models[0], root)
    events = profile.key_averages()
    on_card = [each for each in events if each.device_type.name == "CUDA"]

    def count(*parts: str) -> float:
        return sum(e.count for e in events if any(part in e.key for part in parts)) / clock.batches

    everything = sum(each.self_device_time_total for each in on_card) / 1e6
    copied = (each for each in on_card if each.key.startswith(("Memcpy", "Memset")))
    copies = sum(each.self_device_time_total for each in copied) / 1e6
    bench.report(
        seconds=plain,
        kernel_seconds=everything - copies,
        copy_seconds=copies,
        kernels_over_loop=(everything - copies) / plain,
        pageable_copies_a_batch=count("HtoD (Pageable"),
        pinned_copies_a_batch=count("HtoD (Pinned"),
        waits_a_batch=count("StreamSynchronize", "DeviceSynchronize", "EventSynchronize"),
    )
    if bench.device == "cuda":
        strict = recorded_maps(bench)
        clock = recorded(bench, bench.sizes.models[0], root, "model.precision=tf32")
        difference = np.abs(recorded_maps(bench) - strict).max() / np.ptp(strict)
        seconds = clock.seconds["sounds"] + clock.seconds["images"]
        bench.report(tf32_seconds=seconds, tf32_map_deviation=float(difference))


def recorded_maps(bench: Bench) -> np.ndarray:
    """All values of the maps that were recorded last."""
    path = bench.place.folder / "recorded" / RECORDS_FILE
    return flat(read_columns(path, ["similarity_map"])["similarity_map"])


def device(bench: Bench) -> None:
    """Scoring by torch's operations on the device: every value against compiled loops, and speed.

    Where the device is the CPU, the same operations run there.
    """
    if "device" not in inspect.signature(score_records).parameters:
        raise RuntimeError("scoring knows no devices here")
    metrics = build.build_metrics(settings("metrics=all").scoring)
    few = max(4, bench.sizes.scored // 4)
    made: dict[str, tuple[int, dict[str, Any]]] = {
        "7x7": (bench.sizes.scored, {"side": 7, "prior": None}),
        "14x14": (bench.sizes.scored, {"side": 14, "prior": None}),
        "odd": (few, {"side": 14, "change": odd, "upsampling": _RULES}),
        "clipped": (few, {"side": 7, "change": odd, "map_transform": "stretch_and_clip"}),
    }
    different = 0
    for name, (count, options) in made.items():
        folder = bench.place.empty(f"device{name}")
        make_records(folder, count, **options)
        fitted = fit_policies(policies(), folder)

        def seconds(file: str, on: str, folder: Path = folder, fitted: Any = fitted) -> float:
            options = {"output": folder / file, "device": torch.device(on)}
            return timed(lambda: score_records(folder, fitted, metrics, **options))

        by_loops = seconds("loops.parquet", "cpu")
        with by_operations():
            seconds("device.parquet", bench.device)  # memory is taken, operations are loaded
            by_device = seconds("device.parquet", bench.device)
        files = (folder / "loops.parquet", folder / "device.parquet")
        different += differing(*map(read_columns, files))
        bench.report(different_values=different)
        if count == bench.sizes.scored:
            maps = RECORDS * count
            rates = {"maps": maps / by_device, "loops": maps / by_loops}
            bench.report(**{f"{kind}_{name}_per_second": rate for kind, rate in rates.items()})


@contextmanager
def by_operations() -> Iterator[None]:
    """Let torch's operations do on the CPU too what compiled loops do there."""
    LOOPS_ON.discard("cpu")
    try:
        yield
    finally:
        LOOPS_ON.add("cpu")


def odd(maps: torch.Tensor) -> torch.Tensor:
    """Maps with ties, flat ones, NaN, infinite values, zeros of both signs, and tiny numbers."""
    kind = (torch.arange(maps.shape[0])[:, None] + torch.arange(maps.shape[1])) % 7
    changed = maps.clone()
    changed[kind == 0] = (4 * changed[kind == 0]).round() / 4
    changed[kind == 1] = 0.5
    changed[..., 0, 0] = torch.where(kind == 2, torch.nan, changed[..., 0, 0])
    changed[..., 1, 1] = torch.where(kind == 3, torch.inf, changed[..., 1, 1])
    changed[kind == 4] = torch.where(changed[kind == 4] > 0.5, 0.0, -0.0)
    changed[kind == 5] *= 1e-42
    return changed


def differing(one: pa.Table, other: pa.Table) -> int:
    """Count the numbers of two tables that are not the same bits; all NaN are alike.

    Raises:
        RuntimeError: when anything but a number differs.
    """
    numbers = [f.name for f in one.schema if pa.types.is_floating(_inner(f.type))]
    if not one.drop_columns(numbers).equals(other.drop_columns(numbers)):
        raise RuntimeError("rows differ")
    total = 0
    for name in numbers:
        first, second = (flat(table[name]) for table in (one, other))
        same = (first == second) & (np.signbit(first) == np.signbit(second))
        total += int((~(same | (np.isnan(first) & np.isnan(second)))).sum())
        total += abs(one[name].null_count - other[name].null_count)
    return total


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def flat(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column, of its lists too; NaN for null."""
    whole = column.combine_chunks()
    if pa.types.is_list(whole.type):
        whole = whole.flatten()
    return whole.to_numpy(zero_copy_only=False).astype(np.float64)


def scoring(bench: Bench) -> None:
    """Scoring and summary of made records: with more threads."""
    folder = bench.place.empty("scoring")
    make_records(folder, bench.sizes.scored, side=7, prior=None)
    asked = settings("threshold=all", "subsets=[category,object_size]")
    before = torch.get_num_threads()
    for threads in reversed(threads_of(bench, 1)):
        torch.set_num_threads(threads)
        try:
            with Clock() as clock:
                score_run(asked.scoring, folder)
        finally:
            torch.set_num_threads(before)
        maps = RECORDS * bench.sizes.scored
        bench.report(**{
            f"threads{threads}_maps_per_second": maps / clock.seconds["score"],
            **{f"threads{threads}_{stage}_seconds": clock.seconds[stage]
               for stage in ("fit", "summary", "subsets")},
        })  # fmt: skip


def together(bench: Bench) -> None:
    """Several runs at once on one card, of other models: over one run."""
    root = bench.place.test_set(
        bench.sizes.together, size=bench.sizes.picture, classes=bench.sizes.classes
    )
    output = bench.place.empty("together")
    program = [sys.executable, "-m", "vssl.cli.evaluate"]

    def command(model: str, name: str) -> list[str]:
        given = bench.place.overrides(model, root)
        return [*program, *given, f"output_dir={output / name}"]

    def seconds_of(*commands: list[str]) -> float:
        def work() -> None:
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            running = [subprocess.Popen(line, **pipes) for line in commands]
            try:
                failed = [p.args for p in running if p.wait(timeout=max(1, bench.left - 2))]
            finally:
                for process in running:
                    process.kill()
            if failed:
                raise RuntimeError(f"failed: {failed[0]}")

        return timed(work)

    one = seconds_of(command(bench.sizes.models[0], "one"))
    bench.report(one_seconds=one)
    for count in bench.sizes.at_once:
        many = seconds_of(
            *(command(model, f"{count}{model}") for model in bench.sizes.models[:count])
        )
        bench.report(**{f"{count}_at_once_over_one": many / one})
    count = bench.sizes.at_once[-1]
    overrides = bench.place.overrides(",".join(bench.sizes.models[:count]), root)
    sweep = seconds_of([*program, "-m", *overrides, f"output_root={output / 'sweep'}"])
    bench.report(**{f"sweep_of_{count}_over_one": sweep / one})

"""Conformance checks for parts of one's own: models, test sets, negatives, thresholds, metrics.

Each function takes an object, tries it on inputs that are made on the spot, and raises an
AssertionError that says what the part does against its contract. In a test:

    def test_my_metric() -> None:
        check_metric(MyMetric())

vssl's own parts pass the same checks (tests/test_conformance.py).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from vssl.audio import CenterWindow
from vssl.core.checks import check_map_range, check_similarity_maps
from vssl.core.errors import UsageError
from vssl.data.base import DatasetReader
from vssl.frontends import FrontEnd
from vssl.maps import binarize
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import (
    CombinedMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    ReportedMetric,
    SampleMetric,
    SwapMetric,
)
from vssl.metrics.curve import CurveMetric
from vssl.metrics.set_metric import SetMetric
from vssl.models.base import LocalizationModel
from vssl.negatives.base import AudioCondition
from vssl.thresholds.base import EACH_MAP, ThresholdError, ThresholdPolicy
from vssl.thresholds.chosen import ChosenThreshold
from vssl.types import (
    EVALUATION_SIZE,
    POSITIVE,
    SAMPLE_RATE,
    AudioClip,
    AudioRequest,
    ImageBatch,
    Sample,
    SoundingObject,
)

_COUNT = 12  # samples of a metric's and a threshold's inputs
_HOLED = 3  # the one whose map holds NaN
_OTHERS = torch.arange(_COUNT) != _HOLED
_LENGTH = SAMPLE_RATE // 2
_NEAR = 1e-6

Update = tuple[torch.Tensor, ...]
"""Arguments of a metric's `update`, one row for each sample."""


def check_metric(metric: ReportedMetric) -> None:
    """Check a metric: declarations, bounds, NaN, batches, order, processes, bits and reset.

    Raises:
        AssertionError: with what is against the contract of `vssl.metrics.base`.
    """
    expect = _contract(metric, "metric")
    expect(metric.higher_is_better in (True, False), "higher_is_better is not set")
    inputs = _metric_inputs(metric)
    rows = list(range(_COUNT))
    whole = _value_of(metric, inputs, [rows])
    ways = {"batches": [[rows[:1], rows[1:8], [], rows[8:]]]}
    if not metric.by_order:
        ways["the order of samples"] = [[rows[::-1]]]
        ways["two processes"] = [[rows[:5]], [rows[5:]]]
    for how, processes in ways.items():
        value = _value_of(metric, inputs, *processes)
        expect(
            _same(whole, value),
            f"{how} change it ({whole:g}, {value:g}). Keep sums or lists as states (add_state), and"
            " no means.",
        )
    used = copy.deepcopy(metric)
    _update(used, inputs, rows)
    fresh, reset = (_value_of(each, inputs, [rows[:5]]) for each in (metric, used))
    expect(_same(fresh, reset), "after reset() it remembers earlier samples")
    if metric.bounds is not None:
        low, high = metric.bounds
        for row in rows:
            value = _value_of(metric, inputs, [rows[: row + 1]])
            expect(
                math.isnan(value) or low - _NEAR <= value <= high + _NEAR,
                f"{value:g} is outside of its bounds {metric.bounds}",
            )
    if isinstance(metric, MeanMetric):
        _check_from_column(metric, expect)
        _check_packed(metric, inputs, expect)
    if isinstance(metric, CurveMetric):
        curves = metric.measure(*inputs)
        expect(
            curves.shape == (_COUNT, metric.points) and curves.dtype == torch.float32,
            f"measure gives {list(curves.shape)} {curves.dtype}, not [N, {metric.points}] float32",
        )
    if isinstance(metric, (MapMetric, CurveMetric)):
        undefined, others = _with_hole(metric.measure, inputs)
        expect(undefined, "a map that holds NaN has a defined value")
        expect(others, "a map that holds NaN changes the values of others")
    if isinstance(metric, MapMetric):
        used = copy.deepcopy(metric)
        used.reset()
        used.update(_holed(inputs[0]), *inputs[1:])
        counted = used.n_undefined - int(metric.measure(*inputs)[_OTHERS].isnan().sum())
        expect(counted == 1, "n_undefined does not count a map that holds NaN")
    if isinstance(metric, SetMetric):
        hole = (torch.tensor([math.nan]), torch.tensor([True]), torch.tensor([True]))
        with_hole = tuple(torch.cat([own, one]) for own, one in zip(inputs, hole, strict=True))
        value = _value_of(metric, with_hole, [[*rows, _COUNT]])
        expect(_same(whole, value), "a NaN among its values changes it")


def _with_hole(measure: Callable[..., torch.Tensor], inputs: Update) -> tuple[bool, bool]:
    """Whether a map that holds NaN measures NaN, and whether others measure the same beside it."""
    plain, found = measure(*inputs), measure(_holed(inputs[0]), *inputs[1:])
    same = torch.equal(found[_OTHERS].nan_to_num(-1), plain[_OTHERS].nan_to_num(-1))
    return bool(found[_HOLED].isnan().all()), same


def _holed(maps: torch.Tensor) -> torch.Tensor:
    """The same maps, one of which holds NaN."""
    holed = maps.clone()
    holed[_HOLED, 0, 0] = math.nan
    return holed


def _check_from_column(metric: MeanMetric, expect: Expect) -> None:
    """NaN stays NaN, and numbers stay numbers."""
    column = torch.tensor([math.nan, 0.5], dtype=torch.float64)
    values = metric.from_column(column)
    expect(values.shape == column.shape, "from_column changes the shape")
    expect(
        bool(values[0].isnan()) and not bool(values[1].isnan()),
        f"from_column gives {values.tolist()} for [nan, 0.5]. NaN must stay NaN, so"
        " that undefined samples are counted and not taken for a number.",
    )


def _check_packed(metric: MeanMetric, inputs: Update, expect: Expect) -> None:
    """Masks as bits give what tensors give; a column is `[N]` float64."""
    own: Any = metric
    used = inputs if isinstance(metric, SwapMetric) else inputs[:2]
    column = own.measure(*used)
    if not isinstance(metric, MapMetric):
        if isinstance(metric, PairMetric):
            rows = np.arange(_COUNT)
            bits = own.measure_packed(PackedMasks.of(torch.cat(used)), rows, rows + _COUNT)
        else:
            bits = own.measure_packed(PackedMasks.of(used[0]), *map(PackedTruth.of, used[1:]))
        same = np.allclose(column.numpy(), bits, rtol=0, atol=1e-5, equal_nan=True)
        expect(same, "measure_packed differs from measure")
    expect(
        column.shape == (_COUNT,) and column.dtype == torch.float64,
        f"measure gives {list(column.shape)} {column.dtype}, not [N] float64",
    )


def _metric_inputs(metric: ReportedMetric) -> Update:
    """Samples for a metric, the last ones with empty masks or ground truths."""
    generator = np.random.default_rng(0)
    shape = (_COUNT, 16, 18)
    maps = torch.from_numpy(generator.random(shape, dtype=np.float32))
    maps *= torch.linspace(0.5, 1, _COUNT)[:, None, None]
    votes = generator.choice([0.0, 0.0, 0.5, 1.0], size=(2, *shape)).astype(np.float32)
    votes[0, -2:] = 0
    masks, others = maps > 0.45, torch.from_numpy(generator.random(shape)) > 0.6
    masks[-1] = False
    own, other = torch.from_numpy(votes)
    if isinstance(metric, SetMetric):
        positive = torch.arange(_COUNT) % 3 != 1
        return maps.amax(dim=(1, 2)).double(), positive, torch.arange(_COUNT) % 2 == 0
    of_curves = isinstance(metric, CombinedMetric) and issubclass(metric.of_positives, CurveMetric)
    if isinstance(metric, (MapMetric, CurveMetric)) or of_curves:
        return maps, own
    if isinstance(metric, PairMetric):
        return masks, others
    if isinstance(metric, SwapMetric):
        return masks, own, other
    if isinstance(metric, SampleMetric) and metric.by_image:
        return masks, own, torch.arange(_COUNT) // 2
    return masks, own


def _update(metric: ReportedMetric, inputs: Update, rows: Sequence[int]) -> None:
    """Add some samples; a combined metric gets them under its conditions in turn."""
    update: Callable[..., None] = metric.update
    if not isinstance(metric, CombinedMetric):
        update(*(each[list(rows)] for each in inputs))
        return
    conditions = list(metric.means)
    for number, condition in enumerate(conditions):
        chosen = [row for row in rows if row % len(conditions) == number]
        update(*(each[chosen] for each in inputs), condition)


def _value_of(metric: ReportedMetric, inputs: Update, *processes: Sequence[Sequence[int]]) -> float:
    """The number of samples that come in batches, in one process or several."""
    metrics = []
    for batches in processes:
        own = copy.deepcopy(metric)
        own.reset()
        for rows in batches:
            _update(own, inputs, rows)
        metrics.append(own)
    first, *rest = metrics
    for each in rest:
        for one, other in zip(_parts(first), _parts(each), strict=True):
            if one._defaults:
                one.merge_state(other)
    return float(first.compute())


def _parts(metric: Metric) -> Iterator[Metric]:
    return (each for each in metric.modules() if isinstance(each, Metric))


def check_threshold(policy: ThresholdPolicy, *, model: str = "") -> None:
    """Check a threshold policy: shape, NaN, batches, fit, determinism, and that masks are strict.

    Args:
        policy: not fitted yet.
        model: a model that it exists for, where it is of some models alone.

    Raises:
        AssertionError: with what is against the contract of `ThresholdPolicy`.
    """
    expect = _contract(policy, "threshold")
    policy.check_model(model)
    maxima = np.random.default_rng(0).random(30)
    conditions = np.array(["silence", "noise", "offscreen"] * 10)
    if policy.needs_fit:
        for before in (policy.constant, lambda: policy.fit(maxima[:0], conditions[:0])):
            with suppress(ThresholdError):
                before()
                expect(False, "is fitted, but works without negatives")
        values = []
        for order in (slice(None), slice(None, None, -1)):
            policy.fit(maxima[order], conditions[order])
            values.append(policy.constant())
        expect(values[0] == values[1], "the order of negatives changes it")
        policy.fit(np.append(maxima, np.nan), np.append(conditions, conditions[:1]))
        expect(values[0] == policy.constant(), "a NaN maximum changes it")
    if isinstance(policy, ChosenThreshold):
        _check_choice(policy, expect)
    maps, truth = _threshold_inputs()
    found = policy.threshold(maps, truth)
    expect(
        found.shape == (_COUNT,) and found.dtype == maps.dtype,
        f"gives {list(found.shape)} {found.dtype} for {_COUNT} maps of {maps.dtype}",
    )
    expect(bool(found.isfinite().all()), "is not finite for finite maps")
    expect(
        torch.equal(found, policy.threshold(maps, truth)), "is another one when it is asked again"
    )
    single = torch.cat([policy.threshold(maps[n : n + 1], truth[n : n + 1]) for n in range(_COUNT)])
    expect(torch.equal(found, single), "depends on the other maps of a batch")
    expect(policy.threshold(maps[:0], truth[:0]).shape == (0,), "gives no [0] for no maps")
    value = policy.constant()
    expect(
        policy.needs_fit or (policy.source == EACH_MAP) == (value is None),
        f"`source` is {policy.source!r}, but `constant` gives {value}; it is"
        f" {EACH_MAP!r} where each map has its own threshold, and only there",
    )
    if value is not None:
        expect(
            torch.equal(found, torch.full_like(found, value)), "`threshold` differs from `constant`"
        )
    else:
        undefined, same = _with_hole(policy.threshold, (maps, truth))
        expect(
            undefined and same,
            "a map that holds NaN must have the threshold NaN, and change no other",
        )
    marked = binarize(maps, found)
    expect(bool((maps > found[:, None, None])[marked].all()), "a pixel at the threshold is marked")


def _check_choice(policy: ChosenThreshold, expect: Expect) -> None:
    """Choose a threshold, as on positives of which the middle candidate covers most."""
    candidates = policy.candidates(0.0, 1.0)
    expect(
        candidates.ndim == 1 and bool((np.diff(candidates) >= 0).all()),
        f"`candidates` gives {candidates}, not ascending thresholds",
    )
    for before in (policy.constant, lambda: policy.choose(candidates, *np.zeros((2, 0, 1)))):
        with suppress(ThresholdError):
            before()
            expect(False, "is not chosen yet, but works without positives")
    middle = len(candidates) // 2
    intersection = np.where(np.arange(len(candidates)) == middle, 60.0, 20.0)[None].repeat(3, 0)
    policy.choose(candidates, intersection, np.full_like(intersection, 80.0))
    expect(policy.constant() == candidates[middle], "does not choose the best candidate")


def _threshold_inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(1)
    maps = torch.from_numpy(generator.random((_COUNT, 16, 18), dtype=np.float32))
    maps[:3] = maps[:3].round(decimals=1)  # ties
    truth = torch.from_numpy(generator.choice([0.0, 0.5, 1.0], size=maps.shape)).float()
    truth[-1] = 0
    return maps, truth


def check_negative(condition: AudioCondition) -> None:
    """Check an audio condition: length, dtype, rate, and the seed rule.

    A waveform depends on its request alone: equal requests give equal waveforms, and where chance
    plays a part, another seed or draw gives another one.

    Raises:
        AssertionError: with what is against the contract of `AudioCondition`.
    """
    expect, name = _contract(condition, "negative"), condition.name
    expect(
        isinstance(condition.sounding_object, SoundingObject),
        "sounding_object is no SoundingObject",
    )
    expect(condition.draws >= 1, f"draws is {condition.draws}, not 1 or more")
    samples = _pictured_samples()
    window = CenterWindow(seconds=0.25)
    condition.prepare(samples)
    condition.hear(window, window)
    waveforms: dict[AudioRequest, np.ndarray] = {}
    for sample, seed, draw in itertools.product(samples, (1, 2), range(condition.draws)):
        key = {"draw": draw, "seed": condition.draw_seed(seed, "test"), "length": _LENGTH}
        request = condition.request(sample, **key)
        expect(
            request == condition.request(sample, **key),
            "asked again for one sample, draw and seed, it is another request",
        )
        if request in waveforms or (request.condition == POSITIVE and condition.reuses_clips):
            continue
        expect(request.condition == name, f"its request names {request.condition} as who makes it")
        clip = condition.make(request, _read)
        again = condition.make(request, _read)
        expect(
            np.array_equal(clip.samples, again.samples),
            "one request gives two waveforms. Draw from"
            " vssl.core.randomness.generator_for(request.seed, ...), and from no other source.",
        )
        _check_clip(clip, request, expect)
        waveforms[request] = clip.samples
    seeded: dict[AudioRequest, list[np.ndarray]] = {}
    for request, waveform in waveforms.items():
        seeded.setdefault(request._replace(seed=0, draw=0), []).append(waveform)
    for alike in seeded.values() if condition.random and not condition.reuses_clips else ():
        distinct = {waveform.tobytes() for waveform in alike}
        expect(
            len(distinct) == len(alike) or not any(waveform.any() for waveform in alike),
            "requests with other seeds or draws give one waveform. Set"
            " random = False if nothing is drawn.",
        )
    seed = condition.draw_seed(5, "test")
    expect(condition.random or seed == 0, "draws nothing, but has a seed")
    for request in list(waveforms)[:1]:
        _check_rate(condition, request, expect)


def _check_clip(clip: AudioClip, request: AudioRequest, expect: Expect) -> None:
    samples = clip.samples
    expect(
        samples.ndim == 2 and samples.dtype == np.float32,
        f"gives {list(samples.shape)} {samples.dtype}, not [channels, length] float32",
    )
    expect(bool(np.isfinite(samples).all()), "holds NaN or infinite values")
    length = request.length or _read(request.source_id).samples.shape[1]
    expect(samples.shape[1] == length, f"is {samples.shape[1]} samples long, not {length}")
    expect(clip.rate == SAMPLE_RATE, f"has {clip.rate} Hz, not {SAMPLE_RATE}")


def _check_rate(condition: AudioCondition, request: AudioRequest, expect: Expect) -> None:
    """Check that a clip is as long in seconds for a front end at twice the rate."""
    faster = copy.copy(condition)
    faster.rate = 2 * SAMPLE_RATE

    def read(source_id: str) -> AudioClip:
        return AudioClip(_read(source_id).samples.repeat(2, axis=1), faster.rate)

    clip = faster.make(request, read)
    length = 2 * (request.length or _LENGTH)
    expect(
        (clip.rate, clip.samples.shape[1]) == (faster.rate, length),
        f"gives {clip.samples.shape[1]} samples at {clip.rate} Hz for a front end at"
        f" {faster.rate} Hz, not {length} at that rate. Make self.made_samples(request) samples as"
        " AudioClip(samples, self.rate), and keep the rate of a clip that is read.",
    )


def _pictured_samples() -> list[Sample]:
    """Three pictures of two objects of different classes each."""
    pairs = (("dog", "bell"), ("bell", "train"), ("train", "dog"))
    return [
        Sample(
            sample_id=f"{number}_{category}",
            image_path=Path(f"{number}.jpg"),
            audio_path=Path(f"{number}_{category}.wav"),
            category=category,
            image_categories=pair,
            image_group=str(number),
            boxes=((20 + 100 * side, 40, 100 + 100 * side, 160),),
            box_weights=(1.0,),
            audio_length=_LENGTH,
            image_sources=2,
        )
        for number, pair in enumerate(pairs)
        for side, category in enumerate(pair)
    ]


def _read(source_id: str) -> AudioClip:
    generator = np.random.default_rng(sum(source_id.encode()))
    return AudioClip(0.1 * generator.standard_normal((1, _LENGTH)).astype(np.float32))


def check_model(
    model: LocalizationModel,
    frontend: FrontEnd | None = None,
    *,
    image_size: int = EVALUATION_SIZE,
    hears: bool = True,
) -> None:
    """Check a model: shape and range of its maps, batches, determinism, and that it hears.

    Args:
        model: with its weights, or without.
        frontend: what turns sounds into its inputs; None for a model that takes no audio.
        image_size: side of the images that it takes.
        hears: whether another sound must change the map; False for a model that is known not to.

    Raises:
        AssertionError: with what is against the contract of `LocalizationModel`.
    """
    name = type(model).__name__
    expect = _expecting(f"model {name}")
    model = copy.deepcopy(model).eval()
    batch = _image_batch(image_size)
    pairs = len(batch.index), len(batch.pairings)
    with torch.inference_mode():
        sounds = torch.empty(2, 0)
        if frontend is not None:
            waveforms = _waveforms(frontend)
            sounds = model.encode_audio(frontend(waveforms))
        maps = _maps(model, batch, sounds)
        expect(bool(maps.isfinite().all()), "maps hold NaN or infinite values")
        try:
            check_similarity_maps(maps, pairs, model.map_size, model=name)
            check_map_range(maps, model.value_range, batch.sample_ids, model=name)
        except UsageError as error:
            raise AssertionError(str(error)) from error
        again = _maps(model, batch, sounds)
        expect(torch.equal(maps, again), "the same inputs give another map")
        # each of them: the one that sets the scale of a batch may not show it
        rows = [slice(row, row + 1) for row in range(pairs[0])]
        alone = torch.cat([_maps(model, _image_batch(image_size, row), sounds) for row in rows])
        expect(
            torch.allclose(alone, maps, atol=1e-4),
            "an image's map depends on the other images of its batch",
        )
        if frontend is None:
            return
        single = torch.cat([model.encode_audio(frontend(each[None])) for each in waveforms])
        expect(
            torch.allclose(single, sounds, atol=1e-4),
            "what it makes of a sound depends on the other sounds of its batch",
        )
        changes = float((maps[:, 0] - maps[:, 1]).abs().max())
        expect(
            changes > 0 or not hears,
            "two sounds give one map. A model that takes no audio has no front end.",
        )


def _waveforms(frontend: FrontEnd) -> torch.Tensor:
    """Two sounds of ten seconds as the front end's window cuts them, `[2, T]`."""
    time = np.arange(10 * frontend.rate) / frontend.rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * time)
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(time))
    clips = [AudioClip(each.astype(np.float32)[None], frontend.rate) for each in (tone, noise)]
    return torch.stack([frontend.waveform(clip) for clip in clips])


def _maps(model: LocalizationModel, batch: ImageBatch, sounds: torch.Tensor) -> torch.Tensor:
    count = len(batch.sample_ids)
    return model.localize(batch, sounds[None].expand(count, *sounds.shape)).float()


def _image_batch(size: int, rows: slice = slice(2)) -> ImageBatch:
    """Two images with two sounds each, or some of them."""
    samples = tuple(_pictured_samples()[:2])
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return ImageBatch(
        index=torch.arange(2)[rows],
        images=images[rows],
        audio_index=torch.zeros(2, 2, dtype=torch.int64)[rows],
        sample_ids=tuple(sample.sample_id for sample in samples)[rows],
        pairings=((POSITIVE, 0), ("noise", 0)),
        sounding=tuple((sample, None) for sample in samples)[rows],
        pictured=tuple(samples for _ in samples)[rows],
    )


def check_reader(reader: DatasetReader) -> None:
    """Check a test set's reader on its data: ids, boxes, masks, flags, and files that exist.

    Raises:
        AssertionError: with what is against the contract of `Sample`.
        DataError: when the reader refuses the data.
    """
    expect = _contract(reader, "data")
    checked = reader.check()
    expect(bool(checked.samples), "has no sample")
    expect(checked.coverage <= 1, "has more samples than it lists")
    ids = [sample.sample_id for sample in checked.samples]
    twice = [one for one in dict.fromkeys(ids) if ids.count(one) > 1]
    expect(not twice, f"sample_id {twice[:1]} is there more than once")
    for sample in checked.samples:
        expect = _expecting(f"data {reader.name}: sample {sample.sample_id}")
        for path in (sample.image_path, sample.audio_path):
            expect(path.is_file(), f"{path} is no file")
        expect(len(sample.boxes) == len(sample.box_weights), "a box has no weight")
        for x0, y0, x1, y1 in sample.boxes:
            inside = 0 <= x0 < x1 <= EVALUATION_SIZE and 0 <= y0 < y1 <= EVALUATION_SIZE
            expect(
                inside,
                f"box {(x0, y0, x1, y1)} is empty or outside of {EVALUATION_SIZE} x"
                f" {EVALUATION_SIZE} pixels",
            )
        expect(len(sample.masks) == len(sample.mask_weights), "a mask has no weight")
        for mask in sample.masks:
            places = np.frombuffer(mask, "<u2").astype(np.int64) if len(mask) % 2 == 0 else [0, 0]
            inside = bool(len(places)) and bool((np.diff(places) > 0).all())
            expect(
                inside and places[-1] < EVALUATION_SIZE**2,
                f"a mask is empty, or not `vssl.maps.encode_mask` of {EVALUATION_SIZE} x"
                f" {EVALUATION_SIZE} pixels",
            )
        weights = (*sample.box_weights, *sample.mask_weights)
        expect(all(0 < w <= 1 for w in weights), "weights are not in (0, 1]")
        kinds = [kind for kind, _ in sample.flags]
        expect(len(set(kinds)) == len(kinds), f"flags have a kind twice: {kinds}")
        named = all(kind and isinstance(value, str) for kind, value in sample.flags)
        expect(named, f"flags are {sample.flags}, not pairs of texts")
        reserved = sorted({"category", "object_size"} & set(kinds))
        expect(not reserved, f"a kind of flags is {reserved}, which names other subsets")
        expect(
            not (sample.is_natural_negative and (sample.boxes or sample.masks)),
            "is a natural negative, but has an object that sounds",
        )
        expect(
            sample.category in sample.image_categories,
            f"image_categories lacks its own class {sample.category}",
        )
        expect(sample.audio_length > 0, "its sound is empty")
        expect(sample.image_sources >= 1, f"image_sources is {sample.image_sources}")


Expect = Callable[[bool, str], None]
"""Raises an AssertionError with a part's name and a fault, unless a fact holds."""


def _expecting(part: str) -> Expect:
    def expect(fact: bool, fault: str) -> None:
        if not fact:
            raise AssertionError(f"{part}: {fault}")

    return expect


def _contract(part: object, kind: str) -> Expect:
    name = getattr(part, "name", None)
    expect = _expecting(f"{kind} {type(part).__name__}")
    expect(isinstance(name, str) and bool(name), "`name` is not set; files and tables need it")
    return _expecting(f"{kind} {name}")


def _same(first: float, second: float) -> bool:
    return math.isclose(first, second, abs_tol=_NEAR) or (math.isnan(first) and math.isnan(second))

"""vssl from Python: models are evaluated, and runs scored, by what the commands call too."""

from __future__ import annotations

import copy
import logging
import math
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.backends import cudnn
from torch.backends.cuda import matmul
from torchmetrics import Metric

from vssl.config.build import build_frontends, build_transforms
from vssl.config.compose import given_config, run_folder
from vssl.config.identity import described
from vssl.config.networks import copied
from vssl.config.options import check_options
from vssl.config.recipes import as_recipe
from vssl.config.settings import (
    DataSettings,
    ModelSettings,
    NegativesSettings,
    RunSettings,
    ScoringSettings,
)
from vssl.core.devices import chosen_devices
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.data.base import DatasetReader
from vssl.data.listed import write_samples
from vssl.frontends import FrontEnd
from vssl.images import Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.wrapped import WrappedModule, maps_of
from vssl.negatives.base import AudioCondition
from vssl.records.files import run_in
from vssl.records.run import Run
from vssl.records.store import check_records
from vssl.runs.evaluate import evaluate as run_evaluation
from vssl.runs.folder import alone_in, mark_rescored
from vssl.runs.score import score_run
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import POSITIVE, SAMPLE_RATE, AudioClip, Sample

Paths = str | Path

_WITHOUT_SOUND = "center"  # a model of vssl that takes no sound
_LISTED = "samples"  # the test set of listed samples


def evaluate(
    model: str | nn.Module,
    *,
    weights: Paths | None = None,
    data: str | DatasetReader | Sequence[Sample] = "synthetic",
    root: Paths | None = None,
    negatives: str | AudioCondition | Sequence[str | AudioCondition] = "all",
    protocol: str = "corrected",
    prior: str = "none",
    threshold: str | ThresholdPolicy | Sequence[str | ThresholdPolicy] = "all",
    metrics: str | Metric | Sequence[str | Metric] = "all",
    calibration: Run | Paths | None = None,
    seed: int = 0,
    frontend: str | FrontEnd | None = None,
    image: str | Transform | None = None,
    value_range: tuple[float, float] | None = None,
    name: str | None = None,
    output_dir: Paths | None = None,
    force: bool = False,
    quiet: bool = False,
    overrides: str | Sequence[str] = (),
) -> Run:
    """Run a model over a test set, on positives and negatives, and score its maps.

    By names it does what `vssl-evaluate` does: the same records in the same folder, and a run that
    is finished there is taken as it is. Only loggers are off (`overrides=["logger=default"]`). With
    objects, and without `output_dir`, the run's folder is a temporary one that lives as long as the
    `Run`.

    Args:
        model: name in `conf/model/`, or a network with its weights, of which a copy is used: a
            `LocalizationModel`, or any module whose `forward(images, sounds)` takes `[N, 3, H, W]`
            and what the front end makes of N sounds, and gives maps `[N, h, w]`.
        weights: checkpoint file of a model that is named.
        data: name in `conf/data/`, a reader, or a list of samples.
        root: folder of a test set that is named.
        negatives: names in `conf/negatives/`, such as `all` or `["silence", "noise"]`, audio
            conditions, or a list of both.
        protocol: `corrected`, or `released` (docs/protocols.md).
        prior: `none`, or `object_guided`.
        threshold: threshold policies, by name or as objects.
        metrics: metrics, by name or as objects.
        calibration: the run whose negatives universal thresholds are learnt from; None for this
            one.
        seed: of every draw, such as offscreen choices and noise.
        frontend: of a network: what turns a sound into its input, or the name of the model whose
            front end it takes. None for a `LocalizationModel` that takes no audio.
        image: of a network: the transform of decoded images `[3, H, W]` in [0, 1], or a name in
            `conf/model/image/`. None takes that of the model named by `frontend`, or `imagenet`
            (224 x 224, ImageNet's mean and standard deviation).
        value_range: lowest and highest value that a module's maps can have; a value outside ends
            the run with an error. None for no bounds.
        name: what to call a network in tables; None for its class's name.
        output_dir: the run's folder.
        force: whether to evaluate again where there is a finished run.
        quiet: whether to draw no progress bar.
        overrides: any other options, as on the command line: `["data.scenes=6", "trainer=cpu"]`.

    Returns:
        The run: its numbers as data frames, its maps as arrays.

    Raises:
        UsageError: for any fault in what is given; it names the argument or file, and the mend.

    Example:
        >>> import torch, vssl
        >>> class Brightness(torch.nn.Module):
        ...     def forward(self, images, sounds):
        ...         return images.mean(1)[:, ::16, ::16]
        >>> run = vssl.evaluate(Brightness(), frontend="ezvsl", overrides=["data.scenes=4"])
        >>> run
        Run('Brightness-synthetic-corrected': 8 samples; positive, silence, noise x 10, offscreen x 10)
    """  # noqa: E501 - a line of output
    chosen = {
        "negatives": _Chosen.of("negatives", negatives, AudioCondition),
        "threshold": _Chosen.of("threshold", threshold, ThresholdPolicy),
        "metrics": _Chosen.of("metrics", metrics, Metric),
    }
    words = [each.word for each in chosen.values()]
    words += [f"protocol={protocol}", f"prior={prior}", f"seed={seed}", f"force={force}"]
    words += ["logger=none", *(["trainer.enable_progress_bar=false"] if quiet else [])]
    if calibration is not None:
        words.append(f"calibration={_quoted(_folder_of(calibration))}")
    named = isinstance(model, str) and isinstance(data, str)
    keep, folder = None, None
    if output_dir is not None:
        folder = Path(output_dir).expanduser().absolute()
    elif not named or any(each.objects for each in chosen.values()):
        keep = _TemporaryFolder()
        folder = keep.path
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        words.append(f"output_dir={_quoted(folder)}")
    words += _model_words(model, weights, frontend, image, value_range, name)
    words += _data_words(data, root, folder)
    more = _listed(overrides)
    if isinstance(data, DatasetReader) and any(word.startswith("data.") for word in more):
        raise UsageError("data: a reader has its options already. Give them to its class.")
    config = given_config("evaluate", [*words, *more])
    with _undisturbed():
        settings = _with_objects(RunSettings.of(config), chosen)
        devices = chosen_devices(settings.trainer.devices)
        if (len(devices) if isinstance(devices, list) else devices) != 1:
            raise UsageError(
                f"trainer.devices={settings.trainer.devices}: a run from Python has one device."
                " Use vssl-evaluate for several."
            )
        if isinstance(data, DatasetReader):
            settings = replace(settings, data=_reader_settings(data))
        if isinstance(model, nn.Module):
            network = _network_settings(settings, model, frontend, image)
            settings = replace(settings, model=network)
            if not isinstance(model, LocalizationModel):
                settings = _with_wrapped(settings, model, value_range)
            elif value_range is not None:
                raise UsageError(f"value_range: {type(model).__name__} declares it. Leave it out.")
        settings = replace(settings, config={**settings.config, **_contents(settings, chosen)})
        if folder is None:
            folder = Path(run_folder(_root_=config)).absolute()
            folder.mkdir(parents=True, exist_ok=True)
        run_evaluation(settings, folder, quiet=True)
    return Run(folder, keep=keep)


def score(
    run: Run | Paths,
    *,
    threshold: str | ThresholdPolicy | Sequence[str | ThresholdPolicy] = "all",
    metrics: str | Metric | Sequence[str | Metric] = "all",
    calibration: Run | Paths | None = None,
    overrides: str | Sequence[str] = (),
) -> Run:
    """Score a finished run anew, from its maps, as `vssl-rescore` does: neither model nor data.

    The scores of other threshold policies stay in the run's folder.

    Args:
        run: a run, or its folder.
        threshold: threshold policies, by name or as objects.
        metrics: metrics, by name or as objects.
        calibration: the run whose negatives universal thresholds are learnt from; None for this
            one.
        overrides: any other options, as on the command line: `["bootstrap.resamples=100"]`.

    Returns:
        The run with the new numbers. A `Run` that was open before keeps what it has read.

    Raises:
        UsageError: for any fault in what is given, or when the run's files were changed.

    Example:
        >>> import vssl
        >>> from vssl.thresholds.base import FixedThreshold
        >>> run = vssl.evaluate("center", threshold="fixed", overrides=["data.scenes=4"])
        >>> run = vssl.score(run, threshold=FixedThreshold(value=0.7, name="strict"))
        >>> list(run.table.index)
        ['fixed', 'strict']
    """
    folder = _folder_of(run)
    chosen = {
        "threshold": _Chosen.of("threshold", threshold, ThresholdPolicy),
        "metrics": _Chosen.of("metrics", metrics, Metric),
    }
    words = [f"run={_quoted(folder)}", *(each.word for each in chosen.values())]
    if calibration is not None:
        words.append(f"calibration={_quoted(_folder_of(calibration))}")
    config = given_config("rescore", [*words, *_listed(overrides)])
    check_options(config)
    settings = ScoringSettings.of(config)
    settings = _scoring_with(settings, chosen)
    with _undisturbed():
        check_records(folder)
        with alone_in(folder):
            score_run(settings, folder, keep=True)
            mark_rescored(folder)
    return Run(folder, keep=run.keep if isinstance(run, Run) else None)


def load_run(folder: Paths) -> Run:
    """Open a finished run, as the commands make them, by its folder.

    A folder above it will do, if there is no other run in it.

    Raises:
        UsageError: when there is no finished run, or there are several.

    Example:
        >>> import vssl
        >>> run = vssl.evaluate("center", threshold="fixed", overrides=["data.scenes=4"])
        >>> vssl.load_run(run.folder).summary.equals(run.summary)
        True
    """
    return Run(_folder_of(folder))


@dataclass(frozen=True)
class _Chosen:
    """What is chosen of a group that holds several members: by name, and as objects."""

    group: str
    word: str  # of the command line, for what is named
    objects: Mapping[str, Any]

    @classmethod
    def of(cls, group: str, given: Any, kind: type) -> _Chosen:
        """Sort what is given, one or a list; all objects must be of a kind."""
        listed = _listed(given)
        names = [each for each in listed if isinstance(each, str)]
        objects: dict[str, Any] = {}
        for each in listed:
            if isinstance(each, str):
                continue
            name = str(getattr(each, "name", ""))
            if not isinstance(each, kind) or not name:
                raise UsageError(
                    f"Expected `{group}` to be names, or objects of {kind.__module__}."
                    f"{kind.__qualname__} with a name, but got {each!r}."
                )
            objects[name] = each
        word = given if isinstance(given, str) else f"[{','.join(names)}]"
        return cls(group, f"{group}={word}", objects)

    def added_to(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """The members that are named, and behind them the objects."""
        return {**members, **{name: as_recipe(each) for name, each in self.objects.items()}}


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


class _TemporaryFolder:
    """A folder that goes when nothing refers to this object any more, or Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vssl-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _quoted(value: object) -> str:
    """A value as Hydra's grammar takes any text."""
    text = str(value).replace("'", r"\'")
    return f"'{text}'"


def _folder_of(run: Run | Paths) -> Path:
    return run.folder if isinstance(run, Run) else run_in(Path(run).expanduser().absolute())


def _model_words(
    model: str | nn.Module,
    weights: Paths | None,
    frontend: str | FrontEnd | None,
    image: str | Transform | None,
    value_range: tuple[float, float] | None,
    name: str | None,
) -> list[str]:
    """The model's options on a command line."""
    if isinstance(model, str):
        given = {"frontend": frontend, "image": image, "value_range": value_range, "name": name}
        if unused := [key for key, value in given.items() if value is not None]:
            raise UsageError(
                f"{', '.join(unused)}: is of a network, but model={model} is a name. Leave it out."
            )
        own = [] if weights is None else [f"model.weights={_quoted(weights)}"]
        return [f"model={model}", *own]
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"Expected `model` to be a name or a torch.nn.Module, but got {type(model).__name__}."
        )
    if weights is not None:
        raise UsageError("weights: a network has its weights already. Load them into it.")
    # the group's other keys are those of a model of vssl
    like = frontend if isinstance(frontend, str) else _WITHOUT_SOUND
    words = [f"model={like}", f"model.name={_quoted(name or type(model).__name__)}"]
    words += ["model.weights=null", "model.sha256=null", "cache=off"]
    return words + ([f"model/image={image}"] if isinstance(image, str) else [])


def _data_words(data: Any, root: Paths | None, folder: Path | None) -> list[str]:
    """The test set's options on a command line; a list of samples is written into the folder."""
    if isinstance(data, str):
        return [f"data={data}", *([] if root is None else [f"data.root={_quoted(root)}"])]
    if root is not None:
        raise UsageError("root: is of a test set that is named. Leave it out.")
    if isinstance(data, DatasetReader):
        return [f"data={_LISTED}", f"data.name={_quoted(data.name)}"]
    if not isinstance(data, Sequence):
        raise UsageError(
            "Expected `data` to be a name, a vssl.data.base.DatasetReader or a list of"
            f" vssl.types.Sample, but got {type(data).__name__}."
        )
    assert folder is not None
    words = {"root": folder, "annotation": write_samples(data, folder)}
    return [f"data={_LISTED}", *(f"data.{key}={_quoted(value)}" for key, value in words.items())]


def _with_objects(settings: RunSettings, chosen: Mapping[str, _Chosen]) -> RunSettings:
    """Settings with the objects that were given besides names."""
    negatives = NegativesSettings.of(chosen["negatives"].added_to(settings.negatives.group))
    return replace(settings, negatives=negatives, scoring=_scoring_with(settings.scoring, chosen))


def _scoring_with(settings: ScoringSettings, chosen: Mapping[str, _Chosen]) -> ScoringSettings:
    return replace(
        settings,
        threshold=chosen["threshold"].added_to(settings.threshold),
        metrics=chosen["metrics"].added_to(settings.metrics),
    )


def _reader_settings(reader: DatasetReader) -> DataSettings:
    """Settings of a reader, of which a copy is used: a run sets its `least_samples`."""
    group = {key: getattr(reader, key, None) for key in ("name", "root", "missing", "silent")}
    return DataSettings.of({**group, "_target_": copy.copy(reader)})


def _network_settings(
    settings: RunSettings,
    model: nn.Module,
    frontend: str | FrontEnd | None,
    image: str | Transform | None,
) -> ModelSettings:
    """Settings of a network, with what prepares its input."""
    encodes = getattr(type(model), "encode_audio", None)
    hears = encodes is not LocalizationModel.encode_audio
    if hears and frontend is None:
        raise UsageError(
            f"frontend: {type(model).__name__} takes sounds. Give a vssl.frontends.FrontEnd, or the"
            " name of the model whose front end it takes, as frontend='ezvsl'."
        )
    if not hears and frontend is not None:
        raise UsageError(f"frontend: {type(model).__name__} takes no sound. Leave it out.")
    group: dict[str, Any] = {
        **settings.model.group,
        "_target_": model,
        "arguments": {},
        **dict.fromkeys(("paper", "licence", "source"), ""),
        "year": None,
    }
    if isinstance(frontend, FrontEnd):
        group["frontend"] = copy.deepcopy(frontend)  # it goes to the device
    elif frontend is not None and group["frontend"] is None:
        raise UsageError(f"frontend={frontend}: that model takes no sound.")
    if image is not None and not isinstance(image, str):
        group["image"] = image
    return ModelSettings.of(group, protocol=settings.protocol.name)


def _with_wrapped(
    settings: RunSettings, module: nn.Module, value_range: tuple[float, float] | None
) -> RunSettings:
    """Settings with a module made a `LocalizationModel`: an image and a sound tell its map's size.

    Raises:
        UsageError: when the module does not take them, or gives something else than a map.
    """
    frontend = build_frontends(settings, [])[POSITIVE]
    transform, _ = build_transforms(settings)
    random = generator_for(0, "map size")
    pixels = random.integers(0, 256, (272, 360, 3), np.uint8)
    noise = random.standard_normal((1, 10 * SAMPLE_RATE)).astype(np.float32)
    images = prepare(transform, pixels)[None]
    with torch.inference_mode():
        sounds = frontend(frontend.waveform(AudioClip(0.1 * noise))[None])
        try:
            maps = maps_of(copied(module), images, sounds)
        except UsageError:
            raise
        except Exception as error:  # whatever a module of somebody's does
            raise UsageError(
                f"model: {type(module).__name__} does not take images {list(images.shape)} with"
                f" sounds {list(sounds.shape)}: {error}"
            ) from error
    height, width = maps.shape[1:]
    declared: Any = getattr(module, "value_range", (-math.inf, math.inf))
    bounds = value_range or declared
    model = WrappedModule(module, map_size=(height, width), value_range=bounds)
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    group = {**settings.model.group, "_target_": model, "arguments": {"module": kind}}
    return replace(settings, model=ModelSettings.of(group, protocol=settings.protocol.name))


def _contents(settings: RunSettings, chosen: Mapping[str, _Chosen]) -> dict[str, Any]:
    """What `run.json` keeps of the groups that hold objects."""
    groups = {
        "negatives": settings.negatives.group,
        "threshold": settings.scoring.threshold,
        "metrics": settings.scoring.metrics,
    }
    groups = {name: group for name, group in groups.items() if chosen[name].objects}
    for name, group in (("model", settings.model.group), ("data", settings.data.group)):
        if not isinstance(group["_target_"], str):
            groups[name] = group
    return {name: described(group) for name, group in groups.items()}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave torch, Lightning and warnings of the program as they were."""
    backends: tuple[Any, Any] = cudnn, matmul
    flags = [(backend, backend.allow_tf32) for backend in backends]
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    with warnings.catch_warnings():
        # of Lightning 2.6 with torch 2.13, about its own code
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        try:
            yield
        finally:
            lightning.setLevel(level)
            for backend, allowed in flags:
                backend.allow_tf32 = allowed

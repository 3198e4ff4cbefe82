"""vssl from Python: models are evaluated, and runs scored, by what the commands call too."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.backends import cudnn
from torch.backends.cuda import matmul
from torchmetrics import Metric

from vssl.config.compose import composed_config, quoted, run_folder
from vssl.config.identity import described, weights_key
from vssl.config.options import check_options
from vssl.config.recipes import as_recipe, with_network
from vssl.config.settings import DataSettings, NegativesSettings, RunSettings, ScoringSettings
from vssl.core.devices import chosen_devices
from vssl.core.errors import UsageError, was_interrupted
from vssl.data.base import DatasetReader
from vssl.data.listed import write_samples
from vssl.frontends import FrontEnd
from vssl.images import Transform
from vssl.negatives.base import AudioCondition
from vssl.records.files import run_in
from vssl.records.run import Run
from vssl.runs.evaluate import evaluate as run_evaluation
from vssl.runs.score import rescore
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import Sample

Paths = str | Path
_Objects = Mapping[str, Mapping[str, Any]]  # by group and name

_WITHOUT_SOUND = "center"  # a model of vssl that takes no sound
_LISTED = "samples"  # the test set of listed samples
_OF_READER = ("name", "root", "missing", "silent", "limit")  # what settings hold of one
_KINDS = {"negatives": AudioCondition, "threshold": ThresholdPolicy, "metrics": Metric}
_TWICE = "{0}: two are called `{1}`. Leave one out, or give it another `name`."
_ALONE = threading.RLock()  # Hydra's state and torch's flags belong to the whole process


def evaluate(
    model: str | nn.Module,
    *,
    weights: Paths | Mapping[str, Paths] | None = None,
    data: str | DatasetReader | Iterable[Sample] = "synthetic",
    root: Paths | None = None,
    negatives: str | AudioCondition | Iterable[str | AudioCondition] = "all",
    protocol: str = "corrected",
    prior: str = "none",
    threshold: str | ThresholdPolicy | Iterable[str | ThresholdPolicy] = "all",
    metrics: str | Metric | Iterable[str | Metric] = "all",
    calibration: Run | Paths | None = None,
    seed: int = 0,
    frontend: str | FrontEnd | None = None,
    image: str | Transform | None = None,
    value_range: tuple[float, float] | None = None,
    name: str | None = None,
    output_dir: Paths | None = None,
    force: bool = False,
    quiet: bool = False,
    overrides: str | Iterable[str] = (),
) -> Run:
    """Run a model over a test set, on positives and negatives, and score its maps.

    By names it does what `vssl-evaluate` does: the same records in the same folder, and a run that
    is finished there is taken as it is. Only loggers are off (`overrides=["logger=default"]`). With
    objects, and without `output_dir`, the run's folder is a temporary one that lives as long as the
    `Run`. Evaluations in threads of one process wait for each other.

    Args:
        model: name in `conf/model/`, or a network with its weights, of which a copy is used: a
            `LocalizationModel`, or any module whose `forward(images, sounds)` takes `[N, 3, H, W]`
            and what the front end makes of N sounds, and gives maps `[N, h, w]`.
        weights: checkpoint file of a model that is named; of a model with several files those
            by part, such as `{"image": "frame_best.pth", "audio": "sound_best.pth"}`. Parts that
            are left out are looked for in `paths.weights`.
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
        UsageError: for any fault in what is given; it names the argument or file, and what to do.

    Example:
        >>> import torch, vssl
        >>> class Brightness(torch.nn.Module):
        ...     def forward(self, images, sounds):
        ...         return images.mean(1)[:, ::16, ::16]
        >>> run = vssl.evaluate(Brightness(), frontend="ezvsl", overrides=["data.scenes=4"])
        >>> run
        Run('Brightness-synthetic-corrected': 8 samples; positive, silence, noise x 10, offscreen x 10)
    """  # noqa: E501 - a line of output
    words, objects = _chosen(calibration, negatives=negatives, threshold=threshold, metrics=metrics)
    words += [f"protocol={protocol}", f"prior={prior}", f"seed={seed}", f"force={force}"]
    words += ["logger=none"]
    words += ["trainer.enable_progress_bar=false"] if quiet else []
    keep, folder = None, None
    if output_dir is not None:
        folder = _made(_path(output_dir, "output_dir"))
    elif not (isinstance(model, str) and isinstance(data, str)) or any(objects.values()):
        keep = _TemporaryFolder()
        folder = keep.path
    words += [] if folder is None else [f"output_dir={quoted(folder)}"]
    words += _model_words(model, weights, frontend, image, value_range, name)
    words += _data_words(data, root, folder)
    more = _options(overrides)
    if isinstance(data, DatasetReader) and any(word.startswith("data.") for word in more):
        raise UsageError("data: a reader has its options already. Give them to its class.")
    with _undisturbed():
        config = composed_config("evaluate", [*words, *more])
        settings = RunSettings.of(config)
        group = _added("negatives", objects, settings.negatives.group)
        scoring = _scoring_with(settings.scoring, objects)
        settings = replace(settings, negatives=NegativesSettings.of(group), scoring=scoring)
        devices = chosen_devices(settings.trainer.devices)
        if (len(devices) if isinstance(devices, list) else devices) != 1:
            raise UsageError(
                f"trainer.devices={settings.trainer.devices}: a run from Python has one device."
                " Use vssl-evaluate for several."
            )
        if isinstance(data, DatasetReader):
            facts = {key: getattr(data, key, None) for key in _OF_READER}
            facts["ids"] = None if data.ids is None else data.ids.path
            reader = copy.copy(data)  # a run sets its `least_samples`
            settings = replace(settings, data=DataSettings.of({**facts, "_target_": reader}))
        if isinstance(model, nn.Module):
            settings = with_network(
                settings, model, frontend=frontend, image=image, value_range=value_range
            )
        settings = replace(settings, config={**settings.config, **_contents(settings, objects)})
        output = Path(run_folder(_root_=config)).absolute()
        if folder not in (None, output):
            raise UsageError("overrides: output_dir is an argument of vssl.evaluate. Set it there.")
        run_evaluation(settings, _made(output), quiet=True)
    return Run(output, keep=keep)


def score(
    run: Run | Paths,
    *,
    threshold: str | ThresholdPolicy | Iterable[str | ThresholdPolicy] = "all",
    metrics: str | Metric | Iterable[str | Metric] = "all",
    calibration: Run | Paths | None = None,
    overrides: str | Iterable[str] = (),
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
    words, objects = _chosen(calibration, threshold=threshold, metrics=metrics)
    words = [f"run={quoted(folder)}", *words, *_options(overrides)]
    with _undisturbed():
        config = composed_config("rescore", words)
        check_options(config)
        settings = _scoring_with(ScoringSettings.of(config), objects)
        rescore(settings, folder)
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
    return Run(_folder_of(folder, "folder"))


def _chosen(
    calibration: Run | Paths | None, **groups: Any
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Words of a command line for what is named of some groups; by group, what are objects."""
    words: list[str] = []
    chosen: dict[str, dict[str, Any]] = {}
    for group, given in groups.items():
        kind, names, objects = _KINDS[group], [], chosen.setdefault(group, {})
        for each in _listed(given):
            name = str(getattr(each, "name", ""))
            if isinstance(each, str):
                names.append(each)
            elif not isinstance(each, kind) or not name:
                raise UsageError(
                    f"Expected `{group}` to be names, or objects of {kind.__module__}."
                    f"{kind.__qualname__} with a name, but got {each!r}."
                )
            elif name in objects:
                raise UsageError(_TWICE.format(group, name))
            else:
                objects[name] = each
        word = given if isinstance(given, str) else f"[{','.join(names)}]"
        words.append(f"{group}={word}")
    if calibration is not None:
        words.append(f"calibration={quoted(_folder_of(calibration, 'calibration'))}")
    return words, chosen


def _added(group: str, chosen: _Objects, members: Mapping[str, Any]) -> dict[str, Any]:
    """A group's named members, and behind them the objects."""
    if twice := [name for name in chosen[group] if name in members]:
        raise UsageError(_TWICE.format(group, twice[0]))
    return {**members, **{name: as_recipe(each) for name, each in chosen[group].items()}}


def _listed(given: Any) -> list[Any]:
    # a torchmetrics.Metric has `__iter__`, which raises
    one = isinstance(given, (str, Metric)) or not isinstance(given, Iterable)
    return [given] if one else list(given)


def _options(given: Any) -> list[str]:
    overrides = _listed(given)
    for each in overrides:
        if not isinstance(each, str):
            raise UsageError(
                "Expected `overrides` to be options as on the command line, such as"
                f" ['data.scenes=6'], but got {each!r}."
            )
    return overrides


class _TemporaryFolder:
    """A folder that goes when nothing refers to this object any more, or Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vssl-"))
        weakref.finalize(self, _remove, self.path, os.getpid())

    def __deepcopy__(self, memo: object) -> _TemporaryFolder:
        return self  # a copy of a run keeps the same folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked process
        shutil.rmtree(folder, ignore_errors=True)


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not value:
        raise UsageError(f"Expected `{name}` to be a path, but got {value!r}.")
    return Path(value).expanduser().absolute()


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsageError(f"output_dir: {folder}: {reason}. Set another output_dir.") from error
    return folder


def _folder_of(run: Run | Paths, name: str = "run") -> Path:
    return run.folder if isinstance(run, Run) else run_in(_path(run, name))


def _model_words(
    model: str | nn.Module,
    weights: Paths | Mapping[str, Paths] | None,
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
        files = weights if isinstance(weights, Mapping) else {"": weights}
        named = (f"{weights_key(part)}={quoted(p)}" for part, p in files.items() if p is not None)
        return [f"model={model}", *named]
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"Expected `model` to be a name or a torch.nn.Module, but got {type(model).__name__}."
        )
    if weights is not None:
        raise UsageError("weights: a network has its weights already. Load them into it.")
    # the group's other keys are those of a model of vssl
    like = frontend if isinstance(frontend, str) else _WITHOUT_SOUND
    words = [f"model={like}", f"model.name={quoted(name or type(model).__name__)}"]
    words += ["model.weights=null", "model.sha256=null", "cache=off"]
    return words + ([f"model/image={image}"] if isinstance(image, str) else [])


def _data_words(data: Any, root: Paths | None, folder: Path | None) -> list[str]:
    """The test set's options on a command line; a list of samples is written into the folder."""
    if isinstance(data, str):
        return [f"data={data}", *([] if root is None else [f"data.root={quoted(root)}"])]
    if root is not None:
        raise UsageError("root: is of a test set that is named. Leave it out.")
    if isinstance(data, DatasetReader):
        return [f"data={_LISTED}", f"data.name={quoted(data.name)}"]
    if not isinstance(data, Iterable):
        raise UsageError(
            "Expected `data` to be a name, a vssl.data.base.DatasetReader or a list of"
            f" vssl.types.Sample, but got {type(data).__name__}."
        )
    assert folder is not None
    words = {"root": folder, "annotation": write_samples(data, folder)}
    return [f"data={_LISTED}", *(f"data.{key}={quoted(value)}" for key, value in words.items())]


def _scoring_with(settings: ScoringSettings, chosen: _Objects) -> ScoringSettings:
    """Scoring settings with the objects that were given besides names."""
    return replace(
        settings,
        threshold=_added("threshold", chosen, settings.threshold),
        metrics=_added("metrics", chosen, settings.metrics),
    )


def _contents(settings: RunSettings, chosen: _Objects) -> dict[str, Any]:
    """What `run.json` keeps of the groups that hold objects."""
    groups = {
        "negatives": settings.negatives.group,
        "threshold": settings.scoring.threshold,
        "metrics": settings.scoring.metrics,
    }
    groups = {name: group for name, group in groups.items() if chosen[name]}
    for name, group in (("model", settings.model.group), ("data", settings.data.group)):
        if not isinstance(group["_target_"], str):
            groups[name] = group
    return {name: described(group) for name, group in groups.items()}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave torch, Lightning and warnings of the program as they were; one thread at a time."""
    backends: tuple[Any, Any] = cudnn, matmul
    lightning = logging.getLogger("pytorch_lightning")
    with _ALONE, warnings.catch_warnings():
        # of Lightning 2.6 with torch 2.13, about its own code
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        flags = [(backend, backend.allow_tf32) for backend in backends]
        level = lightning.level
        try:
            yield
        except SystemExit as error:
            if was_interrupted(error):  # of which Lightning makes a SystemExit
                raise KeyboardInterrupt from error
            raise
        finally:
            lightning.setLevel(level)
            for backend, allowed in flags:
                backend.allow_tf32 = allowed

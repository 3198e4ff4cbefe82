"""From settings to records: the networks run over a test set."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from vssl.config import build, networks
from vssl.config.identity import described
from vssl.config.provenance import map_facts, run_facts
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.files import write_text
from vssl.core.hashing import config_hash
from vssl.data.base import CheckedData, Problem
from vssl.data.check import write_problems
from vssl.data.datamodule import LocalizationDataModule
from vssl.data.dataset import AudioDataset, ImageDataset
from vssl.engine.callbacks import LoaderProgress, RecordWriter
from vssl.engine.feature_table import RunTables
from vssl.engine.localizer import Localizer
from vssl.engine.module import LocalizationModule
from vssl.models.stored import StoredMaps
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.gain import beyond_full_scale
from vssl.negatives.manifest import common_rows, read_manifest, write_manifest
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.records.conditions import NATURAL_NEGATIVES
from vssl.records.files import INPUTS_FILE, LEFT_OUT_FILE, MANIFEST_FILE, NOTES_FILE, RECORDS_FILE
from vssl.records.shards import Shards
from vssl.records.store import count_undefined_maps
from vssl.records.truth import GroundTruth, check_flags
from vssl.runs.export_plan import PLAN_FACTS_FILE
from vssl.runs.features import machine_facts, open_tables, take_fingerprint
from vssl.runs.folder import discard_results, is_first_process
from vssl.runs.inputs import read_inputs

_log = logging.getLogger(__name__)

_LARGE_BYTES = 2e9
_CHOICES = ("draws", "exclude", "table", "groups", "avoid")
"""Options of negatives that a manifest's choices follow from."""


def record(
    settings: RunSettings,
    folder: Path,
    loggers: list[Logger],
    device: AbstractContextManager[None] | None = None,
) -> dict[str, Any] | None:
    """Run the networks and write records, ground truth and manifest.

    The device is held while the networks run, and not while files are checked or shards joined.

    Returns:
        How long that took, for which of the samples (others were recorded by a run that was
        stopped before), on which device; None in processes but the first.
    """
    begin = time.monotonic()
    conditions = build.build_conditions(settings)
    replay = settings.negatives.manifest
    rows = None if replay is None else read_manifest(replay)
    reader = build.build_reader(settings.data)
    playing = [condition for condition in conditions if condition.reuses_clips]
    listed = reader.listed() if playing else []
    for condition in playing:  # before networks are loaded
        condition.prepare(listed)
    localizer, reports = build.build_localizer(settings, conditions)
    loader = build.loader_options(settings, on_gpu=networks.on_gpu(settings.trainer))
    fingerprint = take_fingerprint(localizer, conditions)
    networks.compile_model(settings.model, localizer.model)
    build.set_needs(reader, settings)
    needs = localizer.model.takes_images or localizer.uses_audio or localizer.prior is not None
    if reader.media == "absent" and needs:
        raise UsageError(
            "data.media=absent: only model=stored needs no images and sounds, without a prior."
        )
    data = reader.check()
    check_flags(data.samples)
    inputs = read_inputs(reader, data)
    data = replace(data, images={}, sounds={})  # which only inputs need
    if is_first_process():
        discard_results(folder)
        write_text(folder / INPUTS_FILE, json.dumps(inputs))
    plan = make_plan(
        data.samples,
        conditions,
        seed=settings.seed,
        use=settings.data.noise_use,
        own_frontend=localizer.frontends,
        made_length=build.made_length(settings),
        manifest=rows,
        manifest_path=replay,
    )
    model = localizer.model
    if isinstance(model, StoredMaps):
        data, plan = _with_stored_maps(settings, model, data, plan)
    if is_first_process():
        for name, found in ((LEFT_OUT_FILE, data.problems), (NOTES_FILE, data.notes)):
            if found:
                write_problems(folder / name, found)
                _log.warning("%d problems are listed in %s", len(found), folder / name)
    rules = build.upsampling_rules(settings, [condition.name for condition in conditions])
    provenance = {
        **run_facts(settings, data, plan),
        # of names and contents, whatever the times
        "inputs_sha256": config_hash({name: sha for name, (*_, sha) in inputs["files"].items()}),
        **map_facts(settings, localizer.model, rules, *reports),
        **(_loudness_facts(conditions, data) if localizer.frontends else {}),
    }
    if naturals := sum(sample.is_natural_negative for sample in data.samples):
        provenance[NATURAL_NEGATIVES] = naturals
    module, path = LocalizationModule(localizer, sounds=len(plan.distinct)), folder / RECORDS_FILE
    log_size(folder, model.map_size, plan.index.size)
    for logger in loggers:
        getattr(logger, "experiment", None)  # wandb begins, which may take seconds
    asked = time.monotonic()
    with device or nullcontext():
        begin += time.monotonic() - asked  # waiting is no work
        fingerprint = replace(fingerprint, machine=machine_facts(settings, loader))
        key = config_hash({**provenance, "networks": vars(fingerprint)})
        shards = Shards(folder, data.samples, plan, key=key, identity=settings.identity_hash)
        recorded = shards.recorded(tidy=is_first_process())
        wanted = sorted(set(range(len(data.samples))) - set(recorded)) if recorded else None
        writer = RecordWriter(
            module, shards,
            names=[sample.sample_id for sample in data.samples],
            seconds=settings.shard_seconds,
        )  # fmt: skip
        bars: list[Callback] = [LoaderProgress()] if settings.trainer.progress_bar else []
        trainer = build.build_trainer(settings.trainer, loggers=loggers, callbacks=[writer, *bars])
        _log_work(settings, data, plan, len(recorded))
        if wanted != []:
            whole = not recorded and trainer.world_size == 1
            tables = open_tables(settings, fingerprint, data.samples, plan, provenance, keep=whole)
            module.tables = tables
            datamodule = _datamodule(data, plan, conditions, localizer, tables, wanted, loader)
            try:
                trainer.test(module, datamodule, verbose=False)
            finally:
                tables.close()
    if not trainer.is_global_zero:
        return None
    shards.join(path, provenance)
    if undefined := count_undefined_maps(path):
        _log.warning("%d similarity maps hold NaN and count as undefined", undefined)
    GroundTruth.of_samples(data.samples).write(folder, provenance)
    write_manifest(folder / MANIFEST_FILE, plan.manifest)
    return {
        "records_seconds": round(time.monotonic() - begin, 3),
        "recorded": len(data.samples) - len(recorded),
        "samples": len(data.samples),
        "device": networks.gpu_name(settings.trainer) or "cpu",
    }


def _with_stored_maps(
    settings: RunSettings, model: StoredMaps, data: CheckedData, plan: AudioPlan
) -> tuple[CheckedData, AudioPlan]:
    """Check the maps of a run; samples without theirs are left out, where that is asked for."""
    _check_exported(settings, plan)
    skip = settings.model.group.get("missing") == "skip"
    report = model.check([s.sample_id for s in data.samples], plan.pairings, skip=skip)
    if report.undefined:
        _log.warning("%d maps hold NaN or infinite values", report.undefined)
    if report.surplus:
        _log.warning(
            "%d stored maps belong to no sample, audio condition or draw of this run, e.g. %s",
            len(report.surplus), next(iter(report.surplus)),
        )  # fmt: skip
    surplus = "stored maps that the run does not ask for"
    notes = [Problem(surplus, *each) for each in report.surplus.items()]
    problems = [Problem("missing maps", *each) for each in report.missing.items()]
    kept = [n for n, s in enumerate(data.samples) if s.sample_id not in report.missing]
    if problems:
        _log.warning("%d samples lack maps and are left out", len(problems))
        left_out = pc.is_in(plan.manifest["sample_id"], pa.array([*report.missing], pa.string()))
        # the others keep their planned negatives, whose maps are the ones that are stored
        rows = plan.manifest.filter(pc.invert(left_out))
        plan = replace(plan, index=plan.index[kept], manifest=rows)
    data = replace(
        data,
        samples=tuple(data.samples[n] for n in kept),
        problems=(*data.problems, *problems),
        notes=(*data.notes, *notes),
    )
    return data, plan


def _check_exported(settings: RunSettings, plan: AudioPlan) -> None:
    """Check that maps, beside or below an exported plan, are of the negatives of this run."""
    maps = settings.model.maps
    for folder in () if maps is None else (maps.absolute(), maps.absolute().parent):
        path = folder / MANIFEST_FILE
        if not (folder / PLAN_FACTS_FILE).is_file() or not path.is_file():
            continue
        own, planned = common_rows(plan.manifest, read_manifest(path))
        other = own.filter(pc.or_(*(
            pc.not_equal(own[name], planned[name]) for name in ("audio_source_id", "seed")
        )))  # fmt: skip
        if len(other):
            first = other.slice(0, 1).to_pylist()[0]
            raise UsageError(
                f"{maps}: the maps are of other negatives than this run's: {len(other)} of"
                f" {len(plan.manifest)} differ, e.g. {first['condition']}, draw {first['draw']} of"
                f" {first['sample_id']}. Set seed, data and negatives as for vssl-export-plan, or"
                f" negatives.manifest={path}."
            )
        options = _other_options(settings, folder / PLAN_FACTS_FILE)
        if options:
            raise UsageError(
                f"{maps}: the maps are of other negatives than this run's: {', '.join(options)}."
                " Set negatives as for vssl-export-plan."
            )


def _other_options(settings: RunSettings, plan: Path) -> list[str]:
    """Options by which negatives of a run sound otherwise than in a plan; choices are compared."""
    try:
        exported = json.loads(plan.read_text(encoding="utf-8"))["options"]["negatives"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{plan}: not readable ({error}). Export the plan again.") from error
    return [
        f"negatives.{name}.{key}={value} (planned: {exported[name][key]})"
        for name, recipe in described(settings.negatives.group).items()
        if isinstance(recipe, dict) and isinstance(exported.get(name), dict)
        for key, value in recipe.items()
        if key not in _CHOICES and exported[name].get(key, value) != value
    ]


def _loudness_facts(conditions: Sequence[AudioCondition], data: CheckedData) -> dict[str, Any]:
    """How much of the amplified clips is beyond full scale; logs it."""
    beyond = beyond_full_scale(conditions, data.samples)
    for name, shares in beyond.items():
        _log.info(
            "%s: %.1f %% of the samples are beyond full scale, in %.1f %% of the clips",
            name, 100 * shares["samples"], 100 * shares["clips"],
        )  # fmt: skip
    return {"beyond_full_scale": beyond} if beyond else {}


def _log_work(settings: RunSettings, data: CheckedData, plan: AudioPlan, recorded: int) -> None:
    hears = settings.model.frontend is not None
    draws = Counter(condition for condition, _ in plan.pairings)
    _log.info(
        "%s on %s: %d images, %d distinct sounds, %s",
        settings.model.name, settings.data.shown_name, len(data.samples),
        len(plan.distinct) if hears else 0,
        ", ".join(f"{condition} x {count}" for condition, count in draws.items()),
    )  # fmt: skip
    if recorded:
        _log.info("%d of them were recorded before; the run goes on", recorded)


def log_size(folder: Path, map_size: tuple[int, int], maps: int) -> None:
    """Say how large a run's maps are at most, where that is much; warn if they may not fit.

    Shards and the records that they are joined into exist at the same time.
    """
    size = 4 * map_size[0] * map_size[1] * maps
    if size < _LARGE_BYTES:
        return
    free = shutil.disk_usage(folder).free
    _log.log(
        logging.WARNING if free < 2 * size else logging.INFO,
        "similarity maps of up to %.1f GB, twice while they are joined; %s has %.1f GB free",
        size / 1e9, folder, free / 1e9,
    )  # fmt: skip


def _datamodule(
    data: CheckedData,
    plan: AudioPlan,
    conditions: Sequence[AudioCondition],
    localizer: Localizer,
    tables: RunTables,
    wanted: Sequence[int] | None,
    loader: Mapping[str, int],
) -> LocalizationDataModule:
    """Images and sounds of the wanted samples, but for what the feature tables hold already."""
    model, prior_transform = localizer.model, localizer.prior_transform
    model_looks = model.takes_images and tables.images.values is None
    prior_looks = localizer.prior is not None and tables.objects.values is None
    if prior_transform is None:  # both look at one image
        model_looks |= prior_looks
    images = ImageDataset(
        data.samples,
        plan,
        localizer.transform if model_looks else None,
        prior_transform if prior_looks else None,
        truth=bool(model.knows),
    )
    by_name = {each.name: each for each in (Positive(), *conditions)}
    sounds = AudioDataset(data.samples, plan, by_name, localizer.frontends)
    return LocalizationDataModule(
        images,
        sounds if localizer.uses_audio else None,
        plan,
        wanted=wanted,
        known_sounds=tables.known_sounds(),
        **loader,
    )

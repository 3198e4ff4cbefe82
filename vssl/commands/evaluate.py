"""vssl-evaluate: a model over a test set, on positives and negatives."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vssl.commands.app import is_multirun, quieten_libraries, run_app
from vssl.commands.identity import (
    identity,
    negative_names,
    network_hash,
    prior_facts,
    protocol_switches,
    register_resolvers,
    scoring,
)
from vssl.commands.run_folder import (
    alone_in,
    discard_results,
    finished_run,
    is_first_process,
    write_run_file,
)
from vssl.commands.sweep import SweepTable
from vssl.errors import UsageError
from vssl.records.files import LEFT_OUT_FILE, MANIFEST_FILE, RECORDS_FILE, write_text
from vssl.records.fingerprint import config_hash

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

    from vssl.data.base import CheckedData
    from vssl.thresholds.base import ThresholdPolicy

_log = logging.getLogger(__name__)

register_resolvers()


def main() -> None:
    """Console script."""
    quieten_libraries()
    run_app(_hydra_main, "evaluate", before_error=SweepTable.finish)


@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="evaluate")
def _hydra_main(config: DictConfig) -> pd.DataFrame | None:
    return evaluate(config, Path(HydraConfig.get().runtime.output_dir).absolute())


def evaluate(config: DictConfig, folder: Path, *, quiet: bool = False) -> pd.DataFrame | None:
    """Evaluate a model, or take the finished run that stands in the folder.

    Args:
        config: the composed configuration `evaluate`.
        folder: the run's folder.
        quiet: whether the run's table is not shown, as in sweeps.

    Returns:
        The summary; None in the processes of a distributed run that are not the first.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    from hydra.utils import instantiate

    from vssl.commands.build import build_policies, check_protocol, check_subsets
    from vssl.commands.networks import check_network_options
    from vssl.commands.score import announce, score_run
    from vssl.engine.loggers import log_summary, open_loggers

    _refuse_distributed_sweep(config)
    check_protocol(config)
    check_subsets(config)
    check_network_options(config)
    _check_calibration(config)
    policies = build_policies(
        config, model=config.model.name, negatives=bool(negative_names(config))
    )
    identity_hash = config_hash(identity(config))
    with alone_in(folder):
        done = None if config.force else finished_run(folder, identity_hash)
        if done is not None and config.data.get("missing") == "skip":
            _check_same_samples(config, folder, done)
        if done is not None and done["scoring_hash"] == config_hash(scoring(config)):
            _log.info("already evaluated, nothing to do (force=true evaluates again): %s", folder)
            return announce(folder, quiet=quiet or is_multirun())
        with open_loggers([instantiate(each) for each in config.logger.values()]) as loggers:
            if done is None:
                if not _make_records(config, folder, identity_hash, policies, loggers):
                    return None
            else:
                _log.info("already evaluated, records are scored anew: %s", folder)
            summary = score_run(config, folder, policies)
            log_summary(loggers, summary, config={**identity(config), **scoring(config)})
        write_run_file(config, folder, identity_hash)
    return announce(folder, quiet=quiet or is_multirun())


def _make_records(
    config: DictConfig,
    folder: Path,
    identity_hash: str,
    policies: list[ThresholdPolicy],
    loggers: list[Logger],
) -> bool:
    """Run the networks and write records and manifest; False in processes but the first."""
    from vssl.commands import build, networks
    from vssl.commands.provenance import map_facts, run_facts
    from vssl.data.datamodule import LocalizationDataModule
    from vssl.engine.callbacks import NamedProgressBar, RecordWriter
    from vssl.engine.module import LocalizationModule
    from vssl.metrics.base import CombinedMetric
    from vssl.negatives.manifest import read_manifest, render_manifest
    from vssl.negatives.plan import make_plan
    from vssl.records.store import count_undefined_maps
    from vssl.types import POSITIVE

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    conditions = build.build_conditions(config)
    names = [condition.name for condition in conditions]
    replay = config.negatives.manifest and Path(config.negatives.manifest).expanduser()
    rows = read_manifest(replay) if replay else None
    frontends = build.build_frontends(config, names)
    transform, prior_transform = build.build_transforms(config)
    model, report = networks.build_model(config)
    prior, prior_report = networks.build_prior(config, model)
    data = build.build_reader(config).check()
    if is_first_process():
        discard_results(folder)
        _list_left_out(data, folder)
    plan = make_plan(
        data.samples,
        conditions,
        seed=config.seed,
        shared_frontend={name: name for name in frontends},
        made_length=build.made_length(config),
        manifest=rows,
        manifest_path=replay,
    )
    manifest = render_manifest(plan.manifest)
    rules = build.upsampling_rules(config, names)
    live = [p for p in policies if p.name in config.live and not p.needs_fit]
    module = LocalizationModule(
        model,
        name=config.model.name,
        pairings=plan.pairings,
        upsampling=rules,
        frontends=frontends,
        prior=prior,
        live_policies=live,
        live_metrics=[
            type(m) for m in build.build_metrics(config) if not isinstance(m, CombinedMetric)
        ],
    )
    datamodule = LocalizationDataModule(
        data.samples,
        plan,
        conditions,
        frontends=frontends,
        transform=transform,
        prior_transform=prior_transform,
        **config.loader,
    )
    provenance = {
        **run_facts(config, identity_hash, data, plan, manifest),
        **map_facts(config, model, rules, report, prior_report),
    }
    loaders = ["sounds", "images"] if datamodule.hears else ["images"]
    callbacks: list[Callback] = [
        RecordWriter(folder / RECORDS_FILE, data.samples, plan, provenance)
    ]
    if config.trainer.enable_progress_bar:
        callbacks.append(NamedProgressBar(config.model.name, loaders))
    trainer = build.build_trainer(config, loggers=loggers, callbacks=callbacks)
    _log.info(
        "%s on %s: %d images, %d distinct sounds, %s",
        config.model.name, config.data.name, len(data.samples),
        len(plan.distinct) if datamodule.hears else 0,
        ", ".join(f"{c} x {sum(p[0] == c for p in plan.pairings)}" for c in (POSITIVE, *names)),
    )  # fmt: skip
    trainer.test(module, datamodule, verbose=False)
    if not trainer.is_global_zero:
        return False
    undefined = count_undefined_maps(folder / RECORDS_FILE)
    if undefined:
        _log.warning("%d similarity maps hold NaN and count as undefined", undefined)
    write_text(folder / MANIFEST_FILE, manifest)
    return True


def _list_left_out(data: CheckedData, folder: Path) -> None:
    """Write what is left out of the run."""
    if data.problems:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["kind", "sample_id", "detail"])
        writer.writerows([p.kind, p.sample_id, p.detail] for p in data.problems)
        write_text(folder / LEFT_OUT_FILE, text.getvalue())
        _log.warning("%d problems are listed in %s", len(data.problems), folder / LEFT_OUT_FILE)


def _check_same_samples(config: DictConfig, folder: Path, done: dict[str, Any]) -> None:
    """With data.missing=skip, a finished run stands for what was whole then: is it still so?"""
    from vssl.commands.build import build_reader
    from vssl.records.fingerprint import ids_hash

    data = build_reader(config).check()
    if ids_hash(s.sample_id for s in data.samples) != done["provenance"]["manifest_hash"]:
        raise UsageError(
            f"{folder}: holds a finished run on other samples than are whole in"
            f" {config.data.root} now. Set another output_dir, or force=true to replace it."
        )


def _check_calibration(config: DictConfig) -> None:
    """Refuse a calibration run that does not fit before any long work."""
    from vssl.records.fit import check_calibration

    if config.calibration is not None:
        check_calibration(
            Path(config.calibration).expanduser(),
            model=config.model.name,
            weights_sha256=identity(config)["files_sha256"].get("model.weights"),
            protocol_switches=protocol_switches(config),
            prior=prior_facts(config),
            network_hash=network_hash(config),
        )


def _refuse_distributed_sweep(config: DictConfig) -> None:
    devices = config.trainer.devices
    if is_multirun() and devices not in (1, "1", "auto"):
        raise UsageError(
            f"trainer.devices={devices} inside a sweep: the processes of one job would start the"
            " sweep again and lose rows. Run such a job alone, or sweep with one device per job."
        )


if __name__ == "__main__":
    main()

"""How long a run takes, from finished runs of the same model."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from omegaconf import DictConfig, OmegaConf

from vssl.commands.identity import negative_names
from vssl.commands.run_folder import NO_RUN, UNSCORED_RUN
from vssl.records.files import RUN_FILE


def seconds_for(config: DictConfig, state: str, samples: int, folder: Path) -> float | None:
    """An estimate for a run, None where no finished run of its model lies below `output_root`.

    Args:
        config: its configuration.
        state: what is left to do, see `run_state`.
        samples: number of its samples.
        folder: the run's own folder, which counts too.
    """
    if state not in (NO_RUN, UNSCORED_RUN):
        return 0.0
    rates = [
        rate
        for path in _run_files(Path(config.output_root).expanduser(), folder)
        if (rate := _seconds_per_map(path, config, scoring_only=state == UNSCORED_RUN)) is not None
    ]
    return median(rates) * samples * _sounds(config) if rates else None


def _run_files(root: Path, folder: Path) -> set[Path]:
    below = {path.resolve() for path in root.glob(f"*/*/*/*/*/{RUN_FILE}")}
    own = (folder / RUN_FILE).resolve()
    return below | ({own} if own.is_file() else set())


def _seconds_per_map(path: Path, config: DictConfig, *, scoring_only: bool) -> float | None:
    """Seconds for each sample and sound of a finished run; None when it is of another model."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        saved: DictConfig = OmegaConf.create(run["config"])
        timing = run["timing"]
        if saved.model.name != config.model.name:
            return None
        seconds = timing["scoring_seconds"] + (0 if scoring_only else timing["records_seconds"])
        return float(seconds) / (int(timing["samples"]) * _sounds(saved))
    except (OSError, ValueError, KeyError):  # replaced just now, or of an earlier vssl
        return None


def _sounds(config: DictConfig) -> int:
    """How many sounds each image meets."""
    return 1 + sum(int(config.negatives[name].get("draws", 1)) for name in negative_names(config))

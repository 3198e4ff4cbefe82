"""How long a run takes, from finished runs of the same model."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from omegaconf import DictConfig, OmegaConf

from vssl.commands.run_folder import NO_RUN, UNSCORED_RUN
from vssl.records.files import RUN_FILE


def seconds_for(
    config: DictConfig, state: str, *, samples: int, recorded: int, folder: Path
) -> float | None:
    """An estimate for a run, None where no finished run of its model lies below `output_root`.

    Networks see each image and sound once, so records take time by the sample; scores take it by
    the map.

    Args:
        config: its configuration.
        state: what is left to do, see `run_state`.
        samples: number of its samples.
        recorded: how many of them a stopped run has recorded.
        folder: the run's own folder, which counts too.
    """
    if state not in (NO_RUN, UNSCORED_RUN):
        return 0.0
    known = [
        times
        for path in _run_files(Path(config.output_root).expanduser(), folder)
        if (times := _times(path, config)) is not None
    ]
    if not known:
        return None
    by_sample = median(times[0] for times in known)
    by_map = median(times[1] for times in known)
    recording = by_sample * max(0, samples - recorded) if state == NO_RUN else 0.0
    return recording + by_map * samples * _sounds(config)


def _run_files(root: Path, folder: Path) -> set[Path]:
    below = {path.resolve() for path in root.glob(f"*/*/*/*/*/{RUN_FILE}")}
    own = (folder / RUN_FILE).resolve()
    return below | ({own} if own.is_file() else set())


def _times(path: Path, config: DictConfig) -> tuple[float, float] | None:
    """Seconds by the sample, and by the map, of a finished run; None for one of another model."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        saved: DictConfig = OmegaConf.create(run["config"])
        timing = run["timing"]
        if saved.model.name != config.model.name:
            return None
        sounds = len(run["provenance"]["pairings"])
        maps, recorded = int(timing["samples"]) * sounds, int(timing["recorded"])
        if recorded < timing["samples"]:  # most of its seconds may be those of starting
            return None
        by_sample = float(timing["records_seconds"]) / recorded
        return by_sample, float(timing["scoring_seconds"]) / maps
    except (OSError, ValueError, KeyError):  # replaced just now, or of an earlier vssl
        return None


def _sounds(config: DictConfig) -> int:
    """How many sounds each image meets."""
    from vssl.commands.build import build_conditions

    return 1 + sum(condition.draws for condition in build_conditions(config))

"""vssl-export-plan: the maps that a run would need, for a program that is not vssl's."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from scipy.io import wavfile

from vssl.audio import read_clip
from vssl.config import build
from vssl.config.identity import described
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.files import output_folder, whole_file, write_text
from vssl.core.hashing import config_hash, ids_hash
from vssl.core.progress import progress_bar
from vssl.negatives.base import Positive
from vssl.negatives.manifest import manifest_sha256, read_manifest, write_manifest
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.records.files import MANIFEST_FILE
from vssl.types import POSITIVE, AudioClip, AudioRequest

PLAN_FILE = "plan.csv"
PLAN_FACTS_FILE = "plan.json"
COLUMNS = ("sample_id", "condition", "draw", "image", "audio", "map")

_log = logging.getLogger(__name__)


def export_plan(settings: RunSettings, folder: Path) -> Path:
    """Write which map is to be made of which image and sound, and all sounds that no file has.

    The samples, audio conditions and draws are those of an evaluation with these settings. Each
    distinct waveform that a negative makes is a file of 32-bit floats in `sounds/`, since noise may
    exceed full scale. A negative that plays another sample's clip names that clip's file. What a
    stopped export wrote is kept.

    Args:
        settings: of a model that takes no audio, so that silence and noise are as long as the clip.
        folder: where `plan.csv`, `sounds/`, `negatives_manifest.csv` and `plan.json` go.

    Returns:
        The csv.

    Raises:
        UsageError: when the test set has faults, or the folder holds another plan.
    """
    conditions = build.build_conditions(settings)
    replay = settings.negatives.manifest
    rows = None if replay is None else read_manifest(replay)
    with output_folder(folder):
        pass
    if settings.data.group.get("media") == "absent":
        raise UsageError("data.media=absent: a plan names images and sounds. Leave it out.")
    data = build.check_data(settings)
    plan = make_plan(
        data.samples,
        conditions,
        seed=settings.seed,
        use=settings.data.noise_use,
        manifest=rows,
        manifest_path=replay,
    )
    facts = {
        "data": settings.data.name,
        "seed": settings.seed,
        "manifest_hash": ids_hash(sample.sample_id for sample in data.samples),
        "negatives_manifest_sha256": manifest_sha256(plan.manifest),
        "options": {
            "data": described(settings.data.group),
            "negatives": described(settings.negatives.group),
        },
        "pairings": [list(pairing) for pairing in plan.pairings],
    }
    _take_folder(folder, facts)
    paths = {sample.sample_id: sample.audio_path for sample in data.samples}
    sounds = _sound_names(plan)
    by_name = {condition.name: condition for condition in (Positive(), *conditions)}

    def read(source_id: str) -> AudioClip:
        return read_clip(paths[source_id])

    with progress_bar("writing sounds", len(sounds)) as advance:
        for request, name in sounds.items():
            advance(1)
            path = folder / name
            if path.is_file():  # renamed when it was complete
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            clip = by_name[request.condition].make(request, read)
            with whole_file(path) as partial:  # by SciPy: libsndfile adds the time
                wavfile.write(partial, clip.rate, clip.samples.T)
    write_manifest(folder / MANIFEST_FILE, plan.manifest)
    with whole_file(folder / PLAN_FILE) as partial, partial.open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for n, sample in enumerate(data.samples):
            for (condition, draw), place in zip(plan.pairings, plan.index[n], strict=True):
                request = plan.distinct[place][1]
                sound = sounds.get(request) or str(paths[request.source_id])
                name = f"{condition}/{draw}/{sample.sample_id}.npy"
                writer.writerow([sample.sample_id, condition, draw, sample.image_path, sound, name])
    _log.info(
        "%d maps of %d images under %d pairings of audio condition and draw, %d sounds written: %s",
        plan.index.size, len(data.samples), len(plan.pairings), len(sounds), folder / PLAN_FILE,
    )  # fmt: skip
    return folder / PLAN_FILE


def _sound_names(plan: AudioPlan) -> dict[AudioRequest, str]:
    """Files, below the folder, of the waveforms that negatives make."""
    names: dict[AudioRequest, str] = {}
    made: Counter[str] = Counter()
    for _, request in plan.distinct:
        if request.condition != POSITIVE and request not in names:
            names[request] = f"sounds/{request.condition}_{made[request.condition]:06d}.wav"
            made[request.condition] += 1
    return names


def _take_folder(folder: Path, facts: dict[str, Any]) -> None:
    """Write the facts of a plan into its folder, which must not have those of another one."""
    path = folder / PLAN_FACTS_FILE
    facts = {**facts, "plan_hash": config_hash(facts)}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            known = {}
        if known.get("plan_hash") == facts["plan_hash"]:
            return
        other = [k for k, v in facts.items() if k != "plan_hash" and known.get(k) != v]
        raise UsageError(
            f"{folder}: holds another plan (other {', '.join(other)}). Set another output, or"
            " remove the folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(facts, indent=1))

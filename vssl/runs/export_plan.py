"""The work of a model that vssl cannot run: its images and sounds, as an evaluation pairs them."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections import Counter
from pathlib import Path, PurePosixPath

from scipy.io import wavfile

from vssl.audio import read_clip
from vssl.config import build
from vssl.config.identity import described
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.files import output_folder, whole_file, write_text
from vssl.core.hashing import config_hash, ids_hash, text_hash
from vssl.core.progress import progress_bar
from vssl.negatives.manifest import read_manifest, render_manifest
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.records.files import MANIFEST_FILE
from vssl.types import POSITIVE, AudioClip, AudioRequest, Sample

_log = logging.getLogger(__name__)

PLAN_FILE, FACTS_FILE, SOUNDS_FOLDER = "plan.csv", "plan.json", "sounds"
COLUMNS = ("sample_id", "condition", "draw", "image", "audio", "map")


def export_plan(settings: RunSettings, folder: Path) -> int:
    """Write which map a run needs of which image and sound, and every sound that it makes.

    The samples, the choices of clips and the made waveforms are those of an evaluation with the
    same settings. Made sounds have the rate of the model's front end, 16 kHz without one, and 32
    bits a value, as noise may exceed full scale. A sound that is there already is kept, so that a
    stopped export goes on.

    Returns:
        Number of maps that the plan asks for.

    Raises:
        UsageError: for any fault in the settings or the test set, and where the folder holds
            another plan.
    """
    conditions = build.build_conditions(settings)
    frontends = build.build_frontends(settings, [each.name for each in conditions])
    build.tell_conditions(conditions, frontends)
    reader = build.build_reader(settings.data)
    build.set_needs(reader, settings)
    with output_folder(folder):
        data = reader.check()
        replay = settings.negatives.manifest
        plan = make_plan(
            data.samples,
            conditions,
            seed=settings.seed,
            use=settings.data.noise_use,
            own_frontend=frontends,
            made_length=build.made_length(settings),
            manifest=None if replay is None else read_manifest(replay),
            manifest_path=replay,
        )
        by_name = {condition.name: condition for condition in conditions}
        paths = {sample.sample_id: sample.audio_path for sample in data.samples}

        def read(source_id: str) -> AudioClip:
            return read_clip(paths[source_id], reader.rate)

        made = _made_files(plan)
        table = _table(data.samples, plan, made)
        identity = {
            "plan": text_hash(table),
            "data": settings.data.shown_name,
            "negatives": described(settings.negatives.group),
            "seed": settings.seed,
            "protocol": settings.protocol.full_name,
            "rate": reader.rate,
        }
        facts = {
            **identity,
            "hash": config_hash(identity),
            "samples": len(data.samples),
            "coverage": data.coverage,
            "manifest_hash": ids_hash(sample.sample_id for sample in data.samples),
            "maps": dict(Counter(condition for condition, _ in plan.pairings)),
        }
        folder.mkdir(parents=True, exist_ok=True)
        _check_folder(folder / FACTS_FILE, facts["hash"])
        write_text(folder / FACTS_FILE, json.dumps(facts, indent=1))
        with progress_bar("writing sounds", len(made)) as advance:
            for request, name in made.items():
                path = folder / name
                if not path.is_file():
                    clip = by_name[request.condition].make(request, read)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with whole_file(path) as partial:  # without the time that libsndfile adds
                        wavfile.write(partial, clip.rate, clip.samples.T)
                advance(1)
        write_text(folder / MANIFEST_FILE, render_manifest(plan.manifest))
        write_text(folder / PLAN_FILE, table)
    maps = len(data.samples) * len(plan.pairings)
    _log.info(
        "%s: %d maps are wanted, of %d images; %d sounds were made. Score the maps with"
        " vssl-evaluate model=stored model.maps=FOLDER",
        folder / PLAN_FILE, maps, len(data.samples), len(made),
    )  # fmt: skip
    return maps


def _made_files(plan: AudioPlan) -> dict[AudioRequest, str]:
    """Files of the sounds that are made, below the plan's folder, in the plan's order."""
    numbers: Counter[str] = Counter()
    made: dict[AudioRequest, str] = {}
    for _, request in plan.distinct:
        if request.condition != POSITIVE and request not in made:
            number = numbers[request.condition]
            made[request] = f"{SOUNDS_FOLDER}/{request.condition}/{number:06d}.wav"
            numbers[request.condition] += 1
    return made


def _table(samples: tuple[Sample, ...], plan: AudioPlan, made: dict[AudioRequest, str]) -> str:
    """The plan as csv text: a row for each map, sample by sample."""
    paths = {sample.sample_id: str(sample.audio_path) for sample in samples}
    draws = Counter(condition for condition, _ in plan.pairings)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for n, sample in enumerate(samples):
        for k, (condition, draw) in enumerate(plan.pairings):
            request = plan.distinct[plan.index[n, k]][1]
            audio = made.get(request) or paths[request.source_id]
            place = PurePosixPath(condition, *([str(draw)] if draws[condition] > 1 else []))
            name = f"{place}/{sample.sample_id}.npy"
            writer.writerow(
                (sample.sample_id, condition, draw, str(sample.image_path), audio, name)
            )
    return text.getvalue()


def _check_folder(path: Path, wanted: str) -> None:
    """Refuse a folder with the plan of other settings."""
    if not path.is_file():
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["hash"]
    except (ValueError, KeyError, TypeError):
        known = None
    if known != wanted:
        raise UsageError(
            f"{path.parent}: holds the plan of another test set, or of other negatives. Set another"
            " output."
        )

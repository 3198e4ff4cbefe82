"""Join the records of runs that differ only in their negatives into those of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vssl.core.hashing import config_hash
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.negatives.manifest import (
    column_texts,
    manifest_sha256,
    read_manifest,
    write_manifest,
)
from vssl.records.conditions import condition_settings
from vssl.records.files import MANIFEST_FILE, RECORDS_FILE, SCHEMA_VERSION
from vssl.records.schema import RECORDS
from vssl.records.store import (
    RecordsError,
    as_records,
    open_parquet,
    parquet_writer,
    read_provenance,
)
from vssl.records.truth import GroundTruth
from vssl.types import POSITIVE

JOINED_FROM = "joined_from"
"""Key of a joined run's provenance and of its `run.json`: its source runs."""

_ROUNDED = 1e-5
"""Tolerance for positives, as a share of the largest similarity: batch sizes change roundings."""

_SAMPLES_READ = 64
_NOTED = ("negatives_files_sha256", "beyond_full_scale")  # of the negatives' files and loudness
_OF_NEGATIVES = (
    *("config_hash", "negatives", "negatives_manifest_sha256", "pairings", "sounding_objects"),
    *("upsampling", "schema_version", JOINED_FROM, *_NOTED),
)
_FILES_OF_NEGATIVES = (
    *("negatives.noise.file", "negatives.offscreen.exclude", "negatives.offscreen.table"),
)
_SAME = ("sample_id", "category", "image_group")
_MAPS = ("similarity_map", "object_map")
_OTHERS = "its samples, or their ground truth, are others."

Pairing = tuple[str, int]


class JoinError(RecordsError):
    """A run, of the folder `run`, cannot be joined with others."""

    def __init__(self, run: Path, message: str) -> None:
        super().__init__(message)
        self.run = run


def without_negatives(identity: Mapping[str, Any]) -> str:
    """Hash a run's identity (in `run.json`) without its negatives: equal for runs to join."""
    negatives = identity.get("negatives") or {}
    files = identity.get("files_sha256") or {}
    kept = {key: value for key, value in files.items() if key not in _FILES_OF_NEGATIVES}
    replayed = negatives.get("manifest") if isinstance(negatives, Mapping) else None
    rest = {key: value for key, value in identity.items() if key != "negatives"}
    return config_hash({**rest, "files_sha256": kept, "manifest": replayed})


def joined_identity(identities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the identities of runs into that of one run on all their negatives."""
    merged = {key: value for each in identities for key, value in each["negatives"].items()}
    files = {key: value for each in identities for key, value in each["files_sha256"].items()}
    return {**identities[0], "negatives": merged, "files_sha256": files}


def condition_draws(provenance: Mapping[str, Any]) -> dict[str, int]:
    """Count the draws of each audio condition of a run."""
    return dict(Counter(str(name) for name, _ in provenance["pairings"]))


def other_settings(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Describe the settings in which shared conditions of two runs differ."""
    one, two = (
        {
            name: {**condition_settings(each).get(name, {}), "draws": count}
            for name, count in condition_draws(each).items()
        }
        for each in (first, other)
    )
    return sorted(
        f"{key} of {name}: {one[name].get(key)} and {two[name].get(key)}"
        for name in one.keys() & two.keys() - {POSITIVE}
        for key in {*one[name], *two[name]}
        if one[name].get(key) != two[name].get(key)
    )


def join_records(runs: Sequence[Path], folder: Path, *, identity_hash: str) -> dict[str, Any]:
    """Write the records, ground truth and manifest that one run on all negatives would have.

    The positives and the ground truth are the first run's; those of the others, without
    `other_settings`, must be the same. Returns the provenance of the joined records.

    Raises:
        JoinError: when a run differs in more than its negatives; no records are left written then.
        RecordsError: when records cannot be read.
    """
    facts = [read_provenance(run / RECORDS_FILE) for run in runs]
    truth = GroundTruth.of(runs[0])
    for run, own in zip(runs[1:], facts[1:], strict=True):
        _check_facts(facts[0], run, own)
        if not GroundTruth.of(run).table.equals(truth.table):
            raise JoinError(run, _OTHERS)
    own_pairings = [[(str(name), int(draw)) for name, draw in own["pairings"]] for own in facts]
    owner: dict[str, int] = {}
    for number, of_run in enumerate(own_pairings):
        owner |= {name: number for name, _ in of_run if name not in owner}
    order = dict.fromkeys((*(n for n in (POSITIVE, *NEGATIVE_TYPES) if n in owner), *owner))
    pairings = [pair for name in order for pair in own_pairings[owner[name]] if pair[0] == name]
    manifest = _manifest(runs, owner, pairings)

    def merged(key: str, order: Iterable[str] = ()) -> dict[str, Any]:
        known = {name: value for each in facts for name, value in (each.get(key) or {}).items()}
        return {name: known[name] for name in dict.fromkeys((*order, *known)) if name in known}

    provenance = {
        **facts[0],
        **{key: merged(key, order) for key in ("negatives", "sounding_objects", "upsampling")},
        **{key: merged(key) for key in _NOTED if any(key in each for each in facts)},
        "schema_version": SCHEMA_VERSION,
        "config_hash": identity_hash,
        "pairings": [list(each) for each in pairings],
        "negatives_manifest_sha256": manifest_sha256(manifest),
        JOINED_FROM: [
            {"run": str(run), "config_hash": own["config_hash"]}
            for run, own in zip(runs, facts, strict=True)
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (
        ExitStack() as opened,
        parquet_writer(folder / RECORDS_FILE, RECORDS, provenance) as write,
    ):
        pieces = [
            _pieces(opened.enter_context(open_parquet(run / RECORDS_FILE)), len(of_run))
            for run, of_run in zip(runs, own_pairings, strict=True)
        ]
        for tables in zip_longest(*pieces, fillvalue=RECORDS.empty_table()):
            _check_positives(runs, own_pairings, tables)
            write(_interleaved(tables, own_pairings, owner, pairings))
    truth.write(folder, provenance)
    write_manifest(folder / MANIFEST_FILE, manifest)
    return provenance


def _check_facts(known: Mapping[str, Any], run: Path, own: Mapping[str, Any]) -> None:
    """Refuse runs that differ in more than their negatives."""
    # earlier runs do not state the hashes of their inputs
    left_out = {*_OF_NEGATIVES, *({"inputs_sha256"} - (known.keys() & own.keys()))}
    one, two = (
        # the code itself has a version in the environment
        {**facts, "environment": {**(facts.get("environment") or {}), "git_commit": None}}
        for facts in (known, own)
    )
    differ = [key for key in sorted({*one, *two} - left_out) if one.get(key) != two.get(key)]
    if differ:
        raise JoinError(run, f"they also differ in {', '.join(differ)}.")


def _manifest(
    runs: Sequence[Path], owner: Mapping[str, int], pairings: Sequence[Pairing]
) -> pa.Table:
    """Manifest of the joined run: sample by sample, in the order of its pairings."""
    parts = []
    for number, run in enumerate(runs):
        rows = read_manifest(run / MANIFEST_FILE)
        own = pa.array([name for name, each in owner.items() if each == number], pa.string())
        parts.append(rows.filter(pc.is_in(rows["condition"], own)))
    whole = pa.concat_tables(parts).unify_dictionaries()
    samples = whole["sample_id"].cast(pa.string()).dictionary_encode().combine_chunks()
    places = {pairing: k for k, pairing in enumerate(pairings)}
    found = zip(column_texts(whole["condition"]), whole["draw"].to_pylist(), strict=True)
    place = np.array([places.get(pairing, -1) for pairing in found])
    order = np.lexsort((place, samples.indices.to_numpy()))
    return whole.take(order[place[order] >= 0])


def _pieces(file: pq.ParquetFile, pairings: int) -> Iterator[pa.Table]:
    """The records of a file, some samples at a time: each has a row for every pairing."""
    rows, held = _SAMPLES_READ * pairings, file.schema_arrow.empty_table()
    for batch in file.iter_batches(rows):
        held = pa.concat_tables([held, pa.Table.from_batches([batch])])
        while len(held) >= rows:
            yield held.slice(0, rows)
            held = held.slice(rows)
    if len(held):
        yield held


def _check_positives(
    runs: Sequence[Path], pairings: Sequence[Sequence[Pairing]], tables: Sequence[pa.Table]
) -> None:
    """Refuse runs whose samples or positives are not those of the first run."""
    first, *others = (
        table.filter(pc.equal(table.column("audio_condition"), POSITIVE)) for table in tables
    )
    for run, table, own, known in zip(runs[1:], tables[1:], others, pairings[1:], strict=True):
        if len(table) != len(known) * len(first) or any(
            not own.column(name).equals(first.column(name)) for name in _SAME
        ):
            raise JoinError(run, _OTHERS)
        for name in _MAPS:
            one, two = (
                np.asarray(pc.list_flatten(each.column(name)).to_numpy(), np.float32)
                for each in (first, own)
            )
            scale = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
            if one.shape != two.shape or not np.allclose(
                one, two, rtol=0, atol=_ROUNDED * scale, equal_nan=True
            ):
                raise JoinError(
                    run,
                    f"its positives are others ({name}): code, a library or the machine was another"
                    " one. Evaluate both again with force=true.",
                )


def _interleaved(
    tables: Sequence[pa.Table],
    own_pairings: Sequence[Sequence[Pairing]],
    owner: Mapping[str, int],
    pairings: Sequence[Pairing],
) -> pa.Table:
    """Rows of some samples, each with all pairings of the joined run."""
    samples = len(tables[0]) // len(own_pairings[0])
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    columns = []
    for pairing in pairings:
        number = owner[pairing[0]]
        known = own_pairings[number]
        columns.append(starts[number] + np.arange(samples) * len(known) + known.index(pairing))
    places = np.stack(columns, axis=1).ravel()
    return pa.concat_tables([as_records(table) for table in tables]).take(pa.array(places))

"""Frames and sounds of a test set, made from its videos."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
from filelock import FileLock, Timeout
from PIL import Image

from vssl.audio.containers import VideoFileError, read_mono
from vssl.core.devices import usable_cores
from vssl.core.errors import UsageError
from vssl.core.files import csv_text, output_folder, whole_file, write_text
from vssl.core.media import is_there
from vssl.core.progress import progress_bar
from vssl.data.base import DatasetReader
from vssl.data.check import DataError, csv_rows
from vssl.data.table import read_text
from vssl.data.vggss import VGGSS
from vssl.data.video_names import FoundVideo, VideoFolder, has_video_suffix
from vssl.types import SAMPLE_RATE
from vssl.videos import VideoFacts, VideoFrame, frame_at, frame_in_slot, video_facts

_log = logging.getLogger(__name__)

FOLDER = "prepared"
RULE_FILE, REPORT_FILE = f"{FOLDER}/rule.json", f"{FOLDER}/prepare_report.csv"
IDS_FILE, LOCK_FILE = f"{FOLDER}/ids.txt", f"{FOLDER}/lock"
"""Below the test set's folder, in which readers look for tables and annotations."""
FRAMES, SOUNDS = "frames", "audio"
SAMPLES_FILE, VIDEOS_FILE = "samples.csv", "videos.csv"
"""Tables of `data=folder`; either may name videos."""
_TABLE_COLUMNS = ("video", "time", "image", "audio")
SAMPLE_COLUMNS = ("image", "audio", "x0", "y0", "x1", "y1", "category")

MADE, THERE, MISSING, FAULTY, OTHER = "made", "already there", "no video", "faulty", "another rule"
COLUMNS = (
    *("id", "status", "video", "width", "height", "fps", "frame", "frame_seconds"),
    *("sound_seconds", "note"),
)
"""Columns of the report. `frame` counts the stored frames from 0; its time is since the first."""

_FORMATS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": "4:4:4"},
    ".png": {"format": "PNG"},
}
_LONGEST_CLIP = 10.5
"""Seconds; a clip of VGG-Sound has 10, and the 125th frame is no middle of a longer one."""
_MOST_MISSING = 0.5
"""Seconds by which the sound may be shorter than the file."""
_SHOWN = 10

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Rule:
    """How frames are chosen and stored."""

    frame: Fraction | str  # `middle`, or seconds after the first frame
    slot: int | None  # of the middle, as of `vssl.videos.frame_in_slot`
    suffix: str  # of frames, a key of `_FORMATS`
    sound: Fraction | None  # seconds of sound around the frame; None for all of it

    @property
    def described(self) -> dict[str, Any]:
        """The rule as `rule.json` keeps it."""
        middle = "of the video" if self.slot is None else f"frame {self.slot + 1}"
        chosen = f"middle ({middle} at 25 fps)" if self.frame == "middle" else float(self.frame)
        sound = f"{SAMPLE_RATE} Hz, mono, 16 bit"
        if self.sound is not None:
            sound += f", {float(self.sound):g} s around the frame"
        return {"frame": chosen, "image": _FORMATS[self.suffix], "sound": sound}


@dataclass
class Wanted:
    """What to make of a video: a frame, a sound, mostly both."""

    name: str  # the id of the video
    found: FoundVideo
    image: Path | None = None
    audio: Path | None = None
    seconds: Fraction | None = None  # of this frame; None: by the rule

    @property
    def files(self) -> list[Path]:
        """The files to make."""
        return [path for path in (self.image, self.audio) if path is not None]

    @property
    def is_made(self) -> bool:
        """Whether all of them are there."""
        return all(map(is_there, self.files))


class VideoTable(NamedTuple):
    """A table that names a video in each row, as texts by column."""

    path: Path | None  # None for rows that no file holds
    delimiter: str
    rows: list[dict[str, str]]


def rule_of(frame: float | str, sound: float | None, *, slot: int | None, suffix: str) -> Rule:
    """Return the rule for the options `frame`, `sound` and `data.image_suffix`."""
    if suffix not in _FORMATS:
        raise UsageError(f"data.image_suffix={suffix}: frames are written as .jpg or .png.")
    seconds = "middle" if frame == "middle" else Fraction(str(frame))
    return Rule(seconds, slot, suffix, None if sound is None else Fraction(str(sound)))


def _seconds(text: str) -> Fraction | None:
    """A number from 0; None for anything else."""
    try:
        seconds = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return seconds if seconds >= 0 else None


def place_annotation(annotation: str | None, root: Path) -> str | None:
    """Copy the file of `data.annotation` into the test set's folder; its name there."""
    if annotation is None:
        return None
    inside, elsewhere = root / annotation, Path(annotation).expanduser()
    if inside.is_relative_to(root) and inside.is_file():
        return annotation
    if not elsewhere.is_file():
        raise DataError(
            f"data.annotation={annotation}: no such file, neither in {root} nor in {Path.cwd()}."
        )
    known = [name for name in VGGSS.annotation_names if "/" not in name]
    copy = root / (elsewhere.name if elsewhere.name in known else known[0])
    if copy.exists():
        if copy.read_bytes() != elsewhere.read_bytes():
            raise DataError(f"{copy}: is there, and differs from {elsewhere}. Remove one of them.")
    else:
        root.mkdir(parents=True, exist_ok=True)
        with whole_file(copy) as partial:
            shutil.copyfile(elsewhere, partial)
        _log.info("copied %s to %s", elsewhere, copy)
    return copy.name


def prepare_listed(
    reader: DatasetReader,
    videos: Path,
    rule: Rule,
    *,
    force: bool = False,
    workers: int | None = None,
) -> Counter[str]:
    """Make frames and sounds of the samples that a reader lists; the number of videos by status.

    The names of a sample's image and sound are ids of videos.

    Raises:
        UsageError: before any work, for what was given; or in the end, unless the reader has
            `missing=skip`, when something is left out.
    """
    folder = VideoFolder(videos)
    samples = reader.listed()
    wanted: dict[str, Wanted] = {}
    needed: dict[str, list[str]] = {}
    for sample in samples:
        ids = sample.image_path.stem, sample.audio_path.stem
        needed[sample.sample_id] = list(ids)
        for name in ids:
            if name not in wanted:
                wanted[name] = Wanted(name, folder.find(name))
        wanted[ids[0]].image, wanted[ids[1]].audio = sample.image_path, sample.audio_path
    annotation, entries = reader.read_entries()
    if len(entries) != len(samples):
        _log.warning(
            "%s: %s of its %s entries are prepared; the others are not chosen, or repeat an id, or"
            " cannot be read, of which vssl-evaluate says more",
            annotation, f"{len(samples):,}", f"{len(entries):,}",
        )  # fmt: skip
    rows = _prepare(reader.root, wanted, rule, needed, force=force, workers=workers)
    return _conclude(reader.root, rows, needed, name=reader.name, skip=reader.missing == "skip")


def prepare_folder(
    root: Path,
    videos: Path,
    rule: Rule,
    *,
    annotation: str | None = None,
    force: bool = False,
    workers: int | None = None,
    skip: bool = False,
) -> Counter[str]:
    """Make frames and sounds of videos for `data=folder`, and the table of samples.

    Each row of a table, `annotation` or of a usual name, has a `video`, its place below the folder
    or its id, and may have a `time` in seconds after the first frame; its other columns are kept.
    Without a table there is a row for each video: its folder is its category, and boxes are left to
    the user.
    """
    table, folder = _find_table(root, annotation), VideoFolder(videos)
    if table is None:
        blank = dict.fromkeys(SAMPLE_COLUMNS, "")
        named = [{"video": each, "category": Path(each).parent.name} for each in folder.places()]
        table = VideoTable(None, ",", [blank | each for each in named])
    wanted: dict[str, Wanted] = {}
    for row in table.rows:
        place, time = row["video"].strip(), (row.get("time") or "").strip()
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise DataError(f"{table.path}: {place}: expected a place below {videos}.")
        time = time if table.delimiter == "," else time.replace(",", ".")
        found, seconds = folder.at(place), _seconds(time)
        if time and seconds is None:
            raise DataError(
                f"{table.path}: {place}: the time {time!r} is no number of seconds from 0."
            )
        name = place[: -len(Path(place).suffix)] if has_video_suffix(place) else place
        name += f"_{time}" if time else ""
        row["image"], row["audio"] = f"{FRAMES}/{name}{rule.suffix}", f"{SOUNDS}/{name}.wav"
        wanted[name] = Wanted(name, found, root / row["image"], root / row["audio"], seconds)
    needed = {name: [name] for name in wanted}
    made = _prepare(root, wanted, rule, needed, force=force, workers=workers)
    samples = _write_samples(root, table)
    return _conclude(root, made, needed, name=f"folder data.annotation={samples}", skip=skip)


def _find_table(root: Path, annotation: str | None) -> VideoTable | None:
    """Find the csv that names videos; None without any."""
    names = [VIDEOS_FILE, SAMPLES_FILE] if annotation is None else [annotation]
    for path in (root / Path(name).expanduser() for name in names):
        if annotation is None and not path.is_file():
            continue
        text, delimiter = read_text(path)
        try:
            reader = csv.DictReader(io.StringIO(text, newline=None), delimiter=delimiter)
            given = [(name, name.strip().lower()) for name in reader.fieldnames or ()]
            reader.fieldnames = [low if low in _TABLE_COLUMNS else name for name, low in given]
            rows = list(reader)
        except csv.Error as error:
            raise DataError(f"{path}: not readable as CSV ({error})") from error
        if rows and "video" in rows[0]:
            for number, row in enumerate(rows, start=1):
                if None in (*row, *row.values()) or not row["video"].strip():
                    raise DataError(
                        f"{path}: row {number} has no video, or a cell too few or many."
                    )
            return VideoTable(path, delimiter, rows)
        if annotation is not None or path.name == VIDEOS_FILE:
            raise DataError(f"{path}: has no rows with a column `video`, so nothing is prepared.")
    return None


def _write_samples(root: Path, table: VideoTable) -> str:
    """Write the table that `data=folder` reads, files first; its name."""
    first = ("image", "audio")
    columns = [*first, *(key for key in table.rows[0] if key not in (*first, "video", "time"))]
    rows = [{key: row[key] for key in columns} for row in table.rows]
    text, path = csv_text(columns, rows, delimiter=table.delimiter), root / SAMPLES_FILE
    is_taken = path.exists() and path.read_bytes() != text.encode()  # by a table of the user's
    if is_taken:
        path = root / f"prepared_{SAMPLES_FILE}"
    write_text(path, text)
    if table.path is not None:
        return path.name
    if is_taken:
        _log.info("%s stays as it is; %s has a row for each video", SAMPLES_FILE, path)
    else:
        _log.info(
            "%s has a row for each video: fill in boxes in pixels of the frame, and categories; a"
            " row without a box says that nothing in the picture sounds",
            path,
        )
    return SAMPLES_FILE


def _prepare(
    root: Path,
    wanted: Mapping[str, Wanted],
    rule: Rule,
    needed: Mapping[str, Sequence[str]],
    *,
    force: bool,
    workers: int | None,
) -> dict[str, dict[str, Any]]:
    """Make what is not there; the rows of the report. Samples are `needed` with their videos."""
    with output_folder(root), _alone_in(root):
        known = _settle_rule(root, wanted, rule, force=force)
        todo, rows = [], {}
        for name, each in wanted.items():
            there = each.is_made and name in known
            if each.found.path is not None and (force or not there):
                todo.append(each)
            elif there:
                rows[name] = {**known[name], "status": THERE}
            else:
                status = FAULTY if each.found.is_there else MISSING
                rows[name] = _row(each, OTHER if each.is_made else status, each.found.remark)
        others = [row for name, row in known.items() if name not in wanted]  # of other lists
        path = root / REPORT_FILE
        write_text(path, csv_text(COLUMNS, [*rows.values(), *others]))
        pool = ThreadPoolExecutor(workers or len(usable_cores()))
        try:
            with (
                path.open("a", encoding="utf-8", newline="") as file,
                progress_bar("preparing videos", len(todo)) as advance,
            ):
                report = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                for future in as_completed([pool.submit(_make, each, rule) for each in todo]):
                    row = future.result()
                    rows[row["id"]] = row
                    report.writerow(row)  # at once: a call that is killed is not for nothing
                    file.flush()
                    advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
        write_text(path, csv_text(COLUMNS, [*(rows[name] for name in wanted), *others]))
        write_text(root / IDS_FILE, "".join(f"{key}\n" for key in _complete(rows, needed)))
    return rows


def _complete(
    rows: Mapping[str, Mapping[str, Any]], needed: Mapping[str, Sequence[str]]
) -> list[str]:
    """Samples whose videos all gave what they were to give."""
    whole = {name for name, row in rows.items() if row["status"] in (MADE, THERE)}
    return [sample for sample, names in needed.items() if whole.issuperset(names)]


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Keep other preparations out of a folder, and clear what a killed one left."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / LOCK_FILE, blocking=False):
            for left in root.rglob("*.[0-9]*.partial"):
                left.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise UsageError(f"{root}: another vssl-prepare is writing there. Wait for it.") from error


def _settle_rule(
    root: Path, wanted: Mapping[str, Wanted], rule: Rule, *, force: bool
) -> dict[str, dict[str, Any]]:
    """Check the rule of what is there; rows of what earlier calls made by the same."""
    path = root / RULE_FILE
    there = {name for name, each in wanted.items() if any(map(is_there, each.files))}
    fault = "holds frames or sounds that vssl-prepare did not make" if there else ""
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            old, foreign = dict(known["rule"]), known.get("of_another_rule")
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}: not readable ({error}). Remove it, or the folder."
            ) from error
        made = _old_report(root)
        if old == rule.described:
            if foreign is None:
                return made
            # vssl 0.3.0 listed what is of another rule, and reported the last list alone
            whole = (each for name, each in wanted.items() if each.is_made and name not in foreign)
            return {each.name: _row(each, THERE) for each in whole} | made
        new = rule.described.items()
        changed = [f"{key} was {old.get(key)}, is {own}" for key, own in new if old.get(key) != own]
        fault = f"was prepared by another rule: {'; '.join(changed)}"
        there.update(made)
    if fault and not force:
        raise UsageError(
            f"{root}: {fault} ({len(there)} ids). Set another data.root, or force=true to make them"
            " again from their videos."
        )
    (root / REPORT_FILE).unlink(missing_ok=True)  # before the rule by which it would be read
    write_text(path, f"{json.dumps({'rule': rule.described}, indent=1)}\n")
    return {}


def _make(wanted: Wanted, rule: Rule) -> dict[str, Any]:
    """Make a frame and a sound; the row of the report."""
    video = wanted.found.path
    assert video is not None
    try:
        facts = video_facts(video)
        seconds = wanted.seconds if wanted.seconds is not None else rule.frame
        if isinstance(seconds, Fraction):
            picked = frame_at(facts, seconds)
        else:
            picked = frame_in_slot(facts, rule.slot)
        if picked.frame.is_damaged:
            raise VideoFileError(f"{video}: is damaged at the frame, {picked.frame.seconds:.3f} s.")
        pixels = picked.frame.pixels()
        samples = _sound_around(picked.frame, facts, rule) if wanted.audio else None
    except VideoFileError as error:
        return _row(wanted, FAULTY, str(error))
    for path in wanted.files:
        path.parent.mkdir(parents=True, exist_ok=True)
    notes = [wanted.found.remark]
    if facts.turned:
        notes.append(f"turned upright by {90 * facts.turned} degrees")
    if facts.pixel_aspect != 1:
        across, down = facts.pixel_aspect.as_integer_ratio()
        notes.append(f"pixels are {across}:{down}, and stay as they are stored")
    if picked.is_short:
        notes.append(f"{picked.slots} frames at 25 fps: the middle of them was taken")
    made = {
        "width": facts.width,
        "height": facts.height,
        "fps": f"{float(facts.rate):.3f}",
        "frame": picked.number,
        "frame_seconds": f"{picked.frame.seconds:.4f}",
    }
    if wanted.image is not None:
        with whole_file(wanted.image) as partial:
            Image.fromarray(pixels).save(partial, **_FORMATS[rule.suffix])
    if samples is not None and wanted.audio is not None:
        with whole_file(wanted.audio) as partial:
            soundfile.write(partial, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
        length = len(samples) / SAMPLE_RATE
        made["sound_seconds"] = f"{length:.4f}"
        if rule.slot is not None and length > _LONGEST_CLIP:
            notes.append(f"{length:.1f} s long, and a clip has 10: is it cut?")
        if rule.sound is None and length + _MOST_MISSING < facts.seconds:
            notes.append(f"{length:.1f} s of sound in a file of {facts.seconds:.1f} s")
    return _row(wanted, MADE, "; ".join(filter(None, notes))) | made


def _sound_around(frame: VideoFrame, facts: VideoFacts, rule: Rule) -> Samples:
    """The sound of a video, or as much around the frame as the rule says and there is."""
    sound = read_mono(facts.path)
    if rule.sound is None:
        return sound.samples
    middle = frame.seconds + facts.begin - sound.begin
    begin = round((middle - float(rule.sound) / 2) * SAMPLE_RATE)
    end = begin + round(rule.sound * SAMPLE_RATE)
    samples = sound.samples[max(begin, 0) : max(end, 0)]
    if not len(samples):
        raise VideoFileError(f"{facts.path}: has no sound around {frame.seconds:.3f} s.")
    return samples


def _row(wanted: Wanted, status: str, note: str = "") -> dict[str, Any]:
    video = str(wanted.found.path or "")
    known = {"id": wanted.name, "status": status, "video": video, "note": note}
    return dict.fromkeys(COLUMNS, "") | known


def _old_report(root: Path) -> dict[str, dict[str, Any]]:
    """Rows of ids that an earlier call made or found."""
    path = root / REPORT_FILE
    if not path.is_file():
        return {}
    whole = (row for row in csv_rows(path) if None not in (*row, *row.values()))
    return {row["id"]: row for row in whole if row.get("status") in (MADE, THERE)}


def _conclude(
    root: Path,
    rows: Mapping[str, Mapping[str, Any]],
    needed: Mapping[str, Sequence[str]],
    *,
    name: str,
    skip: bool,
) -> Counter[str]:
    """Say what was made and how to go on; raise where something is left out, unless it may be."""
    counts = Counter(str(row["status"]) for row in rows.values())
    whole, listed = len(_complete(rows, needed)), len(needed)
    words = [f"{counts[s]:,} {s}" for s in (MADE, THERE, MISSING, FAULTY, OTHER) if counts[s]]
    text = f"{root}: {whole:,} of {listed:,} ids have a frame and a sound"
    text += f" ({100 * whole / listed:.1f} %). Of {len(rows):,} videos: {', '.join(words)}"
    notes = [row for row in rows.values() if row["note"]]
    for row in notes[:_SHOWN]:
        text += f"\n  {row['id']} ({row['status']}): {row['note']}"
    if len(notes) > _SHOWN:
        text += f"\n  and {len(notes) - _SHOWN:,} more"
    text += f"\nEvery video is in {root / REPORT_FILE}, the ids that are whole in"
    text += f" {root / IDS_FILE}."
    command = f"vssl-evaluate model=NAME data={name} data.root={root}"
    if whole == listed:
        _log.info("%s\nGo on: %s", text, command)
        return counts
    if whole:
        text += f"\nGo on without the others: {command} data.missing=skip"
        text += f", or data.ids={root / IDS_FILE}"
    if not (skip and whole):
        raise DataError(f"{text}\nOr add what is missing and repeat the command: it goes on.")
    _log.warning("%s", text)
    return counts

"""What the live demo takes: pictures, videos and sounds within limits, and test set samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vssl.audio import clip_at, inspect_audio, read_clip
from vssl.audio.containers import opened_sound
from vssl.config.build import build_reader
from vssl.config.compose import composed_config
from vssl.config.settings import DataSettings
from vssl.core.errors import UsageError
from vssl.images import Pixels, decode_image, image_size, is_image, read_bytes
from vssl.localize.setup import Setup
from vssl.types import AudioClip, Sample
from vssl.videos import frame_at, video_facts

MOST_MEGABYTES = 50
MOST_MEGAPIXELS = 25
MOST_SECONDS = 60
"""Limits of what the page takes: size of a file, of a picture, and length of a sound or video."""

SCENES = 8
"""Samples of the embedded benchmark to choose from."""
_FOREIGN = 2  # sounds that are offered from other pictures


@dataclass(frozen=True)
class Sound:
    """A sound to choose, with a name that says whether its source is in the picture."""

    name: str
    path: Path


@dataclass(frozen=True)
class Given:
    """What is looked at: a picture, or a moment of a video, and the sounds to choose from."""

    picture: Path
    sounds: tuple[Sound, ...]
    chosen: int = 0
    video_seconds: float = 0.0  # 0 for an image
    second: float = 0.0
    note: str = ""

    @property
    def sound(self) -> Sound:
        """The sound that is judged."""
        return self.sounds[self.chosen]

    def choose(self, name: str) -> Given:
        """Choose a sound by its name."""
        return replace(self, chosen=[each.name for each in self.sounds].index(name))


@dataclass(frozen=True)
class Scene:
    """A picture of a test set, with the samples that show it."""

    name: str
    samples: tuple[Sample, ...]


def read_scenes(words: Sequence[str] = ()) -> list[Scene]:
    """Read the first pictures of a test set, `data=NAME data.root=DIR ...` as for vssl-evaluate.

    That is the embedded benchmark, which is drawn on first use, if nothing else is given.
    """
    embedded = not any(word.startswith("data=") for word in words)
    few = [f"data.scenes={SCENES}"] if embedded else ["data.limit=16"]
    config = composed_config("evaluate", [*few, *words])
    groups: dict[str, list[Sample]] = {}
    for sample in build_reader(DataSettings.of(config.data)).listed():
        groups.setdefault(sample.image_group or sample.sample_id, []).append(sample)
    scenes = []
    for number, samples in enumerate(list(groups.values())[:SCENES], start=1):
        names = dict.fromkeys(each.category.replace("_", " ") or "sound" for each in samples)
        scenes.append(Scene(f"{number}: {', '.join(names)}", tuple(samples)))
    return scenes


def of_scene(scenes: Sequence[Scene], place: int) -> Given:
    """Take a picture of a test set, with its own sounds and some of other pictures."""
    samples = scenes[place].samples
    own = [Sound(_named(each, "in the picture"), each.audio_path) for each in samples]
    return Given(samples[0].image_path, (*_distinct(own), *_foreign(scenes, place)))


def _named(sample: Sample, where: str) -> str:
    return f"{sample.category.replace('_', ' ') or sample.sample_id}, {where}"


def _distinct(sounds: Sequence[Sound]) -> list[Sound]:
    return list({sound.name: sound for sound in reversed(sounds)}.values())[::-1]


def _foreign(scenes: Sequence[Scene], place: int | None = None) -> list[Sound]:
    """Sounds of pictures after this one, of classes that it does not show."""
    shown: set[str] = set()
    if place is not None:
        shown = {name for each in scenes[place].samples for name in _classes(each)}
    begin = 0 if place is None else place + 1
    others = [each for scene in (*scenes[begin:], *scenes[:begin]) for each in scene.samples[:1]]
    sounds = [Sound(_named(each, "not in the picture"), each.audio_path)
              for each in others if shown.isdisjoint(_classes(each))]  # fmt: skip
    return _distinct(sounds)[:_FOREIGN]


def _classes(sample: Sample) -> set[str]:
    return {sample.category or sample.sample_id, *sample.image_categories}


def with_picture(given: Given, path: Path, scenes: Sequence[Scene]) -> Given:
    """Take another picture or video, by its content, and the sounds that go with it.

    Raises:
        UsageError: for a file that cannot be used, or is beyond the limits.
    """
    own = [each for each in given.sounds if each.name.startswith(_YOURS)]
    others = [*own, *_foreign(scenes)]
    if is_image(path):
        _check_pixels(path, *(image_size(path) or (0, 0)))
        decode_image(read_bytes(path), path)
        note = "" if own else "A picture has no sound: record or drop one, or choose one below."
        return Given(path, tuple(others), note=note)
    facts = video_facts(path)
    _check_pixels(path, facts.width, facts.height)
    if facts.seconds > MOST_SECONDS:
        raise _too_long(path, "the video")
    middle = round(facts.seconds / 2, 1)
    if not facts.has_sound:
        note = f"{path.name} has no sound of its own: record or drop one, or choose one below."
        return Given(path, tuple(others), 0, facts.seconds, middle, note)
    check_sound(path)
    return Given(path, (Sound(_VIDEOS, path), *others), 0, facts.seconds, middle)


_YOURS, _VIDEOS = "your sound", "the video's own sound"


def with_sound(given: Given, path: Path) -> Given:
    """Take a sound from a file, beside those that are there.

    Raises:
        UsageError: as `check_sound`.
    """
    check_sound(path)
    others = [each for each in given.sounds if not each.name.startswith(_YOURS)]
    return replace(
        given, sounds=(Sound(f"{_YOURS} ({path.name})", path), *others), chosen=0, note=""
    )


def check_sound(path: Path) -> None:
    """Check that a sound is whole and not too long; no more than the limit is decoded to see that.

    Raises:
        UsageError: otherwise, with the file and what to do.
    """
    try:
        with opened_sound(path) as sound:
            left = MOST_SECONDS * sound.rate
            for piece in sound.pieces:
                left -= piece.shape[1]
                if left < 0:
                    break
    except UsageError:
        left = 0  # `inspect_audio` says what is wrong, or knows the format
    if left < 0:
        raise _too_long(path, "the sound")
    inspect_audio(path)


def _check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > MOST_MEGAPIXELS * 1e6:
        raise UsageError(
            f"{path}: has {width} x {height} pixels, and this page takes at most {MOST_MEGAPIXELS}"
            " million. Make it smaller first."
        )


def _too_long(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path}: {what} is longer than {MOST_SECONDS} s. Cut it first: ffmpeg -i FILE -t"
        f" {MOST_SECONDS} part{path.suffix}"
    )


def read_given(setup: Setup, given: Given) -> tuple[Pixels, list[AudioClip]]:
    """Read picture and sounds, as vssl-localize does: of a video the sound around the moment.

    Raises:
        UsageError: for a file that cannot be used.
    """
    paths = [each.path for each in given.sounds]
    if not given.video_seconds:
        pixels = decode_image(read_bytes(given.picture), given.picture)
        return pixels, [read_clip(path, setup.rate) for path in paths]
    facts = video_facts(given.picture)
    frame = frame_at(facts, Fraction(given.second)).frame
    localizer, clips = setup.localizer, []
    window = localizer.frontend().window if localizer.uses_audio else None
    for path in paths:
        with opened_sound(path) as stream:
            shift = facts.begin - stream.begin if path == facts.path else 0.0
            samples = stream.resampled(setup.rate)
        clips.append(clip_at(samples, frame.seconds + shift, window, setup.rate)[1])
    return frame.pixels(), clips

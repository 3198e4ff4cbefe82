"""What the live demo takes: pictures, videos and sounds within limits, and test set samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

_SCENES = 8  # pictures of a test set to choose from
_FOREIGN = 2  # sounds of other pictures that are offered with a picture
_YOURS = "your sound"


@dataclass(frozen=True)
class Sound:
    """A sound to choose; its name says whether its source is in the picture, if that is known."""

    name: str
    path: Path


@dataclass(frozen=True)
class Given:
    """A picture, or a moment of a video, and the sounds to choose from."""

    picture: Path
    sounds: tuple[Sound, ...]
    chosen: int = 0
    note: str = ""
    is_video: bool = False
    seconds: float = 0.0  # length of the video
    second: float = 0.0  # the moment

    @property
    def sound(self) -> Sound:
        """The sound that is judged."""
        return self.sounds[self.chosen]

    def choose(self, name: str) -> Given:
        """Choose a sound by its name."""
        return replace(self, chosen=[each.name for each in self.sounds].index(name), note="")


def scene_samples(words: Sequence[str] = ()) -> list[list[Sample]]:
    """Read the first pictures of a test set with their samples, `data=NAME data.root=DIR ...`.

    Without `data=NAME` it is the embedded benchmark, which is drawn on first use.
    """
    embedded = not any(word.startswith("data=") for word in words)
    few = f"data.scenes={_SCENES}" if embedded else f"data.limit={2 * _SCENES}"
    config = composed_config("evaluate", [*words, few])
    groups: dict[str, list[Sample]] = {}
    for sample in build_reader(DataSettings.of(config.data)).listed():
        groups.setdefault(sample.image_group or sample.sample_id, []).append(sample)
    return list(groups.values())[:_SCENES]


def name_of(scene: Sequence[Sample], place: int) -> str:
    """Name of a picture: its number and what sounds in it."""
    return f"{place + 1}: {', '.join(dict.fromkeys(map(_class, scene)))}"


def _class(sample: Sample) -> str:
    return (sample.category or sample.sample_id).replace("_", " ")


def _where(sample: Sample) -> str:
    return "in the picture" if sample.boxes or sample.masks else "not in the picture"


def of_scene(scenes: Sequence[Sequence[Sample]], place: int) -> Given:
    """Take a picture of a test set, with its own sounds and some of other pictures."""
    scene = scenes[place]
    sounds = {f"{_class(each)}, {_where(each)}": each.audio_path for each in scene}
    shown = {name for each in scene for name in (each.category, *each.image_categories)}
    own = tuple(Sound(*each) for each in sounds.items())
    return Given(scene[0].image_path, (*own, *_foreign(scenes, place + 1, shown)))


def _foreign(
    scenes: Sequence[Sequence[Sample]], begin: int = 0, shown: Collection[str] = ()
) -> list[Sound]:
    """Sounds of the pictures from one on, of classes that are not shown."""
    found: dict[str, Path] = {}
    for sample, *_ in (*scenes[begin:], *scenes[:begin]):
        if not any(name in shown for name in (sample.category, *sample.image_categories)):
            found.setdefault(f"{_class(sample)}, not in the picture", sample.audio_path)
    return [Sound(*each) for each in list(found.items())[:_FOREIGN]]


def with_picture(given: Given, file: str | Path, scenes: Sequence[Sequence[Sample]]) -> Given:
    """Take another picture or video, with its own sound, the user's, and some of a test set.

    Raises:
        UsageError: for a file that cannot be used, or is beyond the limits.
    """
    path = Path(file)
    yours = [each for each in given.sounds if each.name.startswith(_YOURS)]
    new = Given(path, (*yours, *_foreign(scenes)))
    missing = "" if yours else f"{path.name} has no sound: record or drop one, or choose another."
    if is_image(path):
        _check_pixels(path, *(image_size(path) or (0, 0)))
        decode_image(read_bytes(path), path)
        return replace(new, note=missing)
    facts = video_facts(path)
    _check_pixels(path, facts.width, facts.height)
    if facts.seconds > MOST_SECONDS:
        raise _too_long(path)
    middle = round(facts.seconds / 2, 1)
    new = replace(new, is_video=True, seconds=facts.seconds, second=middle)
    if not facts.has_sound:
        return replace(new, note=missing)
    check_sound(path)
    return replace(new, sounds=(Sound("the video's own sound", path), *new.sounds))


def with_sound(given: Given, file: str | Path) -> Given:
    """Take the user's sound, beside those that are there.

    Raises:
        UsageError: as `check_sound`.
    """
    path = Path(file)
    check_sound(path)
    others = (each for each in given.sounds if not each.name.startswith(_YOURS))
    yours = Sound(f"{_YOURS}, {path.name}", path)
    return replace(given, sounds=(yours, *others), chosen=0, note="")


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
        raise _too_long(path)
    inspect_audio(path)


def _check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > MOST_MEGAPIXELS * 1e6:
        raise UsageError(
            f"{path}: has {width} x {height} pixels, and this page takes at most {MOST_MEGAPIXELS}"
            " million. Make it smaller first."
        )


def _too_long(path: Path) -> UsageError:
    return UsageError(
        f"{path}: is longer than {MOST_SECONDS} s. Cut it first: ffmpeg -i FILE -t {MOST_SECONDS}"
        f" part{path.suffix}"
    )


def read_given(setup: Setup, given: Given) -> tuple[Pixels, list[AudioClip]]:
    """Read picture and sounds as vssl-localize does: of a video the sound around the moment.

    Raises:
        UsageError: for a file that cannot be used.
    """
    paths = [each.path for each in given.sounds]
    if not given.is_video:
        pixels = decode_image(read_bytes(given.picture), given.picture)
        return pixels, [read_clip(path, setup.rate) for path in paths]
    facts = video_facts(given.picture)
    frame = frame_at(facts, Fraction(given.second)).frame
    window = setup.localizer.frontend().window if setup.localizer.uses_audio else None
    clips = []
    for path in paths:
        with opened_sound(path) as stream:
            shift = facts.begin - stream.begin if path == facts.path else 0.0
            samples = stream.resampled(setup.rate)
        clips.append(clip_at(samples, frame.seconds + shift, window, setup.rate)[1])
    return frame.pixels(), clips

"""vssl-localize on videos: what is heard, what is drawn, and what is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.conftest import write_tone
from tests.making_videos import make_video, read_sound, read_video
from tests.running import HEARS, Loudness
from vssl.commands import localize_output
from vssl.commands.localize_output import localize_video
from vssl.commands.localize_setup import LocalizeOptions, set_up
from vssl.errors import UsageError
from vssl.reporting.localize_figures import bar_height, frame_layer
from vssl.reporting.verdict import MapNumbers, Threshold
from vssl.types import POSITIVE, AudioClip

HEARD = (*(each for each in HEARS if not each.startswith("model=")), "trainer=cpu")
LIMIT = Threshold(0.25, "given", "given")


class Undefined(Loudness):
    """A model whose maps hold NaN."""

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return super().similarity(image_features, audio_features) * torch.nan


def localized(
    video: Path, output: Path, *, sound: Path | None = None, fps: float = 5.0, **options: Any
) -> dict[str, Any]:
    """localize.json of a video, with the small model that hears."""
    wanted = {"model": "ezvsl", "overrides": HEARD, "noise_draws": 2, **options}
    localize_video(video, sound, lambda: set_up(LocalizeOptions(**wanted)), output, fps=fps)
    content: dict[str, Any] = json.loads((output / "localize.json").read_text())
    return content


def test_a_drawn_video_has_the_frames_size_and_sound_of_the_video(tmp_path: Path) -> None:
    video = make_video(tmp_path / "video.mp4")
    found = localized(video, tmp_path / "out", threshold=0.01)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "localize.json", "localize.mp4", "localize.npz", "timeline.csv", "timeline.png",
    ]  # fmt: skip
    times, frames = read_video(video)
    drawn_times, drawn = read_video(tmp_path / "out" / "localize.mp4")
    np.testing.assert_allclose(drawn_times, times, atol=1e-4)
    assert drawn[0].shape == frames[0].shape
    lengths = [read_sound(each).shape[1] for each in (video, tmp_path / "out" / "localize.mp4")]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.05)
    assert found["frames"] == 10
    assert found["average_frame_rate"] == 10
    rows = pd.read_csv(tmp_path / "out" / "timeline.csv")
    assert len(rows) == 10 * 4
    np.testing.assert_allclose(rows["seconds"].unique(), np.arange(10) / 5)
    with np.load(tmp_path / "out" / "localize.npz") as arrays:
        assert arrays["similarity_map"].shape == (10, 4, 32, 32)
        largest = arrays["similarity_map"].max(axis=(2, 3))
    np.testing.assert_allclose(largest.ravel(), rows["native_largest"], rtol=1e-5)
    assert found["largest"] == pytest.approx(
        rows[rows["audio_condition"] == POSITIVE].largest.max()
    )
    with Image.open(tmp_path / "out" / "timeline.png") as figure:
        assert figure.width == 1100


def test_pixels_change_where_the_map_is_high(tmp_path: Path) -> None:
    """`center` has its Gaussian in the middle: there its colour hides the picture."""
    video = make_video(tmp_path / "video.mp4", size=(240, 160))
    localized(video, tmp_path / "out", model="center", overrides=("trainer=cpu",), threshold=0.9)
    _, frames = read_video(video)
    _, drawn = read_video(tmp_path / "out" / "localize.mp4")
    change = np.abs(np.stack(drawn).astype(int) - np.stack(frames).astype(int)).mean(axis=(0, 3))
    assert change[70:90, 110:130].mean() > 4 * change[10:30, 10:30].mean()
    bar = np.stack(drawn)[:, -bar_height(160) + 6 :].mean(axis=(1, 2, 3))
    assert (bar < 90).all(), "the bar is dark"
    middle = np.stack(drawn)[:, 70:90, 110:130]
    assert (middle[..., 0].astype(int) - middle[..., 2]).mean() > 60, "inferno is yellow when high"


def test_each_distinct_frame_and_sound_is_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound shorter than what EZ-VSL hears is the same around every frame."""
    from vssl.engine.localizer import Localizer

    heard: list[int] = []
    seen: list[int] = []
    encode, localize = Localizer.encode_sounds, Localizer.localize

    def encode_sounds(self: Localizer, clips: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        heard.append(len(clips))
        return encode(self, clips, *args, **kwargs)

    def counted(self: Localizer, pictures: Any, *args: Any) -> Any:
        seen.append(len(pictures))
        return localize(self, pictures, *args)

    monkeypatch.setattr(Localizer, "encode_sounds", encode_sounds)
    monkeypatch.setattr(Localizer, "localize", counted)
    video = make_video(tmp_path / "video.mkv", sound_codec="pcm_s16le", rate=16_000)
    overrides = (*HEARD, "loader.batch_size=4")
    localized(video, tmp_path / "short", threshold=0.1, overrides=overrides, fps=math.inf)
    assert seen == [4] * 5
    assert sum(heard) == 1 + 1 + 2, "the sound, silence and two noises"
    seen.clear()
    heard.clear()
    overrides = (*overrides, "model.frontend.window.seconds=1")
    localized(video, tmp_path / "long", threshold=0.1, overrides=overrides, fps=math.inf)
    assert sum(seen) == 20
    # half a second at either end hears the same second: frames 0 to 5 and 15 to 19
    assert sum(heard) == 20 - 5 - 4 + 1 + 2


def test_a_frame_hears_the_sound_around_it(tmp_path: Path) -> None:
    """The maps are those of the frame as an image with that part of the sound as a clip."""
    video = make_video(tmp_path / "video.mkv", codec="ffv1", sound_codec="pcm_s16le", rate=16_000)
    overrides = (*HEARD, "model.frontend.window.seconds=1")
    localized(video, tmp_path / "out", overrides=overrides, fps=math.inf)
    with np.load(tmp_path / "out" / "localize.npz") as arrays:
        found = arrays["similarity_map"]
    setup = set_up(LocalizeOptions("ezvsl", overrides=overrides, noise_draws=2))
    sound = read_sound(video)
    _, frames = read_video(video)
    for number, first in ((0, 0), (8, 4_800), (12, 11_200), (19, 16_000)):
        clip = AudioClip(np.ascontiguousarray(sound[:, first : first + 16_000]))
        vector = setup.localizer.encode_sounds([clip])
        picture = setup.localizer.prepare(frames[number], "frame")
        expected = setup.localizer.localize([picture], vector[None], [(POSITIVE, 0)])
        np.testing.assert_allclose(found[number, 0], expected.similarity[0, 0].numpy(), atol=1e-5)


def test_another_sound_is_heard_and_kept(tmp_path: Path) -> None:
    video = make_video(tmp_path / "silent.mp4", sound_codec=None)
    with pytest.raises(UsageError, match=r"silent\.mp4: has no sound. Give one behind it"):
        localized(video, tmp_path / "out")
    write_tone(tmp_path / "other.wav", hertz=880, seconds=5.0)
    found = localized(video, tmp_path / "out", sound=tmp_path / "other.wav", threshold=0.1)
    assert found["sound"]["file"] == "other.wav"
    sound = read_sound(tmp_path / "out" / "localize.mp4")[0]
    assert len(sound) / 16_000 == pytest.approx(2.0, abs=0.2), "cut where the video ends"
    peak = np.argmax(np.abs(np.fft.rfft(sound))) * 16_000 / len(sound)
    assert peak == pytest.approx(880, abs=5)


@pytest.mark.parametrize(
    ("name", "options", "frames", "size"),
    [
        ("odd.mkv", {"codec": "ffv1", "size": (97, 65), "sound_codec": "pcm_s16le"}, 10, (98, 66)),
        ("variable.mp4", {"ticks": [0, 1, 5, 6, 7, 15]}, 4, (96, 64)),
        ("turned.mp4", {"turned": -90}, 10, (64, 96)),
        ("late.ts", {"sound_codec": "mp2", "start": 30}, 10, (96, 64)),
        ("one.mp4", {"ticks": [0]}, 1, (96, 64)),
    ],
)
def test_unusual_videos(
    tmp_path: Path, name: str, options: dict[str, Any], frames: int, size: tuple[int, int]
) -> None:
    video = make_video(tmp_path / name, **options)
    found = localized(video, tmp_path / "out", threshold=0.1)
    assert found["frames"] == frames
    _, drawn = read_video(tmp_path / "out" / "localize.mp4")
    assert drawn[0].shape[1::-1] == size
    assert len(drawn) == len(read_video(video)[1])


def test_a_video_that_takes_too_much_memory_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localize_output, "_MOST_MEMORY", 1e5)
    video = make_video(tmp_path / "video.mp4")
    with pytest.raises(UsageError, match=r"10 frames with 4 maps of 32 x 32.*--fps 1.*ffmpeg -ss"):
        localized(video, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_leaves_no_half_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError("stop")

    monkeypatch.setattr(localize_output, "frame_layer", fail)
    with pytest.raises(RuntimeError, match="stop"):
        localized(make_video(tmp_path / "video.mp4"), tmp_path / "out", threshold=0.1)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"localize.npz", "timeline.csv", "timeline.png"}


def test_without_a_video_only_figures_are_drawn(tmp_path: Path) -> None:
    video = make_video(tmp_path / "video.mp4")
    wanted = LocalizeOptions("ezvsl", overrides=HEARD, noise_draws=1)
    verdict = localize_video(
        video, None, lambda: set_up(wanted), tmp_path / "out", fps=5, draw_video=False
    )
    assert verdict.localized is None
    assert "--calibration RUN" in verdict.words
    assert not (tmp_path / "out" / "localize.mp4").exists()


def test_maps_that_hold_nan_give_no_verdict(tmp_path: Path) -> None:
    video = make_video(tmp_path / "video.mp4")
    overrides = (*HEARD, "model._target_=tests.test_localize_video.Undefined")
    found = localized(video, tmp_path / "out", threshold=0.1, overrides=overrides)
    assert found["verdict"]["localized"] is None
    assert found["verdict"]["words"] == "no verdict is possible: the maps hold NaN"
    assert found["largest"] is None
    assert (tmp_path / "out" / "localize.mp4").is_file()


def test_values_above_the_threshold_are_outlined() -> None:
    localization = torch.zeros(224, 224)
    localization[60:120, 80:160] = 0.5
    frame = np.full((224, 224, 3), 100, np.uint8)
    numbers = [MapNumbers(POSITIVE, 0, 0.5, 0.0, 0.5, 0.0, 0.1)]
    factor, summand = frame_layer(
        localization, numbers, size=(224, 224), bounds=(0.0, 1.0), threshold=LIMIT, judged=True
    )
    drawn = (frame * factor + summand).astype(np.uint8)
    assert (drawn[60, 85:155] == 255).all(), "white just inside"
    assert (drawn[59, 85:155] == 0).all(), "black just outside"
    assert len(np.unique(drawn[70:110, 90:150].reshape(-1, 3), axis=0)) == 1
    kept = drawn[150:200].astype(int)
    assert np.abs(kept - 75).max() <= 1, "where a map is lowest, 3/4 of the picture and black"


@pytest.mark.parametrize("size", [(64, 48), (200, 112), (320, 240), (1920, 1080)])
@pytest.mark.parametrize("marked", [0.0, 0.2])
def test_bars_fit_any_width(size: tuple[int, int], marked: float) -> None:
    numbers = [
        MapNumbers(POSITIVE, 0, 0.1 + marked, 0.0, 0.1, 0.0, marked),
        MapNumbers("silence", 0, 0.3, 0.0, 0.3, 0.0, 0.1),
    ]
    factor, summand = frame_layer(
        torch.zeros(224, 224), numbers, size=size[::-1], bounds=(0.0, 1.0), threshold=LIMIT,
        judged=True,
    )  # fmt: skip
    bar = summand[-bar_height(size[1]) :]
    assert (factor[-bar_height(size[1]) :] == 0).all()
    if size[0] >= 200:
        text = bar[bar_height(size[1]) // 3 :]
        assert text.max() > 200, "there are words"
        assert text[:, -2:].max() < 40, "which end before the frame does"
    ticks = np.flatnonzero((bar[0] == 255).all(axis=1))
    assert abs(ticks.mean() - 0.25 * (size[0] - 1)) < 2, "the threshold on the gauge"

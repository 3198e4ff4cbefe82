"""The live demo: the numbers of vssl-localize, its limits, and the page in a real browser."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from tests.helpers.browser import chromium, complaints, requested, resize
from tests.helpers.localizing import make_video
from tests.helpers.running import command
from vssl.config.compose import bundled_weights
from vssl.core.errors import UsageError
from vssl.core.extras import MissingExtraError
from vssl.demo import drawing
from vssl.demo.inputs import of_scene, scene_samples, with_picture, with_sound
from vssl.demo.studio import Shown, Studio
from vssl.localize.image import localize_image
from vssl.localize.setup import LocalizeOptions
from vssl.localize.verdict import UNKNOWN
from vssl.localize.video import localize_video
from vssl.types import POSITIVE, Sample

HOST, MODEL, POLICY = "127.0.0.1", "tiny_san", "universal_q3"


@pytest.fixture(scope="module")
def studio(common_folder: Path) -> Iterator[Studio]:
    """A studio that keeps what it has computed over the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSSL_CACHE", str(common_folder / "cache"))
        yield Studio(LocalizeOptions(MODEL, overrides=("trainer=cpu",)))


@pytest.fixture(scope="module")
def scenes(studio: Studio) -> list[list[Sample]]:
    """Pictures of the embedded benchmark to choose from."""
    return scene_samples()


@pytest.fixture(scope="module")
def address(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page of a `vssl demo` that runs meanwhile."""
    pytest.importorskip("gradio", reason="needs gradio: pip install 'vssl[demo]'")
    studio.tuned(MODEL)  # whose calibration the command shares
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    uploads = tmp_path_factory.mktemp("uploads")
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "model").mkdir()
    (plugins / "model" / "mine.yaml").write_text("defaults: [tiny_av, _self_]\nname: mine\n")
    started = [sys.executable, "-m", "vssl.cli.main", "demo", "--port", str(port), "trainer=cpu",
               "--config-dir", str(plugins)]  # fmt: skip
    with subprocess.Popen(
        started, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(uploads)}
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith(f"vssl demo: http://{HOST}:{port}"), line
        yield line.split()[2]
        server.send_signal(signal.SIGTERM)  # as Ctrl-C
        assert server.wait(30) == 0
    left = {path.name for path in uploads.iterdir()}
    assert not [name for name in left if "demo" in name or "gradio" in name]


def check_same(shown: Shown, found: dict[str, object], numbers: list[dict[str, object]]) -> None:
    """Compare what the page shows with `localize.json` and the numbers of its maps."""
    verdict = found["verdict"]
    assert isinstance(verdict, dict)
    assert shown.verdict.words == verdict["words"]
    assert list(shown.verdict.warnings) == verdict["warnings"]
    assert list(shown.verdict.errors) == verdict["errors"]
    highest: dict[str, float] = {}
    for each in numbers:
        name, value = str(each["condition"]), float(str(each["largest"]))
        highest[name] = max(highest.get(name, -math.inf), value)
    for card in shown.cards:
        if card.numbers.condition != POSITIVE or card.numbers.draw == 0:
            largest = highest.pop(card.numbers.condition)
            assert card.numbers.largest == pytest.approx(largest, abs=1e-6)
    assert not highest


@pytest.mark.parametrize(("scene", "sound", "given"), [
    (5, 2, {"false_alarms": 0.05}), (0, 1, {"threshold": 0.4}),
])  # fmt: skip
def test_numbers_are_those_of_vssl_localize(
    tmp_path: Path, studio: Studio, scenes: list[list[Sample]], scene: int, sound: int,
    given: dict[str, object],
) -> None:  # fmt: skip
    looked = replace(of_scene(scenes, scene), chosen=sound)
    choice = given.get("threshold", "false_alarm_5" if "false_alarms" in given else POLICY)
    shown = studio.show(MODEL, looked, choice)  # type: ignore[arg-type]
    wanted = replace(studio.tuned(MODEL).options, **given)  # type: ignore[arg-type]
    localize_image(looked.picture, looked.sound.path, wanted, tmp_path)
    found = json.loads((tmp_path / "localize.json").read_text())
    check_same(shown, found, found["maps"])
    marked = found["maps"][0]["marked"]
    assert shown.cards[0].numbers.marked == pytest.approx(marked)
    page = drawing.result_html(shown)
    assert page.count("<figure ") == 1 + len(shown.cards) == 1 + len(looked.sounds) + 2
    assert all(word in page for word in ("of 80 maps of 40 images", "synthetic_validation"))


def test_numbers_of_a_video_are_those_of_vssl_localize(
    tmp_path: Path, studio: Studio, scenes: list[list[Sample]]
) -> None:
    video = make_video(tmp_path / "clip.mp4", size=(224, 160))
    given = with_picture(of_scene(scenes, 0), video, scenes)
    assert (given.second, given.sound.path) == (1.0, video)
    shown = studio.show(MODEL, given, POLICY)
    localize_video(video, None, studio.tuned(MODEL).options, tmp_path, fps=10, draw_video=False)
    with np.load(tmp_path / "localize.npz") as arrays:
        place = int(np.argmin(abs(arrays["seconds"] - 1.0)))
        native = arrays["similarity_map"][place]
    similarity = shown.looked.native.similarity[: shown.looked.own].numpy()
    np.testing.assert_allclose(similarity, native, atol=1e-5)


def test_a_threshold_that_moves_computes_no_map_anew(
    studio: Studio, scenes: list[list[Sample]]
) -> None:
    given = of_scene(scenes, 3)
    assert studio.show(MODEL, given, 0.98766).slider == (0.0, 0.9877, 0.9877)
    before = studio.show(MODEL, given, POLICY)
    misses = studio.look.cache_info().misses
    every, nothing = (studio.show(MODEL, given, value) for value in (-1.0, 1.0))
    assert studio.look.cache_info().misses == misses
    assert [card.numbers.marked for card in every.cards] == [1.0] * len(before.cards)
    assert [card.overlap for card in every.cards[1:]] == [1.0] * (len(before.cards) - 1)
    assert not any(card.numbers.points or card.overlap for card in nothing.cards)
    assert every.setup.rates is not None
    assert every.setup.rates.misses is not None
    assert every.setup.rates.misses.rate == 0


def test_without_a_calibration_run_rates_are_unknown(
    tmp_path: Path, scenes: list[list[Sample]]
) -> None:
    weights = shutil.copy(bundled_weights(MODEL), tmp_path / "own.safetensors")
    own = Studio(LocalizeOptions(MODEL, Path(weights), overrides=("trainer=cpu",)))
    assert list(own.tuned(MODEL).policies) == ["fixed"]
    shown = own.show(MODEL, of_scene(scenes, 0), "fixed")
    assert UNKNOWN[1:] in drawing.result_html(shown).replace("&#x27;", "'")


def _text(path: Path) -> None:
    path.write_text("no picture")


def _cut(path: Path) -> None:
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-900])


def _huge(path: Path) -> None:
    Image.new("1", (9000, 9000)).save(path)


def _bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def _sound(path: Path, seconds: float = 1.0, value: float = 0.1) -> None:
    samples = np.full(round(16_000 * seconds), value, np.float32)
    soundfile.write(path, samples, 16_000, subtype="FLOAT" if math.isnan(value) else None)


def _half_a_sound(path: Path) -> None:
    _sound(path)
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize(("name", "write", "take", "message"), [
    ("text.png", _text, "picture", "not readable as image, video or sound"),
    ("cut.jpg", _cut, "picture", "not decodable as an image"),
    ("huge.png", _huge, "picture", "has 9000 x 9000 pixels, and this page takes at most 25"),
    ("bomb.png", _bomb, "picture", "exceeds limit"),
    ("empty.jpg", Path.touch, "picture", "not readable"),
    ("sound.wav", _sound, "picture", "holds no pictures, only sound"),
    ("empty.wav", Path.touch, "sound", "not readable as audio"),
    ("none.wav", lambda path: _sound(path, 0), "sound", "holds no samples"),
    ("nan.wav", lambda path: _sound(path, value=math.nan), "sound", "holds NaN"),
    ("cut.wav", _half_a_sound, "sound", "is cut off"),
    ("long.flac", lambda path: _sound(path, 61), "sound", "is longer than 60 s. Cut it first"),
    ("<b>.wav", _text, "sound", "not readable as audio"),
])  # fmt: skip
def test_files_that_are_refused(
    tmp_path: Path, scenes: list[list[Sample]], name: str, write: Callable[[Path], None], take: str,
    message: str,
) -> None:  # fmt: skip
    path, given = tmp_path / name, of_scene(scenes, 0)
    write(path)
    with pytest.raises(UsageError, match=message) as caught:
        with_picture(given, path, scenes) if take == "picture" else with_sound(given, path)
    shown = drawing.error_html(caught.value, [path])
    escaped = name.replace("<", "&lt;").replace(">", "&gt;")
    assert f">{escaped}: " in shown
    assert str(tmp_path) not in shown
    assert "write this one anew" in shown


def test_a_video_without_sound_takes_another_and_says_so(
    tmp_path: Path, scenes: list[list[Sample]], studio: Studio
) -> None:
    video = make_video(tmp_path / "mute.mp4", sound_codec=None)
    given = with_picture(of_scene(scenes, 0), video, scenes)
    assert given.note.startswith("mute.mp4 has no sound: record or drop one")
    _sound(tmp_path / "mine.wav")
    given = with_sound(given, tmp_path / "mine.wav")
    assert given.sound.name == "your sound, mine.wav"
    assert not given.note
    assert studio.show(MODEL, given, POLICY).cards[0].name == given.sound.name


def test_sounds_of_a_test_set_are_named_by_where_their_source_is(
    tmp_path: Path, scenes: list[list[Sample]]
) -> None:
    rows = ["image,audio,x0,y0,x1,y1,category"]
    for number, box in enumerate(("1,2,30,40", ",,,")):  # without a box nothing there sounds
        (sample, *_), name = scenes[number], f"{number}{scenes[number][0].image_path.suffix}"
        shutil.copy(sample.image_path, tmp_path / name)
        shutil.copy(sample.audio_path, tmp_path / f"{number}.wav")
        rows.append(f"{name},{number}.wav,{box},class_{number}")
    (tmp_path / "samples.csv").write_text("\n".join(rows))
    own = scene_samples(["data=folder", f"data.root={tmp_path}"])
    sounds = [[each.name for each in of_scene(own, place).sounds] for place in range(2)]
    assert sounds[0] == ["class 0, in the picture", "class 1, not in the picture"]
    assert sounds[1] == ["class 1, not in the picture", "class 0, not in the picture"]


def test_a_misspelt_name_is_named_with_the_nearest(tmp_path: Path) -> None:
    refused = command("vssl-demo", "--model", "tiny_sna", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: Expected `model` to be one of acl, ")
    assert refused.stderr.endswith("but got `tiny_sna`. Did you mean `tiny_san`?\n")
    with pytest.raises(UsageError, match=r"but got `fodler`\. Did you mean `folder`"):
        scene_samples(["data=fodler"])


def test_the_command_says_how_to_install_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "vssl.demo.page", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'vssl\[demo\]'"):
        __import__("vssl.demo.page")


def test_the_server_is_for_this_machine_and_gives_no_files(address: str, tmp_path: Path) -> None:
    assert address.startswith(f"http://{HOST}:")
    with pytest.raises(ConnectionRefusedError):  # any other address of this machine
        socket.create_connection(("127.0.0.2", int(address.rstrip("/").rpartition(":")[2])), 5)
    for path in (Path(__file__).resolve(), Path("setup.cfg").resolve(), Path("/etc/hostname"),
                 Path("../../etc/hostname")):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            urllib.request.urlopen(f"{address}gradio_api/file={path}")
    for path, sent in (("", {"Host": "rebound.example"}), ("", {"Host": "x[y"}),
                       ("", {"Origin": "http://other.example"}), ("", {"Origin": "null"}),
                       (f"gradio_api/file={address}", {})):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(urllib.request.Request(address + path, headers=sent))
        assert refused.value.read() == b"This page is for this machine alone."
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../a"\r\n\r\n'
    for size, accepted in ((1000, True), (50 * 1024**2 + 1, False)):
        request = urllib.request.Request(
            f"{address}gradio_api/upload", head + b"0" * size + b"\r\n--x--\r\n",
            {"Content-Type": "multipart/form-data; boundary=x"},
        )  # fmt: skip
        if accepted:
            (stored,) = json.load(urllib.request.urlopen(request))
            assert Path(stored).is_relative_to(Path(stored).parents[1])
            assert ".." not in stored
        else:
            with pytest.raises(urllib.error.HTTPError, match="413"):
                urllib.request.urlopen(request)


class Screen:
    """The page in a browser."""

    def __init__(self, driver: WebDriver, address: str) -> None:
        self.driver = driver
        driver.get(address)
        self.wait(lambda: len(self.all(".maps figure")) > 2)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def wait(self, done: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(Exception):  # elements that are replaced at this moment
                if done():
                    return
            time.sleep(0.05)
        pytest.fail(f"not within {seconds} s; the page shows:\n{self.text('body')}")

    def after(self, action: Callable[[], object]) -> str:
        """Do something, and return the verdict when it has changed."""
        before = self.text("#result section")
        action()
        self.wait(lambda: self.text("#result section") not in ("", before))
        return self.text("#result section")


def test_the_page_in_a_browser(address: str, tmp_path: Path) -> None:
    """A sound, a threshold and a sample that change; a file that is refused; and a phone."""
    with chromium(tmp_path / "profile") as driver:
        resize(driver, 1280, 900)
        screen = Screen(driver, address)
        assert screen.text("#result .verdict").startswith("Localized: marks ")
        images = [each.get_attribute("src") for each in screen.all(".maps img")]
        sounds = screen.all("#sounds input")
        verdict = screen.after(sounds[2].click)
        assert verdict.startswith("Nothing here makes this sound")
        assert images != [each.get_attribute("src") for each in screen.all(".maps img")]
        slider = driver.find_element(By.CSS_SELECTOR, "#threshold input[type=range]")
        verdict = screen.after(lambda: slider.send_keys(Keys.HOME))
        assert "exceeds 0.00, given)" in verdict
        assert not screen.all("#policy input:checked")
        policy = screen.all("#policy input")[1]
        assert "false_alarm_5" in screen.after(policy.click)
        scene = screen.all("#scenes input")[6]
        other = screen.after(lambda: scene.send_keys(Keys.SPACE))
        assert "false_alarm_5" in other
        bad = tmp_path / "bad.png"
        bad.write_text("text")
        chosen = driver.find_element(By.CSS_SELECTOR, "#file input[type=file]")
        alert = screen.after(lambda: chosen.send_keys(str(bad)))
        assert alert.startswith("bad.png: not readable")
        assert "Give another file" in alert
        assert "Traceback" not in screen.text("body")
        again = screen.after(screen.all("#scenes input")[1].click)
        assert "exceed" in again
        driver.find_element(By.CSS_SELECTOR, "#model input").click()
        screen.wait(lambda: len(screen.all("[role=option]")) > 3)
        options = {each.text.split()[-1]: each for each in screen.all("[role=option]")}
        assert list(options)[:3] == ["tiny_san", "tiny_av", "tiny_deaf"]
        assert {"mine", "audio_blind"} < set(options)
        assert not {"oracle", "deaf_best", "stored", "ezvsl"} & set(options)
        assert "Setting up audio_blind" in screen.after(options["audio_blind"].click)
        screen.wait(lambda: "model audio_blind" in screen.text("#result"))
        # as it is deaf; the page may be replacing what it shows
        screen.wait(lambda: len({each.text for each in screen.all(".maps figure em")}) == 1)
        screen.wait(lambda: len({e.get_attribute("src") for e in screen.all(".maps img")}) == 2)
        focused = [_tab(driver) for _ in range(36)]
        assert [each for each in dict.fromkeys(focused) if each in _ORDER] == _ORDER
        resize(driver, 390, 844, dark=True)
        screen = Screen(driver, address)
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
        (columns,) = driver.execute_script(
            "return [getComputedStyle(document.querySelector('.maps')).gridTemplateColumns]"
        )
        assert len(columns.split()) == 2
        # the browser's own pages, and pictures within the page, have no host
        asked = map(urllib.parse.urlsplit, requested(driver))
        hosts = {url.hostname for url in asked if url.scheme in ("http", "https", "ws", "wss")}
        assert hosts == {HOST}
        assert not [each for each in complaints(driver) if "net::" in each]


_ORDER = ["sounds", "threshold", "policy", "file", "audio"]


def _tab(driver: WebDriver) -> str:
    """Press Tab, and return the name of the component that has the focus."""
    driver.switch_to.active_element.send_keys(Keys.TAB)
    found = driver.execute_script(
        "const names = arguments[0]; for (let e = document.activeElement; e; e = e.parentElement)"
        " if (names.includes(e.id)) return e.id; return ''",
        _ORDER,
    )
    return str(found)

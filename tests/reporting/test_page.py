"""The report's page, in a browser: what it shows is what vssl measured, and it works by hand."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.helpers.browser import chromium, complaints, requested, resize
from tests.helpers.drawn import CATEGORIES, draw_vggss
from tests.helpers.running import HEARS, Loudness, guided_by, run
from vssl.maps import consensus_map, encode_mask, object_guided, stretch, transform_maps, upsample
from vssl.reporting.collection import Collection, ReportRun, collect
from vssl.reporting.figures.samples import read_scenes
from vssl.reporting.figures.style import Figure
from vssl.reporting.page.gallery import choose
from vssl.reporting.page.media import (
    IMAGE_SIDE,
    PLAYED_SECONDS,
    figure_address,
    figure_size,
    small_clip,
    small_image,
)
from vssl.reporting.page.page import write_page
from vssl.reporting.tables.paper import write_tables

POLICY = "universal_q3"
USUAL = "fixed"  # at which the gallery opens
SIZE = 224


class Clipped(Loudness):
    """A model with a post-processing."""

    value_range: ClassVar[Any] = (-math.inf, math.inf)
    map_transform = "stretch_and_clip"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, prior_file: Path) -> Path:
    """Runs of two models with and without OGL, of a baseline, and of the released protocol."""
    root = tmp_path_factory.mktemp("outputs")
    data = ("data=vggss", f"data.root={draw_vggss(root / 'vggss')}")
    few = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
    guided = guided_by(prior_file)
    clipped = (
        *HEARS,
        "model.name=clipped",
        "model._target_=tests.reporting.test_page.Clipped",
    )
    run(root / "runs/loudness", *HEARS, *data, *few, *guided)
    run(root / "runs/clipped", *clipped, *data, *few, *guided)
    run(root / "runs/blind", "model=audio_blind", *data, *few)
    run(root / "runs/released", *HEARS, *data, *few, "protocol=released")
    return root


@pytest.fixture(scope="module")
def collection(outputs: Path) -> Collection:
    return collect([outputs / "runs"])


@pytest.fixture(scope="module")
def page(outputs: Path, collection: Collection) -> Path:
    return report(collection, outputs / "report", gallery=3)


@pytest.fixture(scope="module")
def samples(collection: Collection) -> list[str]:
    """Those in the page's gallery of the first test."""
    return list(choose(collection.groups[0], 3, policy=USUAL)["sample_id"])


def report(collection: Collection, output: Path, **options: Any) -> Path:
    """The page with its tables and a figure for each group."""
    output.mkdir(parents=True, exist_ok=True)
    figures = {}
    for group in collection.groups:
        paths = [output / f"{group.name}.{suffix}" for suffix in ("svg", "png")]
        paths[0].write_text('<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"/>')
        Image.new("RGB", (900, 300)).save(paths[1])
        figures[group.name] = [Figure("curve", "A curve", "Of a test.", *paths)]
    tables = {group.name: write_tables(group, output) for group in collection.groups}
    return write_page(collection, output, figures=figures, tables=tables, **options)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def opened(driver: Chrome, page: Path) -> Chrome:
    """The page, fresh, in a window that holds all of its cards, with all unfolded."""
    resize(driver, 1280, 9000)
    driver.get(page.as_uri())
    unfold(driver)
    driver.find_element(By.ID, "baselines").click()
    settle(driver)
    return driver


@pytest.fixture
def script(driver: Chrome, page: Path, request: pytest.FixtureRequest) -> Chrome:
    """The same page as an earlier test left it."""
    if driver.current_url != page.as_uri():
        request.getfixturevalue("opened")
    return driver


def unfold(driver: Chrome) -> None:
    """Open all that is folded."""
    driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")


def waiting(driver: Chrome, seconds: float) -> WebDriverWait[Chrome]:
    """Looks often."""
    return WebDriverWait(driver, seconds, poll_frequency=0.05)


def settle(driver: Chrome) -> None:
    """Wait until every card in the gallery is drawn as the controls say."""
    waiting(driver, 20).until(
        lambda d: d.execute_script(
            "const cards = [...document.querySelectorAll('.card')];"
            " return cards.every((card) => card.querySelector('.numbers')"
            " && [...card.querySelectorAll('td:not([hidden]) .numbers')]"
            ".every((n) => n.firstChild))"
        )
    )
    frames = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    driver.execute_async_script(f"const done = arguments; {frames.replace('arguments', 'done')}")


def choose_option(driver: Chrome, name: str, value: str) -> None:
    Select(driver.find_element(By.ID, name)).select_by_value(value)
    settle(driver)


def text_of(driver: Chrome, name: str) -> str:
    return str(driver.find_element(By.ID, name).text)


def shown_numbers(driver: Chrome) -> pd.DataFrame:
    """pIA and cIoU below every map: sample, condition, place of the model, and both numbers."""
    rows = driver.execute_script(
        """return [...document.querySelectorAll('.card td[data-condition]')].map((cell) => ({
            sample_id: cell.closest('.card').dataset.sample, condition: cell.dataset.condition,
            model: Number(cell.dataset.model), pia: Number(cell.querySelector('.pia').value),
            ciou: Number(cell.querySelector('.ciou').value)}))"""
    )
    return pd.DataFrame(rows)


def canvas_pixels(driver: Chrome, sample_id: str, condition: str, model: int) -> np.ndarray:
    """The drawn map `[224, 224, 3]`."""
    flat = driver.execute_script(
        """const [sample, condition, model] = arguments;
        const canvas = document.querySelector(`.card[data-sample="${sample}"]`
            + ` td[data-condition=${condition}][data-model="${model}"] canvas`);
        const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let text = ''; for (const byte of bytes) text += String.fromCharCode(byte);
        return btoa(text);""",
        sample_id,
        condition,
        model,
    )
    return np.frombuffer(base64.b64decode(flat), np.uint8).reshape(SIZE, SIZE, 4)[..., :3]


def localization_map(one: ReportRun, sample_id: str, condition: str) -> np.ndarray:
    """The localization map of draw 0, by vssl."""
    (scene,) = read_scenes(one.folder, [sample_id])
    return scene.maps["av"][scene.conditions.index(condition)].numpy()


def scored(one: ReportRun, policy: str, variant: str) -> pd.DataFrame:
    rows = pd.read_parquet(one.folder / "scores.parquet")
    return rows[
        (rows["threshold_policy"] == policy)
        & (rows["map_variant"] == variant)
        & (rows["draw"] == 0)
    ].set_index(["sample_id", "audio_condition"])


# -- the arithmetic of the script ---------------------------------------------------------------


def in_browser(driver: Chrome, expression: str, *arguments: Any) -> np.ndarray:
    """The value of an expression of `vsslMaps` over arrays `a` of float32, NaN as null."""
    values = driver.execute_script(
        "const a = arguments[0].map((v) => Array.isArray(v)"
        " ? Float32Array.from(v, Number) : v);"
        f" return Array.from({expression}, (v) => (Number.isNaN(v) ? null : v));",
        [_for_script(each) for each in arguments],
    )
    return np.array([np.nan if v is None else v for v in values])


def _for_script(argument: Any) -> Any:
    """Arrays as lists; what JSON does not know as text."""
    if not isinstance(argument, np.ndarray):
        return argument
    texts = {np.inf: "Infinity", -np.inf: "-Infinity"}
    return ["NaN" if np.isnan(v) else texts.get(v, float(v)) for v in argument.ravel()]


def odd_maps() -> dict[str, np.ndarray]:
    """Maps whose post-processing has a case of its own."""
    maps = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
    made = {name: maps.copy() for name in ("random", "ties", "flat", "nan", "infinite")}
    made["ties"] = maps.round()
    made["flat"][:] = np.float32(0.3)
    made["flat"][0, 0] = np.nextafter(np.float32(0.3), np.float32(1))
    made["nan"][3, 4], made["infinite"][3, 4] = np.nan, np.inf
    return made


def arithmetic() -> Iterator[Any]:
    """Expressions of `vsslMaps` with their arguments, what vssl makes of them, and a tolerance."""
    random = np.random.default_rng(3)
    for rule in ("half_pixel", "align_corners", "opencv"):
        for height, width in ((7, 7), (14, 14), (5, 9), (1, 3), (224, 224)):
            native = random.normal(size=(height, width)).astype(np.float32)
            expected = upsample(torch.from_numpy(native)[None], rule=rule)
            # equal, but for a pixel that is rounded twice where vssl rounds once
            code = f"upsample(a[0], {height}, {width}, 224, '{rule}')"
            yield pytest.param(code, [native], expected, 3e-7, id=f"{rule} {height}x{width}")
    for name, maps in odd_maps().items():
        expected = transform_maps(torch.from_numpy(maps)[None], "stretch_and_clip")
        yield pytest.param("stretchAndClip(a[0])", [maps], expected, 0, id=name)
    for low in (0.0, -1.0):
        own, seen = random.random((2, 1, 30, 30), np.float32)
        options = f"{{alpha: .4, low: {low}, high: 1}}"
        expected = object_guided(
            torch.from_numpy(own),
            stretch(torch.from_numpy(seen)),
            alpha=0.4,
            value_range=(low, 1.0),
        )
        code = f"objectGuided(a[0], vsslMaps.stretch(a[1]), {options})"
        yield pytest.param(code, [own, seen], expected, 1.2e-7, id=f"guided {low}")
    boxes, weights = ((10, 20, 90, 100), (60, 50, 150, 220)), [0.5, 1.0]
    truth = consensus_map(boxes, weights)
    code = f"groundTruth({[*map(list, boxes)]}, {weights}, 224)"
    yield pytest.param(code, [], truth, 0, id="truth")
    masks = [encode_mask(random.random((224, 224)) > share) for share in (0.2, 0.9)]
    texts = [base64.b64encode(each).decode() for each in masks]
    both = f"groundTruth({[*map(list, boxes)]}, {weights}, 224, {texts}, [0.5, 0.25])"
    yield pytest.param(both, [], consensus_map(boxes, weights, masks, [0.5, 0.25]), 0, id="masks")
    own = random.random((224, 224), np.float32)
    mask = torch.from_numpy(own) > 0.7
    ciou = truth[mask].sum() / (truth.sum() + (mask & (truth == 0)).sum())
    measured = f"measure(a[0], vsslMaps.{code}, 0.7)"
    yield pytest.param(measured, [own], [mask.float().mean(), ciou], 1e-6, id="measure")


@pytest.mark.parametrize(("code", "arguments", "expected", "tolerance"), [*arithmetic()])
def test_the_script_computes_as_vssl_does(
    script: Chrome, code: str, arguments: list[Any], expected: Any, tolerance: float
) -> None:
    listed = f"Object.values(vsslMaps.{code})" if code.startswith("measure") else f"vsslMaps.{code}"
    found = in_browser(script, listed, *arguments).astype(np.float32)
    expected = np.asarray(expected, np.float32).ravel()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    if code.startswith("upsample"):
        assert (found == expected).mean() > 0.9999


# -- what is shown -------------------------------------------------------------------------------


def look(driver: Chrome, page: Path, width: int, height: int) -> None:
    """Reload the page in a window of this size, so that it forgets what earlier tests did."""
    resize(driver, width, height)
    driver.get(f"{page.as_uri()}?{width}")


def scroll_to_cards(driver: Chrome) -> None:
    driver.execute_script("document.getElementById('cards').scrollIntoView()")
    waiting(driver, 10).until(lambda d: d.find_elements(By.CSS_SELECTOR, ".numbers .pia"))


def test_nothing_is_asked_of_a_network(driver: Chrome, page: Path) -> None:
    requested(driver)
    complaints(driver)
    look(driver, page, 1280, 900)
    scroll_to_cards(driver)
    asked = {urlsplit(url).scheme for url in requested(driver)}
    assert asked <= {"file", "data", "blob"}
    assert not complaints(driver)
    files = [url for url in driver.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)"
    ) if not url.startswith(("data:", "blob:"))]  # fmt: skip
    assert files == []
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "unsafe-" not in text
    assert len(text.encode()) < 15_000_000


def press(driver: Chrome, policy: str) -> None:
    """Set all models to their thresholds under a policy."""
    driver.find_element(By.CSS_SELECTOR, f"[data-policy={policy}]").click()
    settle(driver)


@pytest.mark.parametrize(
    ("protocol", "variant"), [("corrected", "av"), ("corrected", "ogl"), ("released", "av")]
)
def test_numbers_below_maps_are_those_of_the_scores(
    script: Chrome, collection: Collection, protocol: str, variant: str, samples: list[str]
) -> None:
    place = [group.protocol for group in collection.groups].index(protocol)
    runs = collection.groups[place].runs
    choose_option(script, "group", str(place))
    guided = any("ogl" in one.variants for one in runs)
    assert script.find_element(By.CSS_SELECTOR, "#variant [value=ogl]").is_enabled() == guided
    choose_option(script, "variant", variant)
    for policy in (POLICY, "fixed", "universal_max"):
        press(script, policy)
        shown = shown_numbers(script)
        for model, one in enumerate(runs):
            own = variant if variant in one.variants else "av"
            expected = scored(one, policy, own)
            mine = shown[shown["model"] == model].set_index(["sample_id", "condition"])
            assert len(mine) == 4 * len(samples)
            if expected.empty:  # thresholds in units of the model's own map mean nothing for OGL
                assert mine["pia"].isna().all()
                continue
            expected = expected.loc[mine.index]
            np.testing.assert_array_equal(mine["pia"], expected["pia"])
            np.testing.assert_allclose(mine["ciou"], expected["ciou"], rtol=1e-12)


def test_renderings(opened: Chrome, collection: Collection, samples: list[str]) -> None:
    choose_option(opened, "rendering", "new")
    left = 20 + 15 * int(samples[0][4])  # of the box that `draw_vggss` gives it
    pixels = canvas_pixels(opened, samples[0], "silence", 0).astype(int)
    for y, x in ((30, left + 50), (150, left + 50), (90, left), (90, left + 100)):
        red, green, blue = pixels[y, x]
        assert blue > 150
        assert blue > red + 80
        assert green > red + 60
    opened.find_element(By.ID, "boxes").click()
    press(opened, "fixed")
    for model, one in enumerate(collection.groups[0].runs):
        threshold = one.threshold("fixed")
        assert threshold is not None
        expected = localization_map(one, samples[1], "positive") > np.float32(threshold)
        drawn = canvas_pixels(opened, samples[1], "positive", model).astype(int)
        grey = np.ptp(drawn, axis=2) == 0
        assert grey[~expected].all(), one.label
        assert not grey[expected].any(), one.label
    one = collection.groups[0].runs[0]
    place = (samples[1], "positive", 0)
    choose_option(opened, "rendering", "outline")
    lined = canvas_pixels(opened, *place)
    marked = localization_map(one, *place[:2]) > np.float32(0.5)
    white = (lined == 255).all(axis=2)
    assert marked.any()
    assert not (white & ~marked)[2:-2, 2:-2].any()
    choose_option(opened, "rendering", "old")
    hot = canvas_pixels(opened, *place)
    assert not np.array_equal(lined, hot)
    # brightness follows the min-max scaled map
    own = localization_map(one, *place[:2]).ravel()
    assert np.corrcoef(own, hot.reshape(-1, 3).sum(axis=1))[0, 1] > 0.5


# -- what hands do -------------------------------------------------------------------------------


def test_the_slider_moves_every_map(opened: Chrome, samples: list[str]) -> None:
    slider = opened.find_element(By.ID, "threshold")
    assert text_of(opened, "threshold-text") == USUAL
    choose_option(opened, "rendering", "new")
    before = canvas_pixels(opened, samples[1], "positive", 0)
    slider.send_keys(Keys.HOME)
    settle(opened)
    assert text_of(opened, "threshold-text") == "−100 %"
    lowest = shown_numbers(opened)
    # nearly everything, or of the clipped maps the half that is not cut
    assert lowest.groupby("model")["pia"].max().min() > 0.49
    assert not np.array_equal(before, canvas_pixels(opened, samples[1], "positive", 0))
    slider.send_keys(Keys.END)
    settle(opened)
    assert (shown_numbers(opened)["pia"] == 0).all()
    # the pointer: the middle is each model's own threshold again
    ActionChains(opened).move_to_element(slider).click().perform()
    settle(opened)
    assert text_of(opened, "threshold-text") == USUAL
    slider.send_keys(Keys.ARROW_LEFT)
    settle(opened)
    assert text_of(opened, "threshold-text") == "−1 %"
    assert slider.get_attribute("aria-valuetext") == "−1 %"
    waiting(opened, 5).until(lambda d: "Marked is what lies above" in text_of(d, "levels"))


def test_tables_are_sorted_by_their_headers(script: Chrome) -> None:
    table = script.find_element(By.CSS_SELECTOR, "table.numbers-table")
    headers = table.find_elements(By.CSS_SELECTOR, "th[aria-sort]")

    def values_of(column: int) -> list[str]:
        path = f"tbody:not(.baselines) tr > :nth-child({column})"
        cells = table.find_elements(By.CSS_SELECTOR, path)
        return [str(cell.get_attribute("data-value")) for cell in cells]

    place = [header.text for header in headers].index("cIoU ↑")
    headers[place].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert headers[place].get_attribute("aria-sort") == "descending"  # the best first
    known = [float(v) for v in values_of(place + 1) if v and v != "None"]
    assert known == sorted(known, reverse=True)
    headers[place].find_element(By.TAG_NAME, "button").click()
    assert headers[place].get_attribute("aria-sort") == "ascending"
    headers[0].find_element(By.TAG_NAME, "button").click()
    names = values_of(1)
    assert names == sorted(names)
    assert headers[place].get_attribute("aria-sort") == "none"


def test_cells_are_those_of_the_csv(script: Chrome, page: Path, collection: Collection) -> None:
    for group in collection.groups:
        expected = pd.read_csv(page.parent / f"paper_{group.name}.csv")
        cells = script.execute_script(
            "return [...document.querySelectorAll(`#${arguments[0]} a[data-record]`)].map((a) =>"
            " [a.parentNode.dataset.value, a.textContent, a.dataset.record])",
            group.name,
        )
        expected = expected[expected["run"].notna() & expected["gap"].isna()]
        assert len(cells) == len(expected)
        for (value, text, record), (_, row) in zip(cells, expected.iterrows(), strict=True):
            facts = json.loads(record)
            assert (facts["metric"], facts["condition"]) == (row["metric"], row["condition"])
            if np.isnan(row["value"]):
                assert (value, text) == ("", "n/a")
            else:
                assert float(value) == row["value"]
                assert text == f"{100 * row['value']:.1f}"


def test_a_number_leads_to_its_records(script: Chrome, page: Path) -> None:
    link = script.find_elements(By.CSS_SELECTOR, "a[data-record]")[2]
    target = page.parent / unquote(str(link.get_dom_attribute("href")))
    assert target.is_file()
    value = float(link.find_element(By.XPATH, "..").get_attribute("data-value"))
    link.send_keys(Keys.ENTER)
    dialog = script.find_element(By.ID, "record")
    assert dialog.is_displayed()
    for each in dialog.find_elements(By.CSS_SELECTOR, "#record-files a"):
        assert (page.parent / unquote(str(each.get_dom_attribute("href")))).is_file()
    query = re.search(r"summary\.query\('(.*)'\)", text_of(script, "record-query"))
    assert query
    rows = pd.read_parquet(target).query(query[1])
    assert rows["value"].tolist() == [value]
    rows = re.search(r"scores\.query\('(.*)'\)", text_of(script, "record-query"))  # type: ignore[assignment]
    assert len(pd.read_parquet(target.with_name("scores.parquet")).query(rows[1]))  # type: ignore[index]
    ActionChains(script).send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()


def samples_shown(driver: Chrome) -> list[str]:
    cards = driver.find_elements(By.CSS_SELECTOR, ".card")
    return [str(card.get_attribute("data-sample")) for card in cards]


def test_the_gallery_is_filtered_and_ordered(
    opened: Chrome, collection: Collection, samples: list[str]
) -> None:
    assert text_of(opened, "count") == "3 of 3 samples"
    category = CATEGORIES[int(samples[0][4]) % 3]
    own = sorted(name for name in samples if CATEGORIES[int(name[4]) % 3] == category)
    choose_option(opened, "category", category)
    assert sorted(samples_shown(opened)) == own
    assert text_of(opened, "count") == f"{len(own)} of 3 samples"
    choose_option(opened, "category", "")
    choose_option(opened, "size", "0")
    assert 0 < len(samples_shown(opened)) < 3
    choose_option(opened, "size", "")
    for place, one in enumerate(collection.groups[0].runs):
        scores = scored(one, USUAL, "av").reset_index()
        for condition, column, sign in (("positive", "ciou", 1), ("offscreen", "pia", -1)):
            choose_option(opened, "order", f"worst/{place}/{condition}")
            rows = scores[scores["audio_condition"] == condition].set_index("sample_id")
            values = sign * rows[column].loc[samples_shown(opened)].to_numpy()
            assert (np.diff(values) >= 0).all()


def test_intervals_and_models_are_shown_on_request(opened: Chrome) -> None:
    interval = opened.find_element(By.CSS_SELECTOR, ".interval")
    assert not interval.is_displayed()
    opened.find_element(By.CSS_SELECTOR, "[data-shows=with-intervals]").send_keys(Keys.SPACE)
    assert interval.is_displayed()
    opened.find_element(By.CSS_SELECTOR, "#models input[value='0']").send_keys(Keys.SPACE)
    settle(opened)
    first = opened.find_element(By.CSS_SELECTOR, ".card")
    assert not first.find_element(By.CSS_SELECTOR, "td[data-model='0']").is_displayed()
    assert first.find_element(By.CSS_SELECTOR, "td[data-model='1']").is_displayed()


def test_sounds_are_played_one_at_a_time(script: Chrome, page: Path) -> None:
    heard = script.find_elements(By.CSS_SELECTOR, ".card .heard")
    known = [each for sample in gallery_data(page)["samples"] for each in sample["heard"]]
    assert [each.text for each in heard] == [each["category"] for each in known]
    buttons = script.find_elements(By.CSS_SELECTOR, ".play")
    assert len(buttons) == 3 * 2  # the own sound and the offscreen one
    playing = "return [...document.querySelectorAll('audio')].filter((a) => !a.paused).length"
    for button in buttons[:2]:
        button.click()
        waiting(script, 5).until(lambda d: d.execute_script(playing) == 1)
        waiting(script, 5).until(lambda d, b=button: b.text == "■ stop")
    assert buttons[0].text == "▶ play"
    buttons[1].click()
    waiting(script, 5).until(lambda d: d.execute_script(playing) == 0)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_the_page_fits_its_window(driver: Chrome, page: Path, width: int, height: int) -> None:
    look(driver, page, width, height)
    # the first stop of the keyboard leads past the links
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the content"
    scroll_to_cards(driver)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    # the finding comes first, baselines appear on request
    assert "more than half of the images" in driver.find_element(By.CLASS_NAME, "finding").text
    first = driver.find_element(By.CSS_SELECTOR, ".card").text
    assert "loudness" in first
    assert "audio_blind" not in first
    driver.execute_script("window.scrollBy(0, 300)")
    top = driver.execute_script(
        "return document.getElementById('threshold').getBoundingClientRect().top"
    )
    assert 0 <= top < 60  # the slider stays in view


def test_every_control_has_a_name_and_every_map_a_description(script: Chrome) -> None:
    for control in script.find_elements(By.CSS_SELECTOR, "input, select, button"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")
    labels = script.execute_script(
        "return [...document.querySelectorAll('.card canvas')].map((c) => c.ariaLabel)"
    )
    assert all(labels)
    assert any("marks nothing" in label for label in labels)
    assert all(
        image.get_attribute("alt") for image in script.find_elements(By.CSS_SELECTOR, "figure img")
    )
    scrolled = script.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(each.get_attribute("tabindex") == "0" for each in scrolled)
    assert all(each.accessible_name for each in scrolled)


# -- what is put into the page --------------------------------------------------------------------


def gallery_data(page: Path, group: int = 0) -> dict[str, Any]:
    found = re.search(rf'id="data-{group}">(.*?)</script>', page.read_text(), re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_small_page_says_what_it_leaves_out(
    tmp_path: Path, collection: Collection, page: Path
) -> None:
    limit = round(0.8 * page.stat().st_size)
    small = report(collection, tmp_path / "small", gallery=3, limit=limit)
    assert small.stat().st_size <= limit
    left = re.findall(r"left out so that the page stays below its size: (\d+)", small.read_text())
    assert sum(map(int, left)) > 0
    kept, whole = (
        sum(
            len(gallery_data(each, group)[part])
            for group in range(len(collection.groups))
            for part in ("samples", "clips")
        )
        for each in (small, page)
    )
    assert kept < whole


def test_files_that_are_gone_are_counted(
    tmp_path: Path, outputs: Path, collection: Collection
) -> None:
    gone = outputs / "vggss/frames/clip0_000010.jpg"
    sound = outputs / "vggss/audio/clip1_000010.wav"
    kept = {path: path.read_bytes() for path in (gone, sound)}
    try:
        for path in kept:
            path.unlink()
        text = report(collection, tmp_path / "report").read_text()
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert "images whose file is not at hand: 1" in text
    assert "sounds whose file is not at hand: 1" in text


def test_a_page_without_gallery(tmp_path: Path, collection: Collection, driver: Chrome) -> None:
    bare = report(collection, tmp_path / "bare", gallery=0)
    resize(driver, 1280, 900)
    complaints(driver)
    driver.get(bare.as_uri())
    assert not complaints(driver)
    unfold(driver)
    assert "0 of 6 samples" in driver.find_element(By.ID, "gallery").text


def test_the_worst_and_all_sizes_are_among_the_chosen(collection: Collection) -> None:
    group = collection.groups[0]
    chosen = choose(group, 5, policy=POLICY)
    assert chosen["sample_id"].nunique() == 5
    assert {0, 1} <= set(chosen["quarter"][:3])
    # the first: a model finds the object, and one marks much where nothing of it sounds
    models = pd.concat(scored(run, POLICY, "av") for run in group.runs if not run.is_baseline)
    ciou = models.xs("positive", level="audio_condition")["ciou"].groupby("sample_id").max()
    area = models.drop("positive", level="audio_condition")["pia"].groupby("sample_id").max()
    assert (ciou + area)[chosen["sample_id"].iloc[0]] == (ciou + area).max()
    assert "reaches cIoU" in chosen["why"].iloc[0]
    scores = scored(group.runs[0], POLICY, "av").reset_index()
    positives = scores[scores["audio_condition"] == "positive"]
    lowest = positives.sort_values(["ciou", "sample_id"])["sample_id"].iloc[0]
    assert lowest in set(chosen["sample_id"])
    everything = choose(group, 100, policy=POLICY)
    assert everything["area"].tolist() == pytest.approx([100 * 120 / SIZE**2] * 6)


def decoded(address: str | None) -> tuple[str, io.BytesIO]:
    assert address is not None
    media, content = address.removeprefix("data:").split(";base64,")
    return media, io.BytesIO(base64.b64decode(content))


def test_images_are_small_and_clips_short(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500), (200, 30, 30)).save(tmp_path / "wide.png")
    media, content = decoded(small_image(tmp_path / "wide.png"))
    assert media == "image/jpeg"
    assert Image.open(content).size == (IMAGE_SIDE, IMAGE_SIDE // 2)
    time = np.arange(12 * 16_000) / 16_000
    both = np.stack([np.sin(2 * np.pi * 440 * time), np.zeros_like(time)], axis=1)
    soundfile.write(tmp_path / "long.wav", both, 16_000)
    media, content = decoded(small_clip(tmp_path / "long.wav"))
    samples, rate = soundfile.read(content)
    assert media == "audio/mpeg"
    assert samples.ndim == 1
    assert len(samples) / rate == pytest.approx(PLAYED_SECONDS, abs=0.15)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(440, abs=2)
    assert small_image(tmp_path / "none.png") is None
    assert small_clip(tmp_path / "none.wav") is None


def test_large_figures_are_packed_small(tmp_path: Path) -> None:
    svg, png = tmp_path / "figure.svg", tmp_path / "figure.png"
    noise = np.random.default_rng(0).integers(0, 255, (400, 900, 3), np.uint8)
    Image.fromarray(noise).save(png, dpi=(200, 200))
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    media, content = decoded(figure_address(svg, png))
    assert (media, content.read()) == ("image/svg+xml", svg.read_bytes())
    width, height = figure_size(png)
    assert width / height == pytest.approx(900 / 400, rel=0.01)
    svg.write_text(svg.read_text() + " " * 5_000_000)
    media, content = decoded(figure_address(svg, png))
    assert media == "image/webp"
    assert len(content.read()) < png.stat().st_size

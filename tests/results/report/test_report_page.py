"""The report page in a real browser: Debian's chromium, driven by Selenium."""

import io
import os
import pathlib
import re
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.results.report.page_data import Limits
from pipeline.results.report.write_report import write_report
from tests.results.report.browser import (
    WAIT_S,
    by_id,
    check_quiet,
    show,
    text,
    wait_for,
    wait_until,
)
from tests.support.made_dataset import make_dataset, scored
from tests.support.synthetic_dataset import write_synthetic_dataset

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\"quotes\" 'and' `more` ${window.hacked=1}",
    "<!--<script> 🎺 <b>bold</b> &lt; \\u003c $x^2$",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("page")
    write_synthetic_dataset(folder / "out", 400, names=HOSTILE, labels=HOSTILE)
    write_report(str(folder / "out"), str(folder / "report.html"))
    return folder / "report.html"


def test_labels_clips_and_search_work(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    assert text(browser, "state").startswith("Finished: ")
    label = Select(by_id(browser, "label"))
    assert len(label.options) == 200
    label.select_by_index(5)
    assert text(browser, "label-title") in label.options[5].text
    first = browser.find_element(By.CSS_SELECTOR, "#best button")
    name = str(first.get_property("textContent"))
    first.send_keys(Keys.ENTER)
    assert text(browser, "clip-title") == name
    assert browser.switch_to.active_element == by_id(browser, "clip-title")
    assert len(by_id(browser, "nearest").find_elements(By.TAG_NAME, "tr")) == 8
    assert browser.find_elements(By.CSS_SELECTOR, "#heat .heatmaplayer image")
    assert browser.find_elements(By.CSS_SELECTOR, "#map canvas")
    assert "the folder of the file did not exist" in text(browser, "player")

    by_id(browser, "search").send_keys("clip-00012")
    wait_for(browser, "found-note", "clips found")
    found = browser.find_elements(By.CSS_SELECTOR, "#found button")
    names = [one.text for one in found]
    assert names and all(name.startswith("clip-00012") for name in names)
    by_id(browser, "search").send_keys(Keys.ENTER)
    assert text(browser, "clip-title") == names[0]
    check_quiet(browser)


def test_failed_and_flagged_clips_are_filtered(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    note = text(browser, "troubled-note")
    Select(by_id(browser, "reason")).select_by_value("g:multichannel")
    WebDriverWait(browser, WAIT_S).until(
        lambda _: text(browser, "troubled-note") != note
    )
    rows = browser.find_elements(By.CSS_SELECTOR, "#troubled-rows tr")
    assert len(rows) > 10
    assert all("multichannel" in str(row.get_property("textContent")) for row in rows)
    by_id(browser, "reason-text").send_keys("nobody has this")
    wait_for(browser, "troubled-note", "0 clips match.")
    assert not browser.find_elements(By.CSS_SELECTOR, "#troubled-rows tr")

    before = browser.execute_script("return document.documentElement.dataset.theme")
    by_id(browser, "theme").click()
    after = browser.execute_script("return document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}
    check_quiet(browser)


def test_a_click_on_the_map_opens_a_clip(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    opened = browser.execute_script(
        "const map = document.getElementById('map');"
        "const point = map.data[1].customdata[0];"
        "map.emit('plotly_click', {points: [{customdata: point}]});"
        "return JSON.parse(document.getElementById('data').textContent).clips.id[point]"
    )
    assert text(browser, "clip-title") == opened
    check_quiet(browser)


def test_hostile_names_are_shown_as_text(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    for index, name in enumerate(HOSTILE):
        # Set by a script: chromedriver cannot type emoji.
        browser.execute_script(
            "const [name, index] = arguments;"
            "document.getElementById('search').value = name;"
            "document.getElementById('find').requestSubmit();"
            "const label = document.getElementById('label');"
            "label.value = index;"
            "label.dispatchEvent(new Event('change'))",
            name,
            index,
        )
        assert text(browser, "clip-title") == text(browser, "label-title") == name
        # Names on the axes of charts are text, too: no part becomes an element.
        assert not browser.find_elements(By.CSS_SELECTOR, "main img, main b, svg a")
        start = re.sub("([<&$])", "\\1\u2060", name)[:15]
        ticks = browser.find_elements(By.CSS_SELECTOR, "#heat text")
        shown = [str(tick.get_property("textContent")) for tick in ticks]
        assert any(tick.startswith(start) for tick in shown), shown
    check_quiet(browser)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("so unds/a #1 100% 🎺?.wav", "{}/so unds/a #1 100% 🎺?.wav"),
        ("s/100%20.wav", "{}/s/100%20.wav"),
        ("s/a #1 %.wav", "file://{}/s/a #1 %.wav"),
        ("s/b ?.wav", "file:{}/s%2Fb%20%3F.wav"),
        ("caf\udce9/\udce9 1%é.wav", "file://{}/caf%E9/%E9%201%25%C3%A9.wav"),
    ],
)
def test_audio_beside_the_page_plays(
    browser: webdriver.Chrome, tmp_path: pathlib.Path, name: str, uri: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(wav_bytes())
    folder, clip_id = uri.format(tmp_path)[:-4].rsplit("/", 1)
    write_synthetic_dataset(tmp_path / "out", 3, names=[clip_id], folder=folder)
    write_report(str(tmp_path / "out"), str(tmp_path / "report.html"))
    show(browser, tmp_path / "report.html")
    browser.execute_script(
        "document.getElementById('search').value = arguments[0];"
        "document.getElementById('find').requestSubmit()",
        clip_id,
    )
    length = "return document.querySelector('audio')?.duration === 1"
    WebDriverWait(browser, WAIT_S).until(lambda chrome: chrome.execute_script(length))
    address = browser.execute_script("return document.querySelector('audio').src")
    assert unquote_to_bytes(address.removeprefix("file://")) == os.fsencode(path)
    check_quiet(browser)


def test_the_player_of_an_excerpt_plays_its_part_of_the_file(
    browser: webdriver.Chrome, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(32000), 8000)
    results = {"middle": scored([0.1, 0.9]), "end": scored([0.3, 0.2])}
    times: dict[str, list[object]] = {"start_s": [1.25, 3.0], "end_s": [2.5, None]}
    output = tmp_path / "out"
    make_dataset(output, results, ("Bell", "Rain"), times, uris=[str(path)] * 2)
    write_report(str(output), str(tmp_path / "report.html"))
    show(browser, tmp_path / "report.html")
    for clip, part, fact in (
        ("middle", "#t=1.25,2.5", "from 1.25 s to 2.5 s of the file"),
        ("end", "#t=3", "from 3 s to the end of the file"),
    ):
        browser.execute_script(
            "document.getElementById('search').value = arguments[0];"
            "document.getElementById('find').requestSubmit()",
            clip,
        )
        assert fact in text(browser, "clip-facts")
        source = browser.execute_script("return document.querySelector('audio').src")
        assert source == path.as_uri() + part
        start = part.removeprefix("#t=").partition(",")[0]
        wait_until(browser, f"document.querySelector('audio').currentTime === {start}")
    check_quiet(browser)


def wav_bytes() -> bytes:
    """Returns a WAV file of one second."""
    content = io.BytesIO()
    soundfile.write(content, np.zeros(8000), 8000, format="WAV")
    return content.getvalue()


@pytest.mark.parametrize(
    ("options", "missing", "message"),
    [
        ({"outputs": ["activations"]}, "map-missing", "has no embeddings"),
        ({"outputs": ["embeddings"]}, "labels-missing", "has no activations"),
        ({"failing": 1.0}, "map-missing", "No clip has embeddings yet"),
        ({"failing": 1.0}, "state", "All failed: none of 70 clips"),
        ({"state": "stopped", "num_planned": 99}, "state", "Interrupted: 70 of 99"),
        ({"models": ["one", "two"]}, "model", "onetwo"),
    ],
)
def test_the_page_states_what_is_missing(
    browser: webdriver.Chrome,
    tmp_path: pathlib.Path,
    options: dict,
    missing: str,
    message: str,
) -> None:
    write_synthetic_dataset(tmp_path / "out", 70, **options)
    write_report(str(tmp_path / "out"), str(tmp_path / "a.html"), Limits(clips=40))
    show(browser, tmp_path / "a.html")
    assert message in text(browser, missing)
    assert by_id(browser, missing).is_displayed()
    buttons = browser.find_elements(By.CSS_SELECTOR, "#best button, #map canvas")
    assert bool(buttons) == ("failing" not in options)
    browser.execute_script(
        "document.getElementById('search').value = 'clip-00';"
        "document.getElementById('find').requestSubmit()"
    )
    for value in range(len(options.get("models", []))):
        Select(by_id(browser, "model")).select_by_index(value)
    by_id(browser, "theme").click()
    check_quiet(browser)

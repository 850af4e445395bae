"""Chromium for tests of pages: Debian's package, driven by Selenium."""

import json
import pathlib
import shutil

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

# Far longer than anything takes on a busy machine.
WAIT_S = 120


def start_browser() -> webdriver.Chrome | None:
    """Starts Chromium without a window; None if it is not installed."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    # Without it, a click may come before a smooth scroll has ended.
    options.add_argument("--force-prefers-reduced-motion")
    # WebGL without a graphics card.
    options.add_argument("--use-angle=swiftshader")
    options.add_argument("--enable-unsafe-swiftshader")
    options.add_argument("--window-size=1300,900")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    return webdriver.Chrome(options, webdriver.ChromeService(driver))


def read_log(browser: webdriver.Chrome, kind: str) -> list[dict]:
    """Returns the messages that were logged since the last call."""
    return list(browser.get_log(kind))  # type: ignore[no-untyped-call]


def show(browser: webdriver.Chrome, page: pathlib.Path) -> None:
    read_log(browser, "performance")
    browser.get(page.as_uri())
    ready = "return document.documentElement.dataset.ready === 'yes'"
    WebDriverWait(browser, WAIT_S).until(lambda chrome: chrome.execute_script(ready))


def check_quiet(browser: webdriver.Chrome) -> None:
    """Checks that there were no console messages, network requests or foreign scripts.

    Requests for local files are allowed.
    """
    assert read_log(browser, "browser") == []
    for entry in read_log(browser, "performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith(("file:", "data:", "blob:")), url
    assert browser.execute_script("return window.hacked === undefined")


def by_id(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.ID, name)


def text(browser: webdriver.Chrome, name: str) -> str:
    return str(by_id(browser, name).get_property("textContent"))


def wait_for(browser: webdriver.Chrome, name: str, part: str) -> None:
    WebDriverWait(browser, WAIT_S).until(lambda chrome: part in text(chrome, name))


def wait_until(browser: webdriver.Chrome, condition: str) -> None:
    script = f"return {condition}"
    WebDriverWait(browser, WAIT_S).until(lambda chrome: chrome.execute_script(script))

"""A real browser: headless Chromium, driven over the WebDriver protocol (W3C) by plain HTTP."""

import os
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from deploy.local import processes

PATIENCE_S: Final = 60
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


class Browser:
    """One window. `driver` is a client of the session's own URL."""

    def __init__(self, driver: httpx2.Client) -> None:
        self._driver = driver

    def go(self, url: str) -> None:
        """As typed into the address line; returns once the page is there."""
        self._tell("url", url=url)

    def back(self) -> None:
        """The button."""
        self._tell("back")

    @property
    def address(self) -> str:
        """Of the page that is shown."""
        return str(self._ask("url"))

    def texts(self, css: str) -> list[str]:
        """What people read in each of these elements."""
        return [str(self._ask(f"element/{id}/text")) for id in self._find(css)]

    def type(self, css: str, text: str) -> None:
        """Into the one field that there is of this kind."""
        [id] = self._find(css)
        self._tell(f"element/{id}/value", text=text)

    def click(self, css: str) -> None:
        """On the one element that there is of this kind; returns once the next page is there."""
        [id] = self._find(css)
        # The click may be answered before the browser has begun to leave the page.
        self._run("window.left = true")
        self._tell(f"element/{id}/click")
        self.until(lambda: self._run("return !window.left && document.readyState === 'complete'"))

    def until(self, found: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
        """Waits for the page to show it by itself."""
        end = time.monotonic() + within_s
        while not self._now(found):
            assert time.monotonic() < end, self.texts("body")
            time.sleep(0.1)

    def resize(self, width: int, height: int) -> None:
        """As on a screen of that size, however small."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._tell("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size)

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        measure = "const it = document.documentElement; return it.scrollWidth - it.clientWidth"
        return int(self._run(measure))

    def picture(self, file: Path) -> None:
        """What is seen now."""
        file.write_bytes(b64decode(self._ask("screenshot")))

    def _now(self, found: Callable[[], Any]) -> bool:
        try:
            return bool(found())
        except httpx2.HTTPStatusError:
            # The page was loaded again between two questions: what was found on it is no more.
            return False

    def _run(self, script: str) -> Any:
        return self._tell("execute/sync", script=script, args=[])

    def _find(self, css: str) -> list[str]:
        found = self._tell("elements", using="css selector", value=css)
        return [str(item[_ELEMENT]) for item in found]

    def _ask(self, path: str) -> Any:
        return self._driver.get(path).raise_for_status().json()["value"]

    def _tell(self, path: str, **said: Any) -> Any:
        return self._driver.post(path, json=said).raise_for_status().json()["value"]


@contextmanager
def browsing(chromium: str, chromedriver: str, folder: Path) -> Iterator[Browser]:
    """A browser that knows nothing yet and keeps what it keeps in `folder`, which is empty."""
    argv, log = [chromedriver, "--port=0"], folder / "driver.log"
    process = processes.spawn(folder, "chromedriver", argv, env=os.environ, log=log)
    try:
        port = wait_for(r"successfully on port (\d+)", log)
        driver = f"http://127.0.0.1:{port}"
        options = {"binary": chromium, "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        with httpx2.Client(timeout=PATIENCE_S, trust_env=False) as client:
            begun = client.post(f"{driver}/session", json=wanted).raise_for_status().json()["value"]
        session = f"{driver}/session/{begun['sessionId']}"
        with httpx2.Client(base_url=session, timeout=PATIENCE_S, trust_env=False) as client:
            try:
                yield Browser(client)
            finally:
                # The driver alone ends its browser: killed before, it leaves that running.
                client.delete(session)
    finally:
        processes.end(folder, [process])


def wait_for(pattern: str, log: Path) -> str:
    """What a program says in its log, at last."""
    end = time.monotonic() + PATIENCE_S
    while (found := re.search(pattern, log.read_text())) is None:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return found[1]

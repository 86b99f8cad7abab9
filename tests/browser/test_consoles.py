"""Both consoles as people see them, in a real browser: what is wrong is seen, and who has left is out."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crypto import certificates
from crypto.certificates import Profile
from crypto.keyfile import load_node_keys, load_tls_key
from deploy.local import processes
from deploy.local.instance import REPOSITORY
from deploy.local.programs import find_browser
from hub import authorities
from hub.settings import Settings as HubSettings
from hub.setup import write
from nodes import histories, setup
from nodes.histories import HubCaught
from nodes.settings import Settings
from nodes.store import Store
from tests.browser.chromium import Browser, browsing, wait_for
from tests.hub.ownhub import OwnHub
from tests.hub.test_operator_commands import PASSWORD, People
from tests.nodes.welcomes import issued, running, welcome

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(find_browser() is None, reason="chromium or chromedriver is not installed"),
]
IN_SIX_DAYS = 7
# What two looks of the hub's console, and two of the page at it, are apart at most.
AGAIN_S = 60


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with an empty profile."""
    found = find_browser()
    assert found is not None
    with browsing(*found, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def _is_out(browser: Browser, console: str) -> None:
    """Whoever has signed out does not come back by the button nor by the address."""
    assert browser.address == f"{console}/sign-in"
    for leave in (browser.back, lambda: browser.go(console), lambda: browser.go(f"{console}?again")):
        leave()
        assert browser.texts("section") == []
    assert browser.address == f"{console}/sign-in"


def _fits(browser: Browser, name: str) -> None:
    """Also on a telephone. For who wants to see it, SECI_PICTURES names a folder."""
    for width in (360, 1200):
        browser.resize(width, 1900)
        assert browser.overflow == 0
        if folder := os.environ.get("SECI_PICTURES"):
            browser.picture(Path(folder) / f"{name}-{width}.png")


def test_an_administrator_looks_at_the_node(browser: Browser, tmp_path: Path) -> None:
    home = tmp_path / "ro"
    setup.create(home, "ro")
    asyncio.run(setup.welcome(home, welcome(home, certificate_pem=issued(home, IN_SIX_DAYS))))
    settings = Settings.load(home)
    with running(home):
        console = f"{json.loads((home / 'api.json').read_text())['url']}/console"
        browser.go(console)
        assert browser.address == f"{console}/sign-in"
        browser.type("#token", "not the token")
        browser.click("button")
        assert "wrong" in browser.texts("[role=alert]")[0]
        _fits(browser, "node-sign-in")
        browser.type("#token", settings.token())
        browser.click("button")
        assert browser.address == console
        told = browser.texts("[role=alert]")
        assert any("the TLS certificate expires in 6 days" in text and "What to do: " in text for text in told)
        assert not any("log_forked" in text for text in told)
        box = Store.open(home / "node.db", load_node_keys(home / "node.key", settings.secret()).storage)
        asyncio.run(box.run(histories.raise_alarm, HubCaught(histories.FORKED, "two of 40 entries", "note"), 1))
        box.close()
        # The page has no script: what the link does, a person does.
        browser.click("footer a")
        first = browser.texts("[role=alert]")[0]
        assert first.startswith("Alarm: log_forked") and "THE HUB IS NOT TRUSTED" in first
        _fits(browser, "node")
        browser.click("header button")
        _is_out(browser, console)
        # From a page that was never loaded again, too: such a one browsers keep for the button.
        browser.type("#token", settings.token())
        browser.click("button")
        browser.click("header button")
        _is_out(browser, console)
    assert settings.token() not in (home / "agent.log").read_text()


@contextmanager
def _console(home: Path) -> Iterator[str]:
    """`seci-hub console` as a process; its address."""
    argv = [sys.executable, "-m", "hub.cli", "console", "--home", str(home), "--port", "0", "--json"]
    folder, log = home.parent, home.parent / "console.log"
    process = processes.spawn(folder, "console", argv, env=os.environ, log=log, cwd=REPOSITORY)
    try:
        yield wait_for(r'"url": "([^"]+)"', log)
    finally:
        processes.end(folder, [process])


def test_an_operator_looks_at_the_hub(
    browser: Browser, own: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(own, tmp_path, monkeypatch)
    assert people.type("ana", "provision")[0] == people.add("ana", "ana", "security-officer")[0] == 0
    _expire_soon(own, "hub-ingest")
    with _console(own.home) as console:
        browser.go(console)
        for field, text in (("#name", "ana"), ("#password", PASSWORD), ("#code", people.code("ana"))):
            browser.type(field, text)
        browser.click("button")
        assert browser.address == console
        assert "ana, security-officer" in browser.texts("h1")[0]
        told = browser.texts("[role=alert]")
        assert any(
            "the certificate of hub-ingest expires in 6 days" in text and "seci-hub renew" in text for text in told
        )
        assert not any("witness_contradicts" in text for text in told)
        own.sql("INSERT INTO contradiction (size, root, node, note, at) VALUES (1, '', 'ro', 'note', 1)")
        # The page looks again by itself.
        browser.until(lambda: "witness_contradicts" in browser.texts("[role=alert]")[0], AGAIN_S)
        _fits(browser, "hub")
        browser.click("header button")
        _is_out(browser, console)
    log = (tmp_path / "console.log").read_text()
    assert PASSWORD not in log and "ana" not in log


def _expire_soon(own: OwnHub, user: str) -> None:
    """A certificate as that user's is, which ends in six days."""
    secret = HubSettings.load(own.home).secret()
    ca, key = authorities.issuing(own.home, secret), load_tls_key(own.home / f"{user}.key", secret)
    csr = certificates.create_csr(user, key)
    found = certificates.issue(csr, ca.certificate, ca.key, Profile.CLIENT, common_name=user, days=IN_SIX_DAYS)
    write(own.home / f"{user}.pem", certificates.to_pem(found))

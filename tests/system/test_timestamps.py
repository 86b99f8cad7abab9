"""A hub at work whose checkpoints a TSA stamps, and which goes on when the TSA does not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.exchange import Exchange
from tests.crypto.tsa import Tsa
from tests.hub.tsaserver import TsaServer, gives, serving, signs
from tests.system.monitors import look, sample
from tests.system.play import await_delivered, end, post, until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """The one that the hub trusts."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture(scope="module")
def server(tsa: Tsa) -> Iterator[TsaServer]:
    """Its service."""
    with serving(signs(tsa)) as found:
        yield found


@pytest.fixture(scope="module")
def timed(exchange: Exchange, server: TsaServer, tsa: Tsa) -> Iterator[Exchange]:
    """The exchange with a timestamp each second; afterwards with its own settings again."""
    file = exchange.hub_home / "hub.json"
    before = file.read_text()
    changes = {"tsa_url": server.url, "tsa_roots": str(tsa.roots), "tsa_interval_s": 1}
    file.write_text(json.dumps(json.loads(before) | changes))
    _restart_hub(exchange)
    yield exchange
    file.write_text(before)
    _restart_hub(exchange)


def _restart_hub(exchange: Exchange) -> None:
    end(exchange, "hub")
    exchange.start_hub()


def _status(exchange: Exchange) -> dict[str, Any]:
    status: dict[str, Any] = exchange.hub("status")
    return {"size": status["ledger"]["size"], **status["timestamps"]}


def _is_stamped(exchange: Exchange) -> bool:
    found = _status(exchange)
    return found["newest"] is not None and found["newest"]["size"] == found["size"]


def test_what_is_new_in_the_ledger_is_stamped(timed: Exchange, server: TsaServer) -> None:
    await_delivered(timed, [("ro", post(timed, "ro"))])
    until("the newest checkpoint stamped", lambda: _is_stamped(timed))
    assert server.asked
    assert "seci_hub_unstamped_seconds 0.0" in look(timed, "/metrics").text


def test_a_tsa_that_fails_is_seen_and_stops_nothing(timed: Exchange, server: TsaServer) -> None:
    server.answer = gives(b"busy", 503)
    await_delivered(timed, [("ro", post(timed, "ro"))])
    until("the failure told", lambda: _status(timed)["code"] == "tsa_answer_unfit")
    until("lateness told", lambda: bool(_status(timed)["late"]))
    failure = {"code": "tsa_answer_unfit", "event": "timestamp_failed", "level": "warning"}
    assert sample(timed, "seci_hub_events_total", **failure) > 0
    await_delivered(timed, [("bg", post(timed, "bg"))])
    assert not _is_stamped(timed)

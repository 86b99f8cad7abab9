"""The bad line itself: each of its faults does what it says, seen from both ends by plain sockets."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.local.chaos import Line, Rule, Side, bad_line
from deploy.local.ports import LOOPBACK

PATIENCE_S = 10.0
SILENCE_S = 0.3


@dataclass(frozen=True)
class Ends:
    """A connection through the line, from both ends."""

    line: Line
    client: socket.socket
    broker: socket.socket


@pytest.fixture
def ends() -> Iterator[Ends]:
    with socket.create_server((LOOPBACK, 0)) as server, bad_line(server.getsockname()[1]) as line:
        server.settimeout(PATIENCE_S)
        with socket.create_connection((LOOPBACK, line.port), PATIENCE_S) as client:
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(PATIENCE_S)
                # The line knows a connection when something has come through.
                client.sendall(b"hello")
                assert receive(accepted, 5) == b"hello"
                yield Ends(line, client, accepted)


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := end.recv(size - len(data))):
        data += more
    return data


def is_silent(end: socket.socket) -> bool:
    end.settimeout(SILENCE_S)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE_S)
    return False


def test_everything_passes_unchanged(ends: Ends) -> None:
    data = bytes(range(256)) * 1000
    ends.client.sendall(data)
    assert receive(ends.broker, len(data)) == data
    ends.broker.sendall(data)
    assert receive(ends.client, len(data)) == data


@pytest.mark.parametrize("rule", [Rule(delay_s=0.5), Rule(bytes_per_s=200.0)])
def test_bytes_take_their_time_one_way(ends: Ends, rule: Rule) -> None:
    ends.line.set(rule, Side.CLIENT)
    begin = time.monotonic()
    ends.client.sendall(bytes(100))
    assert receive(ends.broker, 100) == bytes(100)
    assert time.monotonic() - begin >= 0.5
    ends.broker.sendall(b"back")
    assert not is_silent(ends.client)


def test_a_black_hole_keeps_what_it_takes_until_it_is_healed(ends: Ends) -> None:
    ends.line.set(Rule(passes=False))
    ends.client.sendall(b"there")
    ends.broker.sendall(b"back")
    assert is_silent(ends.broker)
    assert is_silent(ends.client)
    ends.line.heal()
    assert receive(ends.broker, 5) == b"there"
    assert receive(ends.client, 4) == b"back"


def test_a_black_hole_may_be_one_way(ends: Ends) -> None:
    ends.line.set(Rule(passes=False), Side.BROKER)
    ends.client.sendall(b"there")
    assert receive(ends.broker, 5) == b"there"
    ends.broker.sendall(b"back")
    assert is_silent(ends.client)


def test_a_reset_is_one_for_both_ends(ends: Ends) -> None:
    ends.line.reset()
    for end in (ends.client, ends.broker):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


@pytest.mark.parametrize("gone", Side)
def test_of_a_half_open_connection_one_end_is_not_told(ends: Ends, gone: Side) -> None:
    lost, left = (ends.client, ends.broker) if gone is Side.CLIENT else (ends.broker, ends.client)
    ends.line.half_open(gone)
    with pytest.raises(ConnectionResetError):
        lost.recv(1)
    left.sendall(b"is anybody there?")
    assert is_silent(left)


def test_a_connection_ends_after_so_many_bytes(ends: Ends) -> None:
    ends.client.sendall(b"before")
    assert receive(ends.broker, 6) == b"before"
    ends.line.set(Rule(cut_after=4), Side.CLIENT)
    ends.client.sendall(b"after all")
    assert receive(ends.broker, 9) == b"afte"
    assert receive(ends.client, 1) == b""


def test_nobody_to_connect_to_ends_the_client() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    with bad_line(port) as line, socket.create_connection((LOOPBACK, line.port), PATIENCE_S) as client:
        assert client.recv(1) == b""


def test_nothing_is_open_after_the_end() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(PATIENCE_S)
        with bad_line(server.getsockname()[1]) as line:
            client = socket.create_connection((LOOPBACK, line.port), PATIENCE_S)
            broker, _ = server.accept()
            client.sendall(b"hello")
            assert receive(broker, 5) == b"hello"
            line.half_open(Side.BROKER)
        with client, broker:
            for end in (client, broker):
                with pytest.raises(ConnectionResetError):
                    end.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, line.port), PATIENCE_S)

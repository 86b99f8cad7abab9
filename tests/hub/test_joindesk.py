"""The join desk over real TLS, and `seci-node join` before it: first contact, waiting, and each error by its code."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import joining as proofs
from crypto.keyfile import load_node_keys, load_tls_key
from crypto.tls import server_context
from hub import admission, database, deskdoor, joindesk, joining
from hub.admission import Office
from hub.errors import TooMany
from hub.joindesk import Doorkeeper
from hub.setup import BrokerNames, desk_certificate, make_keys
from nodes import cli_join, rosters
from nodes import joining as node_joining
from nodes.cli import main
from nodes.errors import NotSetUp
from nodes.settings import Settings
from nodes.store import Store
from schemas.joining import JoinRequest, JoinToken, Stage
from tests.hub.applicants import Applicant, decided, invited, listed, office_of
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
Join = Callable[..., Any]


@pytest.fixture
async def office(own: OwnHub, own_engine: AsyncEngine) -> Office:
    """Of a hub without nodes and without a broker."""
    return office_of(own, own_engine)


@pytest.fixture
async def url(office: Office) -> AsyncIterator[str]:
    """Of its desk."""
    settings = office.settings
    desk_certificate(settings.home, settings.secret(), ("localhost", "127.0.0.1"))
    async with joindesk.opened(office, "127.0.0.1", 0, "localhost") as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for Romania's node, not there yet."""
    return tmp_path / "ro"


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Join:
    """Types `seci-node join ... --json` with a token in the environment; the exit code and what it printed."""
    monkeypatch.setattr(cli_join, "_PAUSE_S", 0.05)
    # It runs in a thread here, which may not handle signals.
    monkeypatch.setattr("nodes.cli.signal", SimpleNamespace(signal=lambda *_: None, SIGPIPE=None, SIG_DFL=None))

    async def run(home: Path, hub: str | Path, *options: str, token: JoinToken | str = "") -> tuple[int, Any]:
        text = token if isinstance(token, str) else token.text()
        monkeypatch.setenv(cli_join.TOKEN_VARIABLE, text)
        argv = ["seci-node", "join", "--home", str(home), "--hub", str(hub), *options, "--json"]
        monkeypatch.setattr("sys.argv", argv)
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main)
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


async def _admit(office: Office, node: str, words: str) -> None:
    found = await decided(office, joining.approve, node, words, "ana", four_eyes=True)
    await decided(office, joining.confirm, node, "dan")
    await admission.carry_on(office, found.invitation)


async def test_a_node_joins_and_waits_for_its_operators(office: Office, url: str, home: Path, join: Join) -> None:
    token = await invited(office, "ro")
    code, waits = await join(home, url, "--wait", "0", token=token)
    assert (code, waits["stage"]) == (3, "requested")
    # Run again, without the token, it goes on with the same request.
    joins = asyncio.create_task(join(home, url))
    async with office.engine.connect() as connection:
        [row] = await joining.listing(connection, [Stage.REQUESTED])
    assert (row.words, row.proven, row.by_file) == (waits["words"], True, False)
    await asyncio.sleep(0.3)
    await _admit(office, "ro", waits["words"])
    code, done = await joins
    assert (code, done) == (0, {"node": "ro", "words": waits["words"], "stage": "enrolled"})
    settings = Settings.load(home)
    keys = load_node_keys(home / "node.key", settings.secret())
    node = await listed(office, "ro")
    assert node is not None and keys.encryption[0].public.public_bytes() in {key.public for key in node.keys}
    # Once it is in, there is nothing to do, whatever the token.
    assert await join(home, url, token=token) == (0, {"node": "ro", "stage": "enrolled"})
    assert (await join(home.with_name("second"), url, token=token))[1]["code"] == "token_used"
    # Neither the token nor a private key was sent: what is kept of the request is all that went out.
    async with office.engine.connect() as connection:
        [row] = await joining.listing(connection, [Stage.WELCOMED])
    assert token.text()[13:] not in row.asked.model_dump_json()
    assert load_tls_key(home / "tls.key", settings.secret()).public_key() is not None


async def test_each_thing_that_is_wrong_has_a_code(
    office: Office, url: str, home: Path, join: Join, tmp_path: Path
) -> None:
    token = await invited(office, "ro")
    assert (await join(home, url))[1]["code"] == "token_malformed"
    mistyped = token.text()[:-1] + ("a" if token.text()[-1] != "a" else "b")
    assert (await join(home, url, token=mistyped))[0] == 2
    with pytest.raises(NotSetUp):
        Settings.load(home)
    unknown = replace(token, secret=bytes(17))
    assert (await join(home, url, token=unknown))[1]["code"] == "token_refused"
    # The right one takes its place, with the same keys.
    key = JoinRequest.model_validate_json((home / "join.json").read_bytes()).request.signing_key
    assert (await join(home, url, "--wait", "0", token=token))[1]["stage"] == "requested"
    assert JoinRequest.model_validate_json((home / "join.json").read_bytes()).request.signing_key == key
    assert (await join(home, url, token=replace(token, node="bg")))[1]["code"] == "folder_taken"
    assert (await join(tmp_path / "other", url, token=replace(token, pin=bytes(16))))[1]["code"] == "hub_foreign"
    # Under another name than its certificate's: the token's hub all the same, and not to be believed.
    by_another_name = url.replace("localhost", "127.0.0.2")
    assert (await join(home, by_another_name))[1]["code"] in ("hub_foreign", "desk_unreachable")
    assert await join(home, "https://localhost:1") == (5, await _code("desk_unreachable", join, home))
    assert (await join(home, url.replace("https", "http")))[1]["code"] == "usage"
    await decided(office, joining.reject, "ro", "not agreed")
    code, said = await join(home, url)
    assert (code, said["code"]) == (4, "join_rejected")
    assert "not agreed" in said["detail"]


async def _code(code: str, join: Join, home: Path) -> Any:
    found = (await join(home, "https://localhost:1"))[1]
    assert found["code"] == code
    return found


async def test_another_hub_s_desk_at_the_same_address_gets_nothing(
    office: Office, url: str, home: Path, join: Join, tmp_path: Path
) -> None:
    token = await invited(office, "ro")
    make_keys(tmp_path / "false", BrokerNames(("localhost",), ()))
    # It can repeat the true hub's identity, which is no secret, but has no certificate of its authority.
    false = replace(office, settings=office.settings.model_copy(update={"home": tmp_path / "false"}))
    desk_certificate(tmp_path / "false", false.settings.secret(), ("localhost",))
    (tmp_path / "false" / "ca.pem").write_text((office.settings.home / "ca.pem").read_text())
    async with joindesk.opened(false, "127.0.0.1", 0, "localhost") as false_url:
        assert (await join(home, false_url, token=token))[1]["code"] == "hub_foreign"
    async with office.engine.connect() as connection:
        assert [item.stage for item in await joining.listing(connection, tuple(Stage))] == [Stage.INVITED]


async def test_the_desk_takes_no_rubbish_and_not_too_much(office: Office, url: str) -> None:
    context = server_context((office.settings.home / "ca.pem").read_text())
    async with httpx2.AsyncClient(base_url=url, verify=context) as client:
        for body in (b"", b"{}", b"\xff", b"[" * 50_000, b'{"v": 1}' * 20_000):
            answer = await client.post("/v1/join", content=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "request_unreadable")
        ro, token = Applicant.new("ro"), await invited(office, "ro")
        refused = [ro.asks(replace(token, id=bytes(4))), ro.asks(replace(token, secret=bytes(17)))]
        answers = [await client.post("/v1/join", content=join.model_dump_json()) for join in refused]
        # Not a word of which it is.
        assert answers[0].status_code == 403
        assert answers[0].content == answers[1].content
        statuses = [(await client.get("/v1/hub")).status_code for _ in range(joindesk.EACH[0])]
        assert statuses[0] == 200 and statuses[-1] == 429
        assert (await client.get("/healthz")).status_code == 200
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


async def test_who_sends_without_end_or_never_ends_keeps_nobody_out(
    office: Office, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deskdoor, "READ_S", 0.5)
    context, port = server_context((office.settings.home / "ca.pem").read_text()), int(url.rsplit(":", 1)[1])

    async def call(first: bytes, more: bytes = b"") -> int:
        """How much of it was taken before the desk ended the connection."""
        try:
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        except ConnectionError:
            return 0
        writer.write(first)
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                if more:
                    writer.write(more)
                    sent += len(more)
                    await writer.drain()
                if more and not reader.at_eof():
                    await asyncio.sleep(0)
                    continue
                assert await reader.read() == b""
                break
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return sent

    head = b"GET /v1/hub HTTP/1.1\r\nHost: localhost\r\n"
    async with asyncio.timeout(20):
        for endless in (head + b"X: ", b"GET /"):
            assert await call(endless, b"a" * 65_536) < 16 * 1024 * 1024
        # As many as there may be say half of it, and then nothing; one address has only so many.
        await asyncio.gather(*(call(head) for _ in range(joindesk._CONNECTIONS)))
    async with httpx2.AsyncClient(base_url=url, verify=context) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_who_connects_and_says_nothing_keeps_nobody_out() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"in")
        await reader.read()
        writer.close()

    async def comes(source: str) -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            return await reader.read(2), writer
        except ConnectionError:
            return b"", writer

    with deskdoor.listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with asyncio.timeout(20), await asyncio.start_server(hello, sock=listener):
            silent = [await comes("127.0.0.1") for _ in range(deskdoor.OPEN_EACH + 5)]
            assert [said for said, _ in silent] == [b"in"] * deskdoor.OPEN_EACH + [b""] * 5
            other = await comes("127.0.0.2")
            assert other[0] == b"in"
            for _, writer in silent:
                writer.transport.abort()
            await asyncio.sleep(0.1)
            again = await comes("127.0.0.1")
            assert again[0] == b"in"
            for writer in (other[1], again[1]):
                writer.transport.abort()


async def test_what_is_wrong_with_the_hub_itself_is_not_told(office: Office) -> None:
    desk_certificate(office.settings.home, office.settings.secret(), ("localhost",))
    down = replace(office, engine=database.engine_of("postgresql://seci_hub:x@127.0.0.1:1/seci"))
    context = server_context((office.settings.home / "ca.pem").read_text())
    token = JoinToken("ro", bytes(4), bytes(17), bytes(16))
    async with (
        joindesk.opened(down, "127.0.0.1", 0, "localhost") as url,
        httpx2.AsyncClient(base_url=url, verify=context) as client,
    ):
        answer = await client.post("/v1/join", content=Applicant.new("ro").asks(token).model_dump_json())
    assert (answer.status_code, answer.json()["code"], "Retry-After" in answer.headers) == (503, "not_now", True)
    assert "PostgreSQL" not in answer.text


class _Killed(BaseException):
    """As if the process had died."""


def _die(*_: object, **__: object) -> None:
    raise _Killed


async def test_a_node_that_dies_on_its_way_goes_on(
    office: Office, url: str, home: Path, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await invited(office, "ro")
    with monkeypatch.context() as patched:
        patched.setattr(node_joining, "keep", _die)
        with pytest.raises(_Killed):
            await join(home, url, token=token)
    code, waits = await join(home, url, "--wait", "0", token=token)
    assert code == 3
    await _admit(office, "ro", waits["words"])
    with monkeypatch.context() as patched:
        # The last thing that a welcome does.
        patched.setattr(Settings, "save", _die)
        with pytest.raises(_Killed):
            await join(home, url)
    code, done = await join(home, url)
    assert (code, done["stage"], done["words"]) == (0, "enrolled", waits["words"])


def test_one_address_has_its_share_and_all_have_theirs() -> None:
    keeper, now = Doorkeeper(), 1000.0
    for _ in range(joindesk.EACH[0]):
        keeper.admit("2001:db8::1", now)
    for same in ("2001:db8::1", "2001:db8::ffff"):
        with pytest.raises(TooMany):
            keeper.admit(same, now)
    keeper.admit("2001:db8:0:1::1", now)
    keeper.admit("192.0.2.1", now)
    keeper.admit("2001:db8::1", now + 1 / joindesk.EACH[1])
    admitted = 0
    with pytest.raises(TooMany):
        for number in range(joindesk.ALL[0] + 1):
            keeper.admit(f"10.0.{number // 250}.{number % 250}", now)
            admitted += 1
    assert 0 < admitted < joindesk.ALL[0]


async def test_by_file_for_a_node_with_no_way_in(office: Office, home: Path, join: Join, tmp_path: Path) -> None:
    token, file = await invited(office, "ro"), tmp_path / "ro.join.json"
    code, said = await join(home, file, token=token)
    assert (code, said["stage"]) == (3, "invited")
    asked = JoinRequest.model_validate_json(file.read_bytes())
    found = await admission.receive(office, asked, by_file=True)
    assert found.words == said["words"]
    # What waits can be told in a file, too. It has the challenge, which the node opens.
    answer = tmp_path / "ro.answer.json"
    answer.write_text((await admission.answer(office, found)).model_dump_json(exclude_none=True))
    assert (await join(home, answer))[1]["stage"] == "requested"
    opened = JoinRequest.model_validate_json(file.read_bytes())
    assert opened.opened is not None and opened.request == asked.request
    assert (await admission.receive(office, opened, by_file=True)).proven
    await _admit(office, "ro", said["words"])
    async with office.engine.connect() as connection:
        found = await joining.latest(connection, "ro")
    sealed = await admission.answer(office, found)
    answer.write_text(sealed.model_dump_json(exclude_none=True))
    for wrong in (sealed.model_copy(update={"node": "bg"}), sealed.model_copy(update={"sealed": "AAAA"})):
        (tmp_path / "wrong.json").write_text(wrong.model_dump_json(exclude_none=True))
        assert (await join(home, tmp_path / "wrong.json"))[1]["code"] == "answer_unfit"
    (tmp_path / "wrong.json").write_text("{}")
    assert (await join(home, tmp_path / "wrong.json"))[0] == 2
    assert not Settings.load(home).enrolled
    assert (await join(home, answer))[1]["stage"] == "enrolled"


async def test_after_lost_keys_it_is_the_same_node_with_others(
    office: Office, url: str, home: Path, join: Join, tmp_path: Path
) -> None:
    before = Applicant.new("ro")
    token = await invited(office, "ro")
    await admission.receive(office, before.asks(token), by_file=True)
    await _admit(office, "ro", " ".join(proofs.join_words(before.asks(token))))
    again = await invited(office, "ro", replace_keys=True)
    code, waits = await join(home, url, "--wait", "0", token=again)
    await _admit(office, "ro", waits["words"])
    # A roster with keys that this folder does not have: only who says so has lost them.
    code, said = await join(home, url)
    assert (code, said["code"]) == (4, "earlier_keys")
    assert before.signing.public.key_id.hex() in said["detail"]
    assert not Settings.load(home).enrolled
    assert (await join(home, url, "--lost-keys"))[1]["stage"] == "enrolled"
    settings = Settings.load(home)
    box = Store.open(home / "node.db", load_node_keys(home / "node.key", settings.secret()).storage)
    try:
        assert await box.run(rosters.in_force) == 2
    finally:
        box.close()

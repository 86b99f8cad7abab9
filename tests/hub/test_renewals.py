"""The hub's answers to requests for renewal: one that is wrong cuts off neither its node nor others."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import certificates, keyfile
from crypto.keys import SigningKey
from crypto.renewal import sign_renewal
from hub import registrar, renewals
from hub.broker import BrokerAddress
from hub.judge import Arrival, Renewing
from hub.locked import keys_alone
from hub.pen import writing
from hub.renewals import Renewals
from hub.settings import Settings
from schemas.control import MessageType
from schemas.renewal import RenewalAnswer, RenewalRequest
from schemas.roster import RosterNode
from tests.crypto.people import BG, HU, RO, Person, roster_key, roster_node
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
FAR = 2**45
CSR = certificates.to_pem(certificates.create_csr("node-ro", certificates.new_tls_key())).decode()


def _asked(new: SigningKey | None = None, **changes: Any) -> Renewing:
    fields = {"csr_pem": CSR, "signing": None if new is None else new.public.public_bytes()} | changes
    request = RenewalRequest(node="ro", at=time.time_ns() // 1_000_000, **fields)
    return Renewing(Arrival("ro", MessageType.RENEWAL, sign_renewal(request, RO.signing, new), 1), request)


def _nodes(**others: Person) -> list[RosterNode]:
    people = {"bg": BG, "ro": RO} | others
    keys = {name: (one.signing, one.encryption) for name, one in people.items()}
    return [roster_node(name, *(roster_key(key, end=FAR) for key in both)) for name, both in keys.items()]


async def _answering(own: OwnHub, engine: AsyncEngine) -> Callable[[Renewing], Awaitable[RenewalAnswer]]:
    settings, log = Settings.load(own.home), own.log
    async with writing(engine, log) as connection:
        await registrar.publish_roster(connection, log, _nodes(), log.signer.key)
    at_work = Renewals(settings, BrokerAddress.of(settings), engine, log)

    async def answered(asked: Renewing) -> RenewalAnswer:
        return RenewalAnswer.from_bytes((await at_work._answer(asked))[-1].body)

    return answered


async def test_what_was_judged_before_the_key_was_taken_away_is_judged_again(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    answered, asked = await _answering(own, own_engine), _asked(SigningKey.generate())
    # The node has lost its keys and has others: it takes part, and what asks with the old one is somebody else.
    async with writing(own_engine, own.log) as connection:
        await registrar.publish_roster(connection, own.log, _nodes(ro=HU), own.log.signer.key)
    said = await answered(asked)
    assert (said.code, said.certificate_pem) == ("renewal_refused", None)
    async with own_engine.connect() as connection:
        now = await registrar.current(connection, own.log.signer.key.public)
    assert list(now.nodes) == _nodes(ro=HU)


async def test_a_node_that_asks_without_end_fills_no_revocation_list(
    own: OwnHub, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewals, "MOST_CERTIFICATES", 2)
    answered = await _answering(own, own_engine)
    said = [await answered(_asked()) for _ in range(3)]
    assert [one.code for one in said] == [None, None, "renewal_refused"]
    assert said[2].certificate_pem is None and "within a day" in (said[2].detail or "")


async def test_a_request_that_is_wrong_cuts_nobody_off(own: OwnHub, own_engine: AsyncEngine) -> None:
    answered = await _answering(own, own_engine)
    # Keys that it may not have: yet its certificate ends some day.
    said = await answered(_asked(BG.signing))
    assert said.code == "renewal_refused" and said.certificate_pem is not None
    said = await answered(_asked(BG.signing, csr_pem=None))
    assert (said.code, said.certificate_pem) == ("renewal_refused", None)
    said = await answered(_asked(csr_pem="nonsense"))
    assert (said.code, said.certificate_pem) == ("enrolment_refused", None)
    # The worker goes on with the keys' new secret, although it was started with the old one.
    new = own.home.parent / "new.key"
    assert own.type("reseal", "--key-file", str(new))[0] == 0
    (own.home / "secret.key").unlink()
    said = await answered(_asked(SigningKey.generate()))
    assert said.code is None and said.certificate_pem is not None
    # Nobody makes keys while they get another secret: one of the two would be closed with what nobody keeps.
    with keys_alone(own.home):
        for words in (("renew",), ("reseal", "--key-file", str(new)), ("ca", "switch"), ("init", *own.options)):
            assert own.type(*words)[1]["code"] == "keys_busy"
    # And what it cannot open it says, and answers the next one.
    new.unlink()
    keyfile.generate_key_file(new)
    said = await answered(_asked())
    assert (said.code, said.certificate_pem) == ("wrong_passphrase", None)

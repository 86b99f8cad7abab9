"""The hub's answers to requests for renewal: one that is wrong cuts off neither its node nor others."""

import time
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import certificates, keyfile
from crypto.keys import SigningKey
from hub import registrar
from hub.broker import BrokerAddress
from hub.judge import Arrival, Renewing
from hub.pen import writing
from hub.renewals import Renewals
from hub.settings import Settings
from schemas.control import MessageType
from schemas.renewal import RenewalAnswer, RenewalRequest
from tests.crypto.people import BG, RO, roster_key, roster_node
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
FAR = 2**45
CSR = certificates.to_pem(certificates.create_csr("node-ro", certificates.new_tls_key())).decode()


def _asked(**changes: Any) -> Renewing:
    request = RenewalRequest(node="ro", at=time.time_ns() // 1_000_000, **{"csr_pem": CSR} | changes)
    return Renewing(Arrival("ro", MessageType.RENEWAL, request.to_bytes(), 1), request)


async def test_a_request_that_is_wrong_cuts_nobody_off(own: OwnHub, own_engine: AsyncEngine) -> None:
    settings, log = Settings.load(own.home), own.log
    keys = {name: (one.signing, one.encryption) for name, one in (("bg", BG), ("ro", RO))}
    nodes = [roster_node(name, *(roster_key(key, end=FAR) for key in both)) for name, both in keys.items()]
    async with writing(own_engine, log) as connection:
        await registrar.publish_roster(connection, log, nodes, log.signer.key)
    renewals = Renewals(settings, BrokerAddress.of(settings), own_engine, log)

    async def answered(asked: Renewing) -> RenewalAnswer:
        return RenewalAnswer.from_bytes((await renewals._answer(asked))[-1].body)

    # Keys that it may not have: yet its certificate ends some day.
    said = await answered(_asked(signing=BG.signing.public.public_bytes()))
    assert said.code == "renewal_refused" and said.certificate_pem is not None
    said = await answered(_asked(signing=BG.signing.public.public_bytes(), csr_pem=None))
    assert (said.code, said.certificate_pem) == ("renewal_refused", None)
    said = await answered(_asked(csr_pem="nonsense"))
    assert (said.code, said.certificate_pem) == ("enrolment_refused", None)
    # The worker goes on with the keys' new secret, although it was started with the old one.
    new = own.home.parent / "new.key"
    assert own.type("reseal", "--key-file", str(new))[0] == 0
    (own.home / "secret.key").unlink()
    said = await answered(_asked(signing=SigningKey.generate().public.public_bytes()))
    assert said.code is None and said.certificate_pem is not None
    # And what it cannot open it says, and answers the next one.
    new.unlink()
    keyfile.generate_key_file(new)
    said = await answered(_asked())
    assert (said.code, said.certificate_pem) == ("wrong_passphrase", None)

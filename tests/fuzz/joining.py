"""What people and programs hand in: a message to send, a request to join, a welcome."""

import asyncio
import base64
import json
from pathlib import Path

from pydantic import ValidationError

from crypto.certificates import create_ca, create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request
from crypto.errors import CryptoError
from crypto.joining import (
    close_challenge,
    identity_in,
    is_opened,
    new_token,
    open_challenge,
    open_welcome,
    pin_of,
    seal_welcome,
    token_key,
    verify_token,
)
from crypto.trust import sign_roster
from hub.errors import EnrolmentRefused, HubError
from hub.joining import Terms, parse
from hub.joining import check_request as check_join
from hub.registrar import Unsigned, certify, check_request, with_admitted
from nodes import desk, setup
from nodes.errors import NodeError
from nodes.outgoing import Outgoing, route
from schemas import registry
from schemas.enrolment import EnrolmentRequest, Welcome
from schemas.joining import HubIdentity, JoinAnswer, JoinToken, Stage, TokenMalformed
from schemas.roster import Roster
from tests.crypto.people import HUB, NOW, RO, trust
from tests.fuzz import documents
from tests.fuzz.target import OF_JSON, OF_TEXT, Target
from tests.hub.applicants import Applicant
from tests.schemas.strategies import FIXED_ID

_CA_KEY = new_tls_key()
_CA = create_ca("Fuzz CA", _CA_KEY)


def joining(folder: Path) -> tuple[Target, ...]:
    """Files and requests; `folder` is for a node's home."""
    return (*_people(), _welcomed(folder), *_invited())


def _people() -> tuple[Target, ...]:
    csr = to_pem(create_csr("node-ro", new_tls_key()))
    request = sign_request("ro", RO.signing, RO.encryption.public, csr)
    message = {
        "kind": "alert",
        "task_force": "drugs",
        "to": ["bg"],
        "body": {"title": "t", "text": "x"},
        "expires": "2005-01-01T00:00:00Z",
        "id": str(FIXED_ID),
    }

    def outgoing(data: bytes) -> object:
        posted = Outgoing.model_validate_json(data)
        posted.digest()
        registry.body_bytes(posted.kind, posted.kind_version, posted.body)
        return route(posted, "ro", trust(), None, NOW)

    def enrolled(data: bytes) -> object:
        asked = EnrolmentRequest.model_validate_json(data)
        check_request(asked, Unsigned(0, ()))
        return certify(asked.node, asked.csr_pem, _CA, _CA_KEY)

    def certified(data: bytes) -> object:
        text = data.decode(errors="replace").encode()
        return enrolled(sign_request("ro", RO.signing, RO.encryption.public, text).model_dump_json().encode())

    refusals = (ValidationError, NodeError, registry.KindUnknown, registry.BodyInvalid)
    return (
        Target("Outgoing", (json.dumps(message).encode(),), OF_JSON, outgoing, refusals),
        Target(
            "EnrolmentRequest",
            (request.model_dump_json().encode(),),
            OF_JSON,
            enrolled,
            (ValidationError, EnrolmentRefused),
        ),
        Target("certificate request, signed anew", (csr,), OF_TEXT, certified, (ValidationError, EnrolmentRefused)),
    )


def _invited() -> tuple[Target, ...]:
    who, token = Applicant.new("ro"), new_token("ro", bytes(16))
    join, terms = who.asks(token), Terms(None, None, False, 0)
    known = token_key(token).public
    welcome = Welcome(
        node="ro",
        certificate_pem="",
        ca_pem=to_pem(_CA).decode(),
        broker_host="localhost",
        broker_port=5671,
        vhost="siex",
        hub_key="AAAA",
        log_origin=documents.ORIGIN,
        log_vkey=documents.SIGNER.verifier.vkey(),
        roster="AAAA",
    )
    answer = JoinAnswer(
        node="ro",
        invitation=join.invitation,
        stage=Stage.WELCOMED,
        challenge=close_challenge(join, bytes(32)),
        sealed=seal_welcome(join, welcome),
    )

    def asked(data: bytes) -> object:
        found = parse(data)
        check_join(found, Unsigned(0, ()), terms)
        is_opened(found, bytes(32))
        return verify_token(found, known)

    def answered(data: bytes) -> object:
        found = desk.parse(data)
        if found.challenge is not None:
            open_challenge(join, found.challenge, who.encryption)
        told = Welcome.model_validate_json(open_welcome(join, found.sealed or "", who.encryption))
        return pin_of(identity_in(told))

    def identified(data: bytes) -> object:
        return pin_of(HubIdentity.model_validate_json(data))

    seed = identity_in(welcome).model_dump_json().encode()
    return (
        Target(
            "token",
            (token.text().encode(),),
            OF_TEXT,
            lambda data: JoinToken.parse(data.decode(errors="replace")),
            (TokenMalformed,),
        ),
        Target("JoinRequest", (join.model_dump_json().encode(),), OF_JSON, asked, (HubError, CryptoError)),
        Target("JoinAnswer", (answer.model_dump_json().encode(),), OF_JSON, answered, (NodeError, CryptoError)),
        Target("HubIdentity", (seed,), OF_JSON, identified, (CryptoError, ValidationError)),
    )


def _welcomed(folder: Path) -> Target:
    home, file = folder / "ro", folder / "welcome.json"
    setup.create(home, "ro")
    request, settings = setup.read_request(home), (home / "node.json").read_bytes()
    roster = Roster(version=1, at=NOW, nodes=with_admitted(Unsigned(0, ()), [request], None, None))
    seed = Welcome(
        node="ro",
        certificate_pem=certify("ro", request.csr_pem, _CA, _CA_KEY).decode(),
        ca_pem=to_pem(_CA).decode(),
        broker_host="localhost",
        broker_port=5671,
        vhost="siex",
        hub_key=base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        log_origin=documents.ORIGIN,
        log_vkey=documents.SIGNER.verifier.vkey(),
        roster=base64.b64encode(documents.news(sign_roster(roster, HUB.signing), 1).to_bytes()).decode(),
    )

    def taken_in(data: bytes) -> object:
        # As it was before any welcome.
        (home / "node.json").write_bytes(settings)
        file.write_bytes(data)
        return asyncio.run(setup.welcome(home, file))

    return Target("Welcome", (seed.model_dump_json().encode(),), OF_JSON, taken_in, (NodeError,))

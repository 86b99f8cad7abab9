"""What people and programs hand in: a message to send, a request to join, a welcome."""

import asyncio
import base64
import json
from pathlib import Path

from pydantic import ValidationError

from crypto.certificates import create_ca, create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request
from crypto.trust import sign_roster
from hub.errors import EnrolmentRefused
from hub.registrar import Unsigned, certify, check_request, with_admitted
from nodes import setup
from nodes.errors import NodeError
from nodes.outgoing import Outgoing, route
from schemas import registry
from schemas.enrolment import EnrolmentRequest, Welcome
from schemas.roster import Roster
from tests.crypto.people import HUB, NOW, RO, trust
from tests.fuzz import documents
from tests.fuzz.target import OF_JSON, OF_TEXT, Target
from tests.schemas.strategies import FIXED_ID

_CA_KEY = new_tls_key()
_CA = create_ca("Fuzz CA", _CA_KEY)


def joining(folder: Path) -> tuple[Target, ...]:
    """Files and requests; `folder` is for a node's home."""
    return (*_people(), _welcomed(folder))


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


def _welcomed(folder: Path) -> Target:
    home, file = folder / "ro", folder / "welcome.json"
    setup.create(home, "ro")
    request, settings = setup.read_request(home), (home / "node.json").read_bytes()
    roster = Roster(version=1, at=NOW, nodes=with_admitted(Unsigned(0, ()), [request], None, None))
    seed = Welcome(
        node="ro",
        certificate_pem=certify(request, _CA, _CA_KEY).decode(),
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

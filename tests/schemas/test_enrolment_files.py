"""The request and the welcome by which a node joins: JSON that an operator can read, refused if altered in form."""

import pytest
from pydantic import ValidationError

from schemas.enrolment import EnrolmentRequest, Welcome

REQUEST = EnrolmentRequest(node="ro", signing_key="AQID", encryption_key="BAUG", csr_pem="PEM", proof="AA==")
WELCOME = Welcome(
    node="ro",
    certificate_pem="PEM",
    ca_pem="PEM",
    broker_host="hub.example.org",
    broker_port=5671,
    vhost="seci",
    hub_key="AQID",
    log_origin="log.example.org",
    log_vkey="log.example.org+00000000+AQID",
    roster="AQID",
)


@pytest.mark.parametrize("file", [REQUEST, WELCOME], ids=["request", "welcome"])
def test_a_file_comes_back_as_it_was(file: EnrolmentRequest | Welcome) -> None:
    assert type(file).model_validate_json(file.model_dump_json()) == file


def test_a_welcome_may_name_the_hub_s_second_key_or_not() -> None:
    older = WELCOME.model_dump(exclude_none=True)
    assert "log_vkey_mldsa" not in older
    assert Welcome.model_validate(older).log_vkey_mldsa is None
    assert Welcome.model_validate({**older, "log_vkey_mldsa": "a+b+c"}).log_vkey_mldsa == "a+b+c"


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        (REQUEST, "node", "RO"),
        (REQUEST, "signing_key", "not base64!"),
        (REQUEST, "encryption_key", "AQ=ID"),
        (REQUEST, "encryption_key", "AQI"),
        (WELCOME, "hub_key", "A"),
        (WELCOME, "roster", "AQID="),
        (REQUEST, "csr_pem", "x" * 10_001),
        (REQUEST, "proof", 5),
        (REQUEST, "v", 2),
        (REQUEST, "private_key", "AQID"),
        (WELCOME, "broker_port", 0),
        (WELCOME, "broker_port", 65_536),
        (WELCOME, "roster", "\n"),
    ],
)
def test_a_bad_value_is_refused_and_its_field_named(
    file: EnrolmentRequest | Welcome, field: str, value: object
) -> None:
    with pytest.raises(ValidationError, match=rf"(?m)^{field}$"):
        type(file).model_validate({**file.model_dump(), field: value})

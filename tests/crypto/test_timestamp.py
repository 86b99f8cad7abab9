"""Timestamps by a TSA of our own (openssl), verified by us and by openssl; and what a hostile TSA may answer."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from crypto.errors import TimestampInvalid, TsaRootsUnusable
from crypto.timestamp import MAX_RESPONSE, Timestamp, ask, read_roots, verify_timestamp
from tests.crypto.tsa import Tsa, granted, openssl_verifies

DATA = b"a checkpoint"
BOTH = (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """One that does what it should."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


def _verified(tsa: Tsa, response: bytes, data: bytes = DATA, nonce: int | None = None) -> Timestamp:
    return verify_timestamp(response, data, read_roots(tsa.roots.read_bytes()), nonce)


def _openssl_verifies(tsa: Tsa, response: bytes) -> bool:
    data, file = tsa.folder / "data", tsa.folder / "response.tsr"
    data.write_bytes(DATA)
    file.write_bytes(response)
    return openssl_verifies(data, file, tsa.roots)


def _code(tsa: Tsa, response: bytes, **changes: Any) -> str:
    with pytest.raises(TimestampInvalid) as refused:
        _verified(tsa, response, **changes)
    return refused.value.code


@pytest.mark.parametrize("intermediate", [False, True])
def test_what_a_tsa_signs_is_read_and_openssl_agrees(tmp_path: Path, intermediate: bool) -> None:
    tsa = Tsa.create(tmp_path / "this", intermediate=intermediate)
    before, question = time.time(), ask(DATA)
    response = tsa.reply(question.request)
    found = _verified(tsa, response, nonce=question.nonce)
    assert before - 1 <= found.at / 1000 <= time.time()
    assert (found.within, found.tsa) == (1500, "CN=TSA of this")
    assert _openssl_verifies(tsa, response)


def test_a_question_tells_the_digest_only_and_no_two_are_alike() -> None:
    one, other = ask(DATA), ask(DATA)
    assert DATA not in one.request
    assert one.nonce != other.nonce


def test_a_timestamp_of_something_else_is_foreign(tsa: Tsa) -> None:
    question = ask(DATA)
    response = tsa.reply(question.request)
    assert _code(tsa, response, data=b"another checkpoint") == "timestamp_foreign"
    assert _code(tsa, response, nonce=question.nonce + 1) == "timestamp_foreign"


def test_a_tsa_that_nobody_trusts_is_refused(tsa: Tsa, tmp_path: Path) -> None:
    response = tsa.reply(ask(DATA).request)
    assert _code(Tsa.create(tmp_path / "other"), response) == "timestamp_untrusted"
    with pytest.raises(TimestampInvalid):
        verify_timestamp(response, DATA, ())
    # The certificate's name alone is not enough: this one has the good one's.
    (tmp_path / "double").mkdir()
    assert _code(tsa, Tsa.create(tmp_path / "double" / "good").reply(ask(DATA).request)) == "timestamp_untrusted"


def test_a_signature_that_was_changed_is_refused(tsa: Tsa) -> None:
    response = bytearray(tsa.reply(ask(DATA).request))
    response[-3] ^= 1
    assert _code(tsa, bytes(response)) == "timestamp_untrusted"


def test_another_time_under_the_same_signature_is_refused(tsa: Tsa) -> None:
    response = tsa.reply(ask(DATA).request)
    # The first GeneralizedTime with this year's digits is the one that is signed; the certificate has UTCTime.
    year = time.gmtime().tm_year
    assert response.count(b"\x18\x0f%d" % year) == 1
    changed = response.replace(b"\x18\x0f%d" % year, b"\x18\x0f%d" % (year - 1))
    assert _code(tsa, changed) == "timestamp_untrusted"


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"usages": BOTH}, ["-cades"]),
        ({"usages": (ExtendedKeyUsageOID.CLIENT_AUTH,)}, ["-cades"]),
        ({"usages": ()}, ["-cades"]),
        ({"critical": False}, ["-cades"]),
        ({"ended": timedelta(days=1)}, ["-cades"]),
        ({}, []),
        ({}, ["-cades", "-nocerts"]),
    ],
    ids=["two uses", "another use", "no use", "use not critical", "expired", "unnamed", "no certificate"],
)
def test_what_openssl_would_not_take_we_do_not_take(
    tsa: Tsa, tmp_path: Path, changes: dict[str, Any], options: list[str]
) -> None:
    signer = Tsa.create(tmp_path / "signer", **changes)
    response = signer.sign(tsa.info(ask(DATA).request), *options)
    assert not _openssl_verifies(signer, response)
    assert _code(signer, response) == "timestamp_untrusted"


def test_what_a_tsa_signed_as_something_else_is_no_timestamp(tsa: Tsa) -> None:
    response = tsa.sign(tsa.info(ask(DATA).request), "-cades", content="1.2.840.113549.1.9.16.1.1")
    assert not _openssl_verifies(tsa, response)
    assert _code(tsa, response) == "timestamp_malformed"


def test_what_openssl_takes_of_the_same_make_we_take(tsa: Tsa) -> None:
    response = tsa.sign(tsa.info(ask(DATA).request), "-cades")
    assert _openssl_verifies(tsa, response)
    assert _verified(tsa, response).tsa == "CN=TSA of good"


def test_a_refusal_is_told(tsa: Tsa) -> None:
    response = tsa.reply(ask(DATA).request[:-3])
    assert _code(tsa, response) == "timestamp_not_granted"


@pytest.mark.parametrize(
    "response",
    [b"", b"<html>", granted(b""), granted(b"\x30\x00"), b"\x30\x80" * 9000, bytes(MAX_RESPONSE + 1)],
)
def test_what_is_no_answer_is_malformed(tsa: Tsa, response: bytes) -> None:
    assert _code(tsa, response) == "timestamp_malformed"


def test_the_size_is_bounded_before_anything_is_read(tsa: Tsa) -> None:
    response = tsa.reply(ask(DATA).request)
    assert _code(tsa, response + bytes(MAX_RESPONSE)) == "timestamp_malformed"


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"])
def test_a_file_without_roots_is_told(pem: bytes) -> None:
    with pytest.raises(TsaRootsUnusable):
        read_roots(pem)

"""Just enough of DER to put the certificates of a timestamp in order.

A set in DER is sorted, and `rfc3161-client` takes no other; but OpenSSL and others write a TSA's certificates as they
come. They are not part of what is signed, so their order may be mended; nothing else is touched.
"""

from typing import Final

_SEQUENCE: Final = 0x30
_CERTIFICATES: Final = 0xA0
# Where an element starts, where its content does, and where it ends.
Span = tuple[int, int, int]


def with_sorted_certificates(response: bytes) -> bytes:
    """A TimeStampResp with the certificates of its token sorted; as it is, if they are or it cannot be read."""
    try:
        (whole,) = _parts(response, 0, len(response))
        _, token = _inside(response, whole)
        _, content = _inside(response, token)
        (signed_data,) = _inside(response, content)
        found = [part for part in _inside(response, signed_data) if response[part[0]] == _CERTIFICATES]
        (certificates,) = found
        parts = _inside(response, certificates)
    except (ValueError, IndexError):
        return response
    if any(response[start] != _SEQUENCE for start, _, _ in parts):
        return response
    _, start, end = certificates
    return response[:start] + b"".join(sorted(response[first:last] for first, _, last in parts)) + response[end:]


def _inside(data: bytes, span: Span) -> list[Span]:
    return _parts(data, span[1], span[2])


def _parts(data: bytes, start: int, end: int) -> list[Span]:
    parts = []
    while start < end:
        content, size = start + 2, data[start + 1]
        if size > 0x80:
            content += size & 0x7F
            size = int.from_bytes(data[start + 2 : content])
        elif size == 0x80:
            raise ValueError("an indefinite length is not DER")
        if content + size > end:
            raise ValueError("an element is longer than what it is in")
        parts.append((start, content, content + size))
        start = content + size
    return parts

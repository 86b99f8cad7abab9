"""Numbers and bytes in texts, each in the one form that it has: what reads otherwise is refused by its caller."""

import base64


def decimal(text: str) -> int | None:
    """The number of at most 19 digits that `text` is the one decimal form of; None if it is not."""
    plain = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if plain and (text == "0" or not text.startswith("0")) else None


def exact_base64(text: str) -> bytes | None:
    """The bytes that `text` is the one base64 form of (RFC 4648 section 4); None if it is not."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None

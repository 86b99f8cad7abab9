"""Times as the API and the command line show them."""

from datetime import UTC, datetime


def iso(millis: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Where every module writes its lines (crypto/journal.py says how they look).

structlog is imported with the first line: it takes a tenth of a command's start, and most commands log nothing.
"""

from typing import Any, Final


class _Log:
    def __getattr__(self, name: str) -> Any:
        import structlog

        return getattr(structlog.get_logger(), name)


log: Final = _Log()

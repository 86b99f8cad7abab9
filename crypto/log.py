"""Where every module writes its lines (crypto/journal.py says how they look).

structlog is imported with the first line: it takes a tenth of a command's start, and most commands log nothing.
"""

import sys
from typing import Any, Final


class _Log:
    def __getattr__(self, name: str) -> Any:
        import structlog

        if structlog.is_configured():
            return getattr(structlog.get_logger(), name)
        # A command, whose answer is on stdout: structlog's own choice would write into that.
        return getattr(structlog.wrap_logger(structlog.PrintLogger(sys.stderr)), name)


log: Final = _Log()

"""How both programs log: JSON lines on stderr, ids and digests only, never content, keys or tokens."""

import logging
import re
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import TextIO

import structlog

from crypto.log import log


def configure_logging(*processors: structlog.typing.Processor) -> None:
    """Sets structlog and the standard library's logging up; other packages speak from WARNING on.

    So do Python's own warnings, and errors that nobody caught: they would go to stderr in a form of their own.
    `processors` see each event of ours before it is written; a program counts them so.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    lines = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, *processors, lines],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_traceback, lines],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    warnings.showwarning = _warned
    sys.excepthook = _died
    threading.excepthook = lambda told: log.critical("thread_failed", **_told(told.exc_type, told.exc_traceback))
    sys.unraisablehook = lambda told: log.error("not_raisable", **_told(told.exc_type, told.exc_traceback))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # Its text may show a value, as pydantic's do.
    log.warning("python_warning", kind=category.__name__, where=f"{Path(filename).name}:{lineno}")


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        kind, trace = type(error), error.__traceback__ or trace
    log.critical("died", **_told(kind, trace))


def _told(kind: type[BaseException], trace: TracebackType | None) -> dict[str, object]:
    # What an error says may hold what a message says; the lines that it came by do not.
    frames = traceback.extract_tb(trace)[-8:]
    return {"error": kind.__name__, "where": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]}


def _without_traceback(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    # Frames of other packages may show what a message holds: the error's type must do.
    found = event.pop("exc_info", None)
    if isinstance(found, tuple) and found[0] is not None:
        event["error"] = found[0].__name__
    if event.get("logger") == "asyncio":
        # Behind the first words it shows the future or the callback, with what the error says and what it was given.
        event["event"] = re.split(r"\n|(?<=^Exception in callback )", str(event["event"]), maxsplit=1)[0].rstrip()
    return event

"""How both programs log: JSON lines on stderr, ids and digests only, never content, keys or tokens."""

import logging
import sys

import structlog


def configure_logging(*processors: structlog.typing.Processor) -> None:
    """Sets structlog and the standard library's logging up; other packages speak from WARNING on.

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


def _without_traceback(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    # Frames of other packages may show what a message holds: the error's type must do.
    found = event.pop("exc_info", None)
    if isinstance(found, tuple) and found[0] is not None:
        event["error"] = found[0].__name__
    return event

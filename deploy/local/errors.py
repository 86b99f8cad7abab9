"""What can go wrong when services are started on this machine, each with a stable code."""

from typing import ClassVar


class LocalError(Exception):
    """The root of this room's errors. `code` is stable; the text says what happened and what to do."""

    code: ClassVar[str] = "local_error"


class ProgramsMissing(LocalError):
    """RabbitMQ or PostgreSQL is not on this machine and could not be installed."""

    code = "programs_missing"


class PortTaken(LocalError):
    """A port that was asked for by number is in use."""

    code = "port_taken"


class AlreadyRunning(LocalError):
    """The folder's services are running, here or in another process."""

    code = "already_running"


class NotRunning(LocalError):
    """There are no services in this folder to connect to."""

    code = "not_running"


class StartFailed(LocalError):
    """A service ended, or did not become ready, while starting; the text has the end of its log."""

    code = "start_failed"


class CommandFailed(LocalError):
    """A tool of RabbitMQ or PostgreSQL ended with an error; the text has what it printed."""

    code = "command_failed"

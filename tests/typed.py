"""What somebody types, without a process for each line: a program's `main`, in this one, with all that is its own.

A process takes longer to start than a command to answer. That the programs start at all, take what is piped into them
and hand out their exit codes, one test of each shows in a process.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest


def type_in(
    main: Callable[[], None], *words: str | Path, body: bytes = b"", **environment: str
) -> tuple[int, str, str]:
    """The exit code of a program that is given these words, and what it printed on stdout and stderr.

    `body` is on its stdin; `environment` is added to ours.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        # What becomes of signals is for the tests' own process to say.
        patch.object(signal, "signal"),
        patch.object(sys, "argv", ["typed", *map(str, words)]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(body), "utf-8")),
        patch.dict(os.environ, environment),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return int(ended.value.code or 0), *(stream.buffer.getvalue().decode() for stream in (out, err))


def type_aside(main: Callable[[], None], *words: str | Path) -> tuple[int, str, str]:
    """`type_in` for tests that have an event loop, in a thread that has none."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(type_in, main, *words).result()

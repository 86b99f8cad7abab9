"""What signs, where it may have to wait: a hardware token takes its time, and the agent goes on meanwhile."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar, cast

from crypto.keys import SigningKey

P = ParamSpec("P")
T = TypeVar("T")
_BESIDE: Final = "beside"


async def signed_by(key: SigningKey, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, which signs with `key`: beside the event loop if the key is in a token. Raises as `work`."""
    if key.reference is None:
        return work(*args, **kwargs)
    return await beside(work, *args, **kwargs)


async def beside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, done in a thread of its own: none that others wait for is held up, nor the program's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(cast("T", result))
        else:
            done.set_exception(error)

    def run() -> None:
        try:
            result, error = work(*args, **kwargs), None
        except BaseException as raised:
            result, error = None, raised
        # Nobody is left to be told when the program has ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=_BESIDE, daemon=True).start()
    return await done


def finish(longest_s: float) -> None:
    """Lets what was begun `beside` end, if it does soon: the interpreter had better not end in the midst of it."""
    end = time.monotonic() + longest_s
    for thread in threading.enumerate():
        if thread.name == _BESIDE:
            thread.join(max(0.0, end - time.monotonic()))

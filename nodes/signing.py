"""What signs, where it may have to wait: a hardware token takes its time, and the agent goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from crypto.keys import SigningKey

P = ParamSpec("P")
T = TypeVar("T")


async def signed_by(key: SigningKey, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, which signs with `key`: beside the event loop if the key is in a token. Raises as `work`."""
    if key.reference is None:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)

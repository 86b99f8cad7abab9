"""A steady pace: what is due is started on time, however long what was started before takes."""

import asyncio
from collections.abc import AsyncIterator


async def pace(rate: float, seconds: float) -> AsyncIterator[int]:
    """Counts from 0, `rate` times a second, for so many seconds. What is late is made up for at once."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
        yield number

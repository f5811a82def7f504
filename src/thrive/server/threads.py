"""The threads in which requests wait for the database and the disk."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Run = Callable[..., Awaitable[Any]]
"""Calls a function with its arguments in a thread."""
THREADS = 8
"""Operations at work at a time; more would only wait for each other's turn to run Python."""


async def run_in(pool: ThreadPoolExecutor, function: Any, *arguments: Any) -> Any:
    """Call a function in a thread of the pool."""
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

"""TCP proxies in front of a lab's store, one for each process of the lab, that delay, cut and black-hole connections.

Used by the chaos lab. They live on one thread with an asyncio loop of its own; what a proxy is told may come from any
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class StoreProxy:
    """One way to the store. `url` is what a process of the lab is given as WEBLAB_REDIS_URL."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], target: Path):
        self._run = run
        self._target = target
        self._delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.met = 0
        """Pieces that were held back, by a delay or a black hole."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    # -- faults, from any thread

    def cut(self) -> int:
        """Break all connections, in the middle of whatever they carry; returns how many ends they had."""
        return int(self._run(self._cut()))

    def delay(self, seconds: float) -> None:
        """From now on hold each piece back so long, in both directions; 0: no more."""
        self._delay = seconds

    def swallow(self) -> None:
        """Let nothing through in either direction, and take new connections all the same: a black hole."""
        self._run(self._hold())

    def let_go(self) -> None:
        """End of the black hole: what it held goes through now, late, as a network does that was only stuck."""
        self._run(self._release())

    # -- on the thread of the loop

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()

    async def _cut(self) -> int:
        writers = list(self._writers)
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    async def _hold(self) -> None:
        self._flows.clear()

    async def _release(self) -> None:
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            away, back = await asyncio.open_unix_connection(self._target)
        except OSError:
            self._end(writer)
            return
        self._writers.add(back)
        one, other = asyncio.create_task(self._pass(reader, back)), asyncio.create_task(self._pass(away, writer))
        await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)
        self._end(writer)
        self._end(back)
        await asyncio.wait([one, other])

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.met += bool(self._delay) or not self._flows.is_set()
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()


class StoreProxies:
    """The thread of all proxies. Use it with `with`."""

    def __init__(self, target: Path):
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store-proxies")
        self._proxies: list[StoreProxy] = []

    def make(self) -> StoreProxy:
        """A further way to the store."""
        proxy = StoreProxy(self._run, self._target)
        self._run(proxy.open())
        self._proxies.append(proxy)
        return proxy

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def __enter__(self) -> StoreProxies:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            self._run(proxy._release())
            self._run(proxy.close())
        self._run(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _settle(self) -> None:
        """Wait for the connections' own ends."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=10)

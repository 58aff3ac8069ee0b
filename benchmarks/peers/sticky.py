"""A proxy in front of several web processes: whoever comes again, by the same cookie, comes to the same one. A program.

    python sticky.py PORT BACKEND_PORT...

One choice for each connection, by the cookies of its first request; then bytes go both ways as they come, WebSockets
included. Prints its port when it listens. For measuring only: a lab has nginx, Caddy or HAProxy for this.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import zlib

_COOKIE = re.compile(rb"^cookie:\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_HEAD = 64 * 1024


async def serve(port: int, backends: list[int]) -> None:
    """Listen until the program is ended."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            there = await asyncio.open_connection("127.0.0.1", chosen(head, backends))
            there[1].write(head)
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=_HEAD, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def chosen(head: bytes, backends: list[int]) -> int:
    """The backend of a request, by its cookies; the first one where it has none."""
    found = _COOKIE.search(head)
    return backends[zlib.crc32(found[1]) % len(backends)] if found else backends[0]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_HEAD):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))

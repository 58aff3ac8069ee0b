"""jumpstarter's local exporter: a driver with one method, called through its client, without a lease.

    python jumpstarter_calls.py                two processes on a Unix socket, as `jmp shell` has them
    python jumpstarter_calls.py in-process     both in one process, on a Unix socket: its `serve`
    python jumpstarter_calls.py export         the exporter of the first: prints its socket, ends with its input

Run by the environment `jumpstarter`; driven by `benchmarks.programs`, see `floor.py`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio.to_thread
from anyio.from_thread import start_blocking_portal
from jumpstarter.client import DriverClient, client_from_path
from jumpstarter.common import ExporterStatus
from jumpstarter.common.utils import serve
from jumpstarter.driver import Driver, export
from jumpstarter.exporter import Session


class Echo(Driver):
    """The device: gives back what it is given."""

    @classmethod
    def client(cls) -> str:
        return "jumpstarter_calls.EchoClient"

    @export
    def echo(self, value: str) -> str:
        return value


class EchoClient(DriverClient):
    """What calls it."""

    def echo(self, value: str) -> str:
        return str(self.call("echo", value))


async def export_it() -> None:
    """Serve the device until the input ends."""
    with Session(root_device=Echo()) as session:
        async with session.serve_unix_async() as path:
            session.update_status(ExporterStatus.LEASE_READY)
            say({"socket": str(path)})
            await anyio.to_thread.run_sync(sys.stdin.read)


@contextlib.contextmanager
def exporter() -> Iterator[str]:
    """A process that has the device. Gives its socket."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__, "export"], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["socket"] if process.stdout else ""
        finally:
            process.communicate()


@contextlib.contextmanager
def client_of(path: str) -> Iterator[Any]:
    """The client of a device in another process."""
    with start_blocking_portal() as portal, ExitStack() as stack:
        found = client_from_path(path, portal, stack, allow=[], unsafe=True)
        with portal.wrap_async_context_manager(found) as client:
            yield client


def measure(client: Any) -> None:
    """Call the device as often as each line of the input asks for."""
    once(client)
    say({"ready": True})
    for line in sys.stdin:
        say({"seconds": [once(client) for _ in range(json.loads(line)["count"])]})


def once(client: Any) -> float:
    """One call. Returns the seconds that it took."""
    began = time.perf_counter()
    client.echo("word")
    return time.perf_counter() - began


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "export":
        anyio.run(export_it)
    elif what == "in-process":
        with serve(Echo()) as client:
            measure(client)
    else:
        with exporter() as path, client_of(path) as client:
            measure(client)


if __name__ == "__main__":
    main()

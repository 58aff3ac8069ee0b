"""Pyro5: a method of an object in another process, called over a connection straight to it. No guard, no store.

    python pyro5_calls.py SOCKET             measures; the object is in a child of its own
    python pyro5_calls.py SOCKET serve       is that child: serves the object until its input ends

Run by the environment `tasks`; driven by `benchmarks.programs`, see `floor.py`. SOCKET: '' for TCP.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import Pyro5.api


@Pyro5.api.expose
class Echo:
    """The device: gives back what it is given."""

    def echo(self, value: str) -> str:
        return value


def serve(path: str) -> None:
    """Serve the object until the input ends."""
    where = {"unixsocket": path} if path else {"host": "127.0.0.1", "port": 0}
    with Pyro5.api.Daemon(**where) as daemon:
        say({"uri": str(daemon.register(Echo()))})
        threading.Thread(target=lambda: (sys.stdin.read(), daemon.shutdown()), daemon=True).start()
        daemon.requestLoop()


def measure(uri: str) -> None:
    """Call the object as often as each line of the input asks for."""
    with Pyro5.api.Proxy(uri) as proxy:
        once(proxy)
        say({"ready": True})
        for line in sys.stdin:
            say({"seconds": [once(proxy) for _ in range(json.loads(line)["count"])]})


def once(proxy: Pyro5.api.Proxy) -> float:
    """One call. Returns the seconds that it took."""
    began = time.perf_counter()
    proxy.echo("word")
    return time.perf_counter() - began


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    path = sys.argv[1]
    if sys.argv[2:] == ["serve"]:
        serve(path)
        return
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__, path, "serve"], stdin=pipe, stdout=pipe, text=True) as child:
        try:
            measure(json.loads(child.stdout.readline())["uri"] if child.stdout else "")
        finally:
            child.communicate()


if __name__ == "__main__":
    main()

"""The floor: a bare LPUSH/BRPOP echo between two processes with redis-py: no way through the store is faster.

    python floor.py URL            measures; its other half is a child of its own
    python floor.py URL NAME       is that child: echoes what it finds in the list of that name, until it is told to end

Run by any interpreter that has redis; driven by `benchmarks.programs`: prints {"ready": true}, then answers
{"count": 200} with {"seconds": [...]}: what each of 200 echoes took, one after another. Ends with its input, and its
child with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import redis

ASKED, ANSWERED = "floor:asked", "floor:answered"
WAIT = 60
END = b"end"


def echo(url: str, name: str) -> None:
    """The other half: answers each word with the same word."""
    client = redis.Redis.from_url(url, socket_timeout=None)
    while (found := client.brpop([f"{ASKED}:{name}"], timeout=WAIT)) is None or found[1] != END:
        if found is not None:
            client.lpush(f"{ANSWERED}:{name}", found[1])


def measure(url: str, name: str) -> None:
    """Echo so many words as each line of the input asks for."""
    client = redis.Redis.from_url(url, socket_timeout=None)
    once(client, name)
    say({"ready": True})
    for line in sys.stdin:
        say({"seconds": [once(client, name) for _ in range(json.loads(line)["count"])]})
    client.lpush(f"{ASKED}:{name}", END)


def once(client: redis.Redis, name: str) -> float:
    """Send one word and wait for its echo. Returns the seconds that it took."""
    began = time.perf_counter()
    client.lpush(f"{ASKED}:{name}", "word")
    client.brpop([f"{ANSWERED}:{name}"], timeout=WAIT)
    return time.perf_counter() - began


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    if len(sys.argv) > 2:
        echo(sys.argv[1], sys.argv[2])
        return
    name = str(os.getpid())
    child = subprocess.Popen([sys.executable, __file__, sys.argv[1], name], stdin=subprocess.DEVNULL)
    try:
        measure(sys.argv[1], name)
        child.wait(5)
    finally:
        child.kill()


if __name__ == "__main__":
    main()

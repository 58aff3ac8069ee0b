"""`make fuzz`: 20,000 inputs and more that nobody foresaw, to every door of a real lab. Prints what came of each kind.

    python -m tests.fuzz [--inputs 20000] [--seed N] [--only routes,events,frames,declarations]

Ends with status 1 and the smallest input at the first one that was not answered as it should be.
"""

from __future__ import annotations

import argparse
import collections
import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from labkit.testing.store import StoreServer
from tests.fuzz import declarations, routes, sockets
from tests.fuzz.lab import FuzzedLab

SHARES = {"routes": 0.3, "events": 0.25, "frames": 0.1, "declarations": 0.35}
"""What part of all inputs each kind is."""

Look = Callable[..., Any]
Part = tuple[int, dict[str, st.SearchStrategy[Any]], Look]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", default=",".join(SHARES))
    given_ = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # it tells of each connection
    print(f"seed {given_.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="labkit-fuzz-") as folder, StoreServer() as server:
        (Path(folder) / "lab").mkdir()
        with FuzzedLab(Path(folder) / "lab", server.url) as lab, lab.ready().served() as port:
            try:
                for kind in given_.only.split(","):
                    count = round(given_.inputs * SHARES[kind])
                    for part in PARTS[kind](lab, port, Path(folder), count):
                        _run(part, given_.seed)
                    _tell(lab.counts, kind)
            except KeyboardInterrupt:
                _tell(lab.counts, kind)
            lab.unchanged()
        total, unseen = sum(lab.counts.values()), lab.starved
    print(f"{total} inputs in {time.monotonic() - began:.0f} s: 0 answers of 500, 0 changes by a refused one.")
    if unseen:
        print(f"After {unseen} of them the lab had changed something by itself: the machine was too busy for it.")
    sys.exit(0 if total >= given_.inputs * sum(SHARES[kind] for kind in given_.only.split(",")) * 0.999 else 1)


def _run(part: Part, seed: int) -> None:
    """Try so many inputs; hypothesis stops early where it has tried all that there are, so it is asked again."""
    count, inputs, look = part
    done, again = 0, 0
    while done < count:
        before = done

        def one(**values: Any) -> None:
            nonlocal done
            done += 1
            look(**values)

        settings = hypothesis.settings(
            max_examples=count - done, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        hypothesis.seed(seed + again)(settings(given(**inputs)(one)))()
        again += 1
        if done == before:
            raise RuntimeError("No input could be made up.")


def _routes(lab: FuzzedLab, port: int, folder: Path, count: int) -> Iterator[Part]:
    asker = routes.Asker(lab)
    all_of_them = [*routes.by_schemathesis(), routes.made_up()]
    each = -(-count // len(all_of_them))
    for made_up in all_of_them:
        yield (
            each, {"request": made_up, "who": routes.people},
            lambda request, who: lab.done("routes", asker.ask(request, who)),
        )  # fmt: skip


def _events(lab: FuzzedLab, port: int, folder: Path, count: int) -> Iterator[Part]:
    socket = sockets.Socket(lab, port)

    def look(event: tuple[str, list[Any]]) -> None:
        lab.done("events", socket.ask(*event))
        lab.unchanged()

    yield count, {"event": sockets.events}, look
    socket.close()


def _frames(lab: FuzzedLab, port: int, folder: Path, count: int) -> Iterator[Part]:
    def look(visitor: str, content: list[str | bytes]) -> None:
        lab.done("frames", sockets.throw(lab, port, visitor, content))
        lab.unchanged()

    yield count, {"visitor": sockets.visitors, "content": sockets.frames}, look


def _declarations(lab: FuzzedLab, port: int, folder: Path, count: int) -> Iterator[Part]:
    def look(text: str | bytes) -> None:
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        lab.done("declarations", declarations.look(folder, content))

    yield count - count // 3, {"text": declarations.mutated()}, look
    yield count // 3, {"text": declarations.texts | st.binary(max_size=60)}, look


PARTS: dict[str, Callable[[FuzzedLab, int, Path, int], Iterator[Part]]] = {
    "routes": _routes, "events": _events, "frames": _frames, "declarations": _declarations,
}  # fmt: skip


def _tell(counts: collections.Counter[tuple[str, str]], kind: str) -> None:
    found = {answer: count for (of, answer), count in sorted(counts.items()) if of == kind}
    print(
        f"{kind}: {sum(found.values())} ({', '.join(f'{answer} {count}' for answer, count in found.items())})",
        flush=True,
    )


if __name__ == "__main__":
    main()

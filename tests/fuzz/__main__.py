"""`make fuzz`: 20,000 inputs and more that nobody foresaw, to every door of a real lab. Prints what came of each kind.

    python -m tests.fuzz [--inputs 20000] [--seed N] [--only routes,events,frames,declarations]

Its last line has the counts by kind and what came of them. Ends with status 1 and the smallest input at the first one
that was not answered as it should be.
"""

from __future__ import annotations

import argparse
import collections
import logging
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from labkit.testing.store import StoreServer
from tests.fuzz import declarations, routes, sockets
from tests.fuzz.lab import CHANGE, FIVE_HUNDRED, FuzzedLab

SHARES = {"routes": 0.3, "events": 0.25, "frames": 0.1, "declarations": 0.35}
"""What part of all inputs each kind is."""

Look = Callable[..., Any]
Part = tuple[int, dict[str, st.SearchStrategy[Any]], Look]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", default=",".join(SHARES))
    asked = parser.parse_args()
    kinds = asked.only.split(",")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # it tells of each connection
    print(f"seed {asked.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="labkit-fuzz-") as folder, StoreServer() as server:
        (Path(folder) / "lab").mkdir()
        with FuzzedLab(Path(folder) / "lab", server.url) as lab:
            held = _held(lab, Path(folder), asked.inputs, asked.seed, kinds)
    print(_verdict(lab, time.monotonic() - began, held))
    enough = sum(lab.counts.values()) >= asked.inputs * sum(SHARES[kind] for kind in kinds) * 0.999
    sys.exit(0 if held and enough else 1)


def _held(lab: FuzzedLab, folder: Path, inputs: int, seed: int, kinds: Sequence[str]) -> bool:
    """Try so many inputs. False: one was not answered as it should be, which is shown; or somebody ended it."""
    try:
        with lab.ready().served() as port:
            for kind in kinds:
                for part in PARTS[kind](lab, port, folder, round(inputs * SHARES[kind])):
                    _run(part, seed)
                _tell(lab.counts, kind)
            lab.unchanged()
    except (Exception, KeyboardInterrupt):
        traceback.print_exc(file=sys.stdout)
        return False
    return True


def _verdict(lab: FuzzedLab, seconds: float, held: bool) -> str:
    """The counts by kind and what came of all, in one line."""
    kinds = collections.Counter[str]()
    for (kind, _), count in lab.counts.items():
        kinds[kind] += count
    full = sum(count for (_, answer), count in lab.counts.items() if answer == "503")
    starved = f"; taken for dead on a busy machine {lab.starved} times" if lab.starved else ""
    return (
        f"{sum(kinds.values())} inputs in {seconds:.0f} s ({', '.join(f'{kind} {kinds[kind]}' for kind in kinds)}): "
        f"{lab.wrong[FIVE_HUNDRED]} {FIVE_HUNDRED}, {full} of 503 (each of a full lab), {lab.wrong[CHANGE]} {CHANGE}"
        f"{starved}: {'all held' if held else 'did NOT hold, see above'}"
    )


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

    def part(of: str, made_up: st.SearchStrategy[routes.Request]) -> Part:
        def look(request: routes.Request, who: str) -> None:
            lab.done(f"routes by {of}", asker.ask(request, who))

        return each, {"request": made_up, "who": routes.people}, look

    operations = list(routes.by_schemathesis())
    each = -(-count // (len(operations) + 1))
    for operation in operations:
        yield part("schemathesis", operation)
    yield part("hypothesis", routes.made_up())


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
    """What the inputs of a kind were answered with."""
    for of in sorted({of for of, _ in counts if of.startswith(kind)}):
        found = {answer: count for (one, answer), count in sorted(counts.items()) if one == of}
        answers = ", ".join(f"{answer} {count}" for answer, count in found.items())
        print(f"{of}: {sum(found.values())} ({answers})", flush=True)


if __name__ == "__main__":
    main()

"""The half of a task queue's program that submits and waits, the same for each: used by the `*_app.py` beside it.

Run by any interpreter; driven by `benchmarks.programs`: prints {"ready": true}, then answers {"count": 200} with
{"seconds": [...]}, what each of 200 tasks took from its submission to its result, one after another, and
{"many": 2000} with {"seconds": [s]}: submitted one by one, until the last ones have ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

LAST = 10
"""Whose results say that all are through: workers take tasks in the order of submission, so no other is left then."""


def answer(submit: Callable[[], Any], wait: Callable[[Any], object]) -> None:
    """Answer until the input ends. submit: one task that does nothing. wait: blocks for the result of such a one."""
    wait(submit())
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        if "many" in asked:
            say({"seconds": [many(submit, wait, asked["many"])]})
        else:
            say({"seconds": [once(submit, wait) for _ in range(asked["count"])]})


def once(submit: Callable[[], Any], wait: Callable[[Any], object]) -> float:
    """Submit one task and wait for its result. Returns the seconds that it took."""
    began = time.perf_counter()
    wait(submit())
    return time.perf_counter() - began


def many(submit: Callable[[], Any], wait: Callable[[Any], object], count: int) -> float:
    """Submit tasks and wait until the last of them have ended. Returns the seconds that all took."""
    began = time.perf_counter()
    submitted = [submit() for _ in range(count)]
    for task in reversed(submitted[-LAST:]):
        wait(task)
    return time.perf_counter() - began


def say(what: object) -> None:
    print(json.dumps(what), flush=True)

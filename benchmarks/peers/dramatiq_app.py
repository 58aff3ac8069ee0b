"""dramatiq: its task, and the half that submits. Its workers are `dramatiq -p 1 -t 2 dramatiq_app`.

    python dramatiq_app.py     submits, see `submitting`

The environment says which store: STORE_URL.
"""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["STORE_URL"], namespace="bench-dramatiq")
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["STORE_URL"], namespace="bench-results")))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> int:
    return 1


def wait(message: Any) -> None:
    assert message.get_result(block=True, timeout=30_000) == 1


if __name__ == "__main__":
    from submitting import answer

    answer(noop.send, wait)

"""rq: the half that submits. Its workers are two `rq worker -w rq.worker.SimpleWorker`, the kind that does not fork.

python rq_app.py URL       submits, see `submitting`
"""

from __future__ import annotations

import sys
from typing import Any

import redis
import rq


def noop() -> int:
    return 1


def wait(job: Any) -> None:
    result = job.latest_result(timeout=30)
    assert result is not None
    assert result.return_value == 1


def main() -> None:
    from submitting import answer

    queue = rq.Queue("bench", connection=redis.Redis.from_url(sys.argv[1]))
    answer(lambda: queue.enqueue("rq_app.noop"), wait)


if __name__ == "__main__":
    main()

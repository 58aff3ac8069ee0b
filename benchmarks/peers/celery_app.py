"""celery: its task, and the half that submits. Its workers are `celery -A celery_app worker -c 2`.

    python celery_app.py       submits, see `submitting`

The environment says which store: STORE_URL.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

_url = os.environ["STORE_URL"]
_folder = _url.replace("unix://", "redis+socket://")  # what its parts call a store on a Unix socket
app = Celery("bench", broker=_folder, backend=_folder)
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True, task_default_queue="bench")


@app.task(name="noop")
def noop() -> int:
    return 1


def wait(result: Any) -> None:
    assert result.get(timeout=30) == 1


if __name__ == "__main__":
    from submitting import answer

    answer(noop.delay, wait)

"""huey: its task, and the half that submits. Its workers are `huey_consumer huey_app.huey -w 2 -k process`.

    python huey_app.py         submits, see `submitting`

The environment says which store: STORE_URL. Results are notified, so that who waits for one need not poll.
"""

from __future__ import annotations

import os
from typing import Any

from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["STORE_URL"], notify_result=True)


@huey.task()
def noop() -> int:
    return 1


def wait(task: Any) -> None:
    assert task.get(blocking=True, timeout=30) == 1


if __name__ == "__main__":
    import huey_app  # by the name under which its workers know the task
    from submitting import answer

    answer(huey_app.noop, wait)

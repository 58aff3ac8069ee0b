"""labkit's tasks: the half that submits, in a live session of `labkit_lab`. Its runners are `labkit loop --threads 2`.

    python labkit_tasks.py     submits, see `submitting`

Run by labkit's interpreter. The environment says which store: STORE_URL. A task is submitted as a view does it, with
the session bound; whoever waits uses `join`, and reads the result.
"""

from __future__ import annotations

import sys
from pathlib import Path

from submitting import answer

from labkit.context import BoundSession, Purpose
from labkit.sessions import StartRequest, start_session
from labkit.tasks import WebLabTask

sys.path.insert(0, str(Path(__file__).parent / "labkit_lab"))
USER = {"username": "student", "username_unique": "student", "client_data": {}, "server_data": {}}


def wait(task: WebLabTask) -> None:
    assert task.join(30).result == 1


def main() -> None:
    from lab import noop, weblab  # type: ignore[import-not-found]

    lab = weblab.lab
    session = start_session(lab, StartRequest(slot_start=None, slot_length=3600.0, user=USER))
    with lab.entered(BoundSession(session_id=session, purpose=Purpose.REQUEST)):
        answer(noop.delay, wait)
    weblab.close()


if __name__ == "__main__":
    main()

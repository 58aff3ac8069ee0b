"""A process that looks at one feed of frames, as a web process does, and can be killed. For tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from labkit.store.frames import FramesId

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from labkit.store.connection import Store
from labkit.store.frames import FramesId, FrameStore
url, prefix, session, device, feed = sys.argv[1:]
watch = FrameStore(Store(url, prefix)).watch()
while True:
    for _, frame in watch.wait([FramesId(session_id=session, device=device, feed=feed)], 60):
        print(frame.captured, flush=True)
"""


class Looker:
    """Use it with `with`; it prints when each frame that it gets was captured."""

    def __init__(self, url: str, prefix: str, feed: FramesId):
        arguments = [url, prefix, feed.session_id, feed.device, feed.feed]
        self._process = subprocess.Popen(
            [sys.executable, "-c", CODE, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Looker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def captured(self) -> float:
        """Wait for the next frame."""
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())

    def kill(self) -> None:
        """kill -9. Twice is fine."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

"""The process that removes a demo's folder, whatever became of the demo."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

from labkit.cli import sweeper
from tests.cli.program import GUARD


def sweep(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", sweeper.__file__, str(folder)], stdin=subprocess.PIPE)


def test_folder_is_removed_when_the_pipe_closes(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "devices").mkdir(parents=True)
    with sweep(folder) as sweeping:
        assert folder.is_dir()
        sweeping.communicate(timeout=GUARD)
    assert sweeping.returncode == 0
    assert not folder.exists()


def test_folder_stays_as_long_as_a_process_uses_its_store(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "store").mkdir(parents=True)
    with sweep(folder) as sweeping, (folder / "store" / "store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert sweeping.stdin is not None
        sweeping.stdin.close()
        waiting = threading.Thread(target=sweeping.wait)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert folder.is_dir()
        lock.close()
        waiting.join(GUARD)
    assert not folder.exists()

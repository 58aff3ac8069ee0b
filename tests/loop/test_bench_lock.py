"""The file lock of a bench: one process has it, and one that can't be used says why and what to do."""

from __future__ import annotations

import fcntl
import os
import pwd
from pathlib import Path

import pytest

from labkit.loop.bench_lock import take_lock
from tests.conftest import OrdinaryUser

TAKE = """
from pathlib import Path
from labkit.loop.bench_lock import take_lock
become_ordinary()
try:
    print("free" if take_lock(Path(sys.argv[1]), "bench-1") else "taken")
except OSError as error:
    print(type(error).__name__, error)
"""


def test_lock_is_free_again_when_its_file_is_closed(tmp_path: Path) -> None:
    lock = take_lock(tmp_path / "hosts", "bench-1")
    assert lock is not None
    assert (tmp_path / "hosts" / "bench-1.lock").read_text() == f"{os.getpid()}\n"
    assert take_lock(tmp_path / "hosts", "bench-1") is None
    lock.close()
    again = take_lock(tmp_path / "hosts", "bench-1")
    assert again is not None
    again.close()


def test_lock_that_is_no_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "bench-1.lock").mkdir()
    with pytest.raises(
        IsADirectoryError, match=r"bench-1.lock can't be used: Is a directory. .* belongs to .*; is it a"
    ):
        take_lock(tmp_path, "bench-1")


def test_lock_that_can_not_be_written_says_so_and_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "bench-1.lock").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"bench-1.lock can't be used: Invalid argument. .* that has room\?"):
        take_lock(tmp_path, "bench-1")
    with open("/dev/full") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.skipif(os.getuid() != 0, reason="needs files of another user")
@pytest.mark.parametrize("hidden", ["file", "folder", "nothing yet"])
def test_lock_of_another_user_says_whose_it_is_and_how_to_get_it_back(
    tmp_path: Path, ordinary_user: OrdinaryUser, hidden: str
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    hosts, me = tmp_path / "hosts", pwd.getpwuid(ordinary_user.uid).pw_name
    if hidden != "nothing yet":
        lock = take_lock(hosts, "bench-1")  # as after a run with sudo
        assert lock is not None
        lock.close()
    if hidden == "file":
        hosts.chmod(0o755)
        (hosts / "bench-1.lock").chmod(0o644)
    said = ordinary_user.run(TAKE, hosts)
    assert said.startswith("PermissionError The file")
    assert "Permission denied" in said
    seen = {"file": hosts / "bench-1.lock", "folder": hosts}.get(hidden)
    if seen is None:
        assert f"sudo install -d -m 700 -o {me} {hosts}" in said
    else:
        assert f"{seen} belongs to root, as after a run with sudo. Give it back: sudo chown -R {me} {hosts}" in said

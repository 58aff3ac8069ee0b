"""What any test may need: a user, a port, a browser, a store, a lab. What belongs to one part is beside its tests."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright

from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.ports import chosen_port
from tests.small_lab import MakeLab, SmallLab

# Every run tries the same inputs, so that a red one says something of the change. `make test-search` tries new ones.
# No input has a time limit of its own: where the machine stands still for a moment, that says nothing of the input.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", derandomize=False, deadline=None)
hypothesis.settings.load_profile("same")

# A shell that starts the tests in its background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")  # the Makefile looks for the same
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Sets the user of a process that is running already: an interpreter in root's home can't be started by anybody else.
AS_USER = """
import os, sys
def become_ordinary():
    if os.getuid() != {uid}:
        os.setgroups([])
        os.setgid({gid})
        os.setuid({uid})
    os.chdir("/")
"""


@dataclass(frozen=True, kw_only=True)
class OrdinaryUser:
    """A user without privileges: `nobody` where the tests run as root, else who runs them."""

    uid: int
    gid: int

    def popen(self, code: str, *args: object, **options: Any) -> subprocess.Popen[str]:
        """Start Python code as this user, with `args` in sys.argv[1:].

        The code imports what it needs and then calls `become_ordinary()`; from there on it is this user, in folder /.
        """
        source = AS_USER.format(uid=self.uid, gid=self.gid) + code
        return subprocess.Popen([sys.executable, "-c", source, *map(str, args)], text=True, **options)

    def run(self, code: str, *args: object, timeout: float = 60) -> str:
        """Run Python code as this user to its end, see `popen`. Returns what it printed; fails where the code does."""
        with self.popen(code, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            finally:
                process.kill()
        assert process.returncode == 0, f"status {process.returncode}\n{output}{errors}"
        return output


@pytest.fixture(scope="session")
def ordinary_user() -> OrdinaryUser:
    if os.getuid() != 0:
        return OrdinaryUser(uid=os.getuid(), gid=os.getgid())
    nobody = pwd.getpwnam("nobody")
    return OrdinaryUser(uid=nobody.pw_uid, gid=nobody.pw_gid)


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    return chosen_port()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium. A test makes a context for each student: `with browser.new_context() as student`."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.fail("The browser tests need Chromium. Run: sudo apt-get update && sudo apt-get install -y chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, headless=True, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreServer]:
    """A real store for all tests of this run. A test that stops or floods its store starts one of its own."""
    with StoreServer() as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    """A real store for one module's tests, which may stop it or fill it up."""
    with StoreServer() as server:
        yield server


@pytest.fixture
def store(store_server: StoreServer) -> Iterator[Store]:
    """The real store under a prefix of the test's own."""
    store = Store(store_server.url, f"test-{secrets.token_hex(4)}")
    yield store
    store.close()


@pytest.fixture
def make(tmp_path: Path, store_server: StoreServer) -> Iterator[MakeLab]:
    """Makes a lab (see SmallLab) that is closed with the test."""
    with ExitStack() as made:
        yield lambda **options: made.enter_context(SmallLab(tmp_path, store_server.url, **options))

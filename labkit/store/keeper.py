"""The keeper: the process that has the embedded store's server as its child, and ends it after the last labkit process.

`EmbeddedStore` runs this file by its path, in a bare interpreter: it is to be there in milliseconds, so it imports
nothing but the standard library. One run has two parts:

* the **starter**, a child of the labkit process that needs the store. It does all the waiting that has no time limit
  in the kernel (`flock`), and ends itself when its time is over; so the labkit process can wait for it with a limit.
* the **keeper**, forked off by a starter that found no server: a session of its own, nothing inherited but locks.

Three lock files in the store's folder, never deleted, so that nobody locks a file that is no longer there:

* `store.lock`: shared by every labkit process; exclusive for a keeper that shuts down. A process that comes meanwhile
  waits in its starter, and then finds no server and starts one.
* `start.lock`: exclusive for a starter that looks for the server, handed on to the keeper that it forks, and given up
  when the server answers. So two that start at once make one keeper, and who waits for it waits until it is of use.
* `keeper.lock`: exclusive for a keeper and, being one open file, for its server: free only when both are gone. The
  kernel closes a killed keeper's files before it sends the death signal to the server; without this a second server
  could open the same append-only file for a moment.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import NoReturn

PRESENCE_LOCK = "store.lock"
START_LOCK = "start.lock"
KEEPER_LOCK = "keeper.lock"
LOG = "store.log"
ADDRESS = "socket.path"
"""The file that says where the server's socket is: processes of one lab may have different XDG_RUNTIME_DIRs."""

ASK_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.02  # while the server starts; the wait itself is for its death
_SHUTDOWN_SECONDS = 5.0  # for the server to flush its file; it is killed after that

_PR_SET_PDEATHSIG = 1
_IN_MOVED_FROM, _IN_DELETE, _IN_MOVE_SELF = 0x40, 0x200, 0x800
_LAST_PROCESS_GONE = b"\0"  # in the pipe that else carries signal numbers


def ask(address: str, seconds: float | None = ASK_SECONDS) -> bytes:
    """PING the server. Returns its answer, b"" where there is none in time, no server, or no private folder of ours."""
    if not address or not is_private(os.path.dirname(address)):
        return b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(address)
            connection.sendall(b"PING\r\n")
            return connection.recv(256)
        except OSError:
            return b""


def is_there(address: str) -> bool:
    """Whether a server listens, also one that answers nobody just now. Does not wait for it."""
    if not address or not is_private(os.path.dirname(address)):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        # EAGAIN: so many wait for it that there is no room for one more
        return connection.connect_ex(address) in (0, errno.EAGAIN)


def is_ready(answer: bytes) -> bool:
    """Whether the answer to a PING means that the store can be used. An error such as BUSY passes; LOADING does not."""
    return bool(answer) and not is_loading(answer)


def is_loading(answer: bytes) -> bool:
    return answer.startswith(b"-LOADING")


def is_private(folder: str) -> bool:
    """Whether it is a real folder (no link), of this user, that nobody else may enter."""
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077


def recorded_address(folder: str) -> str:
    """Where the last keeper put the server's socket; empty where there was none yet."""
    try:
        with open(os.path.join(folder, ADDRESS), "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""


def open_lock(folder: str, name: str) -> int:
    """Open a lock file, unlocked. The descriptor closes on exec."""
    return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def is_same_file(descriptor: int, path: str) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def remove_runtime_folder(address: str) -> None:
    """Remove the socket and its folder; only for the holder of `keeper.lock`. If something else is in it, it stays."""
    if not address or not is_private(os.path.dirname(address)):
        return
    try:
        if os.path.lexists(address):
            os.unlink(address)
        os.rmdir(os.path.dirname(address))
    except OSError as error:
        _say(f"runtime folder stays folder={os.path.dirname(address)} error={error}")


def start(folder: str, proposed: str, server: str, presence: int, seconds: float) -> bool:
    """Be the starter: return when the server can be used (True), or was started and does not come up (False).

    presence: the labkit process's own descriptor of `store.lock`; a lock that is taken here is taken there.
    proposed: where a new server's socket goes, unless the last one's place still can be used.
    After `seconds` the process dies by SIGALRM, and with it its part in the locks.
    """
    _reset_signals()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    fcntl.flock(presence, fcntl.LOCK_SH)  # waits while a keeper shuts down
    starting = _locked(folder, START_LOCK)  # waits while another process starts the server
    # No time limit here: a server that has accepted the connection is alive, and answers when it can, or dies.
    if is_ready(ask(recorded_address(folder), None)):
        return True
    keeping = _locked(folder, KEEPER_LOCK)  # waits for a keeper, or a server, that is on its way out
    if os.fork() == 0:
        _become_keeper(folder, proposed, server, presence, starting, keeping)
    os.close(starting)
    os.close(keeping)
    _locked(folder, START_LOCK)  # the new keeper has it until its server answers, or it is gone
    return is_ready(ask(recorded_address(folder), None))


def _reset_signals() -> None:
    """Undo what the labkit process may have ignored or blocked; both are inherited through exec."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _locked(folder: str, name: str) -> int:
    descriptor = open_lock(folder, name)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _become_keeper(folder: str, proposed: str, server: str, presence: int, starting: int, keeping: int) -> NoReturn:
    """Leave the starter behind, keep the store, and exit. An error goes to the log."""
    os.dup2(2, 1)  # the log; the pipe to the labkit process ends with the starter
    os.close(presence)  # else the keeper would wait for itself
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    Keeper(folder, _new_address(folder, proposed), server, starting, keeping).run()
    sys.exit()


def _new_address(folder: str, proposed: str) -> str:
    """Make the runtime folder and record it. The last one's place comes first: whoever knows it can go on using it."""
    for address in (recorded_address(folder), proposed):
        runtime = os.path.dirname(address)
        try:
            os.mkdir(runtime, 0o700)
        except FileExistsError:
            pass  # left by a killed keeper
        except OSError:
            continue
        if is_private(runtime):
            break
        _say(f"runtime folder refused folder={runtime} reason=not a private folder of this user")
    else:
        raise SystemExit(f"No runtime folder could be made for the store in {folder}.")
    record = os.path.join(folder, ADDRESS)
    with open(record + ".new", "wb") as file:
        file.write(os.fsencode(address))
    os.replace(record + ".new", record)
    return address


class Keeper:
    """Has the server as its child until there is a reason to end it: the last labkit process is gone, the server died,
    SIGTERM came, the data folder or the socket was removed. It does not start the server again: whoever misses it
    starts a new keeper, so there is one way to start and not two.

    The server is forked by the main thread, which lives as long as the process: its death signal is tied to that
    thread. The only other thread waits in `flock`, and is made later.
    """

    def __init__(self, folder: str, address: str, server: str, starting: int, keeping: int):
        self._folder = folder
        self._address = address
        self._command = [server, *_server_options(folder, address)]
        self._starting: int | None = starting
        self._keeping = keeping
        self._news, self._tell = os.pipe()
        os.set_blocking(self._news, False)
        os.set_blocking(self._tell, False)
        self._watch = -1
        self._poll = select.poll()
        self._poll.register(self._news, select.POLLIN)

    def run(self) -> None:
        """Start the server and wait for the reason to end it; then leave nothing behind. Blocks all that while."""
        try:
            if os.path.lexists(self._address):
                os.unlink(self._address)
            self._hear_signals()
            server = self._start_server()
            self._watch_folders()
            threading.Thread(target=self._wait_for_last_process, name="store-lock", daemon=True).start()
            _say(f"keeper started pid={os.getpid()} server={server.pid} socket={self._address}")
            reason = self._wait_for_reason(server)
            _say(f"keeper ends reason={reason} server_status={self._stop_server(server)}")
        finally:
            remove_runtime_folder(self._address)

    def _hear_signals(self) -> None:
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # the number arrives through the pipe
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)

    def _start_server(self) -> subprocess.Popen[bytes]:
        keeper = os.getpid()
        prctl = ctypes.CDLL(None, use_errno=True).prctl

        def die_with_keeper() -> None:
            failed = prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0
            if failed or os.getppid() != keeper:  # the keeper may have died just before
                os._exit(1)

        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            pass_fds=(self._keeping,),
            preexec_fn=die_with_keeper,  # safe: there is no other thread yet
        )

    def _watch_folders(self) -> None:
        """Be told when data folder or socket are removed: by hand, or with the user's XDG_RUNTIME_DIR at logout."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._watch < 0:
            _say(f"folders are not watched error={os.strerror(ctypes.get_errno())}")
            return
        for folder in (self._folder, os.path.dirname(self._address)):
            libc.inotify_add_watch(self._watch, os.fsencode(folder), _IN_DELETE | _IN_MOVED_FROM | _IN_MOVE_SELF)
        self._poll.register(self._watch, select.POLLIN)

    def _wait_for_last_process(self) -> None:
        fcntl.flock(open_lock(self._folder, PRESENCE_LOCK), fcntl.LOCK_EX)
        os.write(self._tell, _LAST_PROCESS_GONE)

    def _wait_for_reason(self, server: subprocess.Popen[bytes]) -> str:
        while True:
            news = self._wait_for_news(None if self._starting is None else _ASK_AGAIN_SECONDS)
            if server.poll() is not None:
                return "server-died"
            if _LAST_PROCESS_GONE in news:
                return "last-process-gone"
            if bytes([signal.SIGTERM]) in news or bytes([signal.SIGINT]) in news:
                return "signal"
            if not is_same_file(self._keeping, os.path.join(self._folder, KEEPER_LOCK)):
                return "data-folder-gone"
            if self._starting is None and not os.path.lexists(self._address):
                return "socket-gone"
            if self._starting is not None and is_ready(ask(self._address)):
                os.close(self._starting)
                self._starting = None

    def _wait_for_news(self, seconds: float | None) -> bytes:
        """Wait for a signal, the last process's end or a removed file. Returns the bytes in the pipe."""
        self._poll.poll(None if seconds is None else max(1, int(seconds * 1000)))
        news = b""
        for descriptor in (self._watch, self._news):
            try:
                news = os.read(descriptor, 4096) if descriptor >= 0 else b""
            except BlockingIOError:
                news = b""
        return news

    def _stop_server(self, server: subprocess.Popen[bytes]) -> int:
        """Let the server flush its file and exit; kill it where it does not. Returns its exit status."""
        until = time.monotonic() + _SHUTDOWN_SECONDS
        if server.poll() is None:
            server.terminate()
        while server.poll() is None and (left := until - time.monotonic()) > 0:
            self._wait_for_news(left)
        if server.poll() is None:
            _say(f"server killed pid={server.pid} reason=no orderly end in {_SHUTDOWN_SECONDS:g} s")
            server.kill()
        return server.wait()


def _server_options(folder: str, address: str) -> list[str]:
    options = {
        "port": "0",  # no TCP at all
        "unixsocket": address,
        "unixsocketperm": "600",
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",  # a file cut by a crash must not stop the lab
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "supervised": "no",
        "logfile": "",  # to its standard output, which is the keeper's log
    }
    return [word for key, value in options.items() for word in (f"--{key}", value)]


def _say(event: str) -> None:
    """Write a line to the log, which is standard error here."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {event}\n")


def main(arguments: list[str]) -> int:
    folder, proposed, server, presence, seconds = arguments
    return 0 if start(folder, proposed, server, int(presence), float(seconds)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

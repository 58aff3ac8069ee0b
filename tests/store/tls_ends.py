"""TLS in front of a real server, with certificates made for the test. Used by the tests of stores that speak TLS.

The server that comes with labkit is built without TLS, so an end of the test's own speaks it. Who speaks in the clear
at the same port is let through, too, and counted: a Sentinel asks the server by the address that it tells everybody.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType

_HELLO = b"\x16"
"""With what TLS begins; no command of the store does."""
_ISSUER = "basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign,cRLSign"


class Authority:
    """Issues certificates into a folder, by the `openssl` program. file: its own, by which others are checked."""

    def __init__(self, folder: Path, name: str = "authority"):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        self._request(name, "-subj", f"/CN={name}", *(part for one in _ISSUER for part in ("-addext", one)))

    def issue(self, name: str, *hosts: str) -> ssl.SSLContext:
        """What a server needs that has these names; each is `IP:` or `DNS:` and what is meant."""
        own = ("basicConstraints=critical,CA:false", f"subjectAltName={','.join(hosts)}")
        signed = ("-CA", str(self.file), "-CAkey", str(self._folder / f"{self._name}.key"))
        self._request(name, "-subj", f"/CN={name}", *signed, *(part for one in own for part in ("-addext", one)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        return context

    def _request(self, name: str, *more: str) -> None:
        program = shutil.which("openssl")
        assert program is not None, "these tests need the program openssl: apt install openssl"
        files = ("-keyout", str(self._folder / f"{name}.key"), "-out", str(self._folder / f"{name}.pem"))
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
        subprocess.run([program, "req", "-x509", *kind, *files, *more], check=True, capture_output=True)


class TlsEnd:
    """An end of a server on the loopback, at a port that the system chooses. Use it as a context.

    secure, plain: how many connections of each kind have come.
    """

    def __init__(self, target: int, context: ssl.SSLContext):
        self._target = target
        self._context = context
        self.secure = self.plain = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, name="tls-end")]

    def __enter__(self) -> TlsEnd:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break every connection, and take none any more. Twice is fine."""
        with self._lock:
            self._closed = True
            ends = list(self._ends)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    self._ends.append(near)
                    if self._closed:
                        near.close()
                        return
                self._threads.append(threading.Thread(target=self._serve, args=(near,), name="tls-end"))
                self._threads[-1].start()

    def _serve(self, near: socket.socket) -> None:
        """One connection, by one thread: nothing of OpenSSL's is used by two at once."""
        far: socket.socket | None = None
        try:
            if near.recv(1, socket.MSG_PEEK) == _HELLO:
                self.secure += 1
                inner = self._context.wrap_socket(near, server_side=True)
                with self._lock:
                    self._ends[self._ends.index(near)] = near = inner
            else:
                self.plain += 1
            far = socket.create_connection(("127.0.0.1", self._target))
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while _carry(near, far):
                pass
        except OSError:  # its other side has gone, or does not trust the certificate
            pass
        finally:
            near.close()
            if far is not None:
                far.close()


def _carry(near: socket.socket, far: socket.socket) -> bool:
    """Pass on what has come, for which it waits. False: one of both has nothing more to say."""
    waiting = isinstance(near, ssl.SSLSocket) and near.pending()
    ready = [near] if waiting else select.select([near, far], [], [])[0]
    for source in ready:
        data = source.recv(65536)
        if not data:
            return False
        (far if source is near else near).sendall(data)
    return True

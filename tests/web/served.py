"""A lab's app behind a real server, and a cookie that the app has signed. For tests with real sockets and browsers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.serving import make_server

from tests.toy import GUARD

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@contextlib.contextmanager
def served(app: WSGIApplication) -> Iterator[int]:
    """Serve an app, or any other of WSGI, on a port of the loopback, a thread for each request; gives the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join(GUARD)
        server.server_close()


def cookie(app: Flask, content: Any) -> str:
    """A cookie that the lab itself has signed, whatever is in it."""
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer is not None
    return f"session={signer.dumps(content)}"

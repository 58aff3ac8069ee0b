"""What gunicorn needs of labkit: the app, and hooks that end a worker in order. Used by `labkit web` and `labkit run`.

gunicorn reads its hooks from this module (`-c python:labkit.cli.serving`) and calls `make_app` in each worker, so every
worker loads the app by itself and nothing is carried over a fork.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger

from labkit.cli.loading import load_app
from labkit.commands.failure import Failure
from labkit.commands.logs import PART, QUIET, set_up_logs
from labkit.loop.lifeline import hold_lifeline

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("labkit.web")

WORKER_GRACE = 2
"""Seconds that a worker waits for its requests. Less than MASTER_GRACE, so that it can still leave the store before it
is killed."""


class LineLogger(Logger):  # type: ignore[misc]
    """Has gunicorn log as all of labkit does."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        set_up_logs(os.environ.get(PART, ""), quiet=bool(os.environ.get(QUIET)))
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = LineLogger
"""gunicorn's setting, as the hooks below."""


def make_app() -> Flask:
    """Make the lab's app for one worker, which serves only. Errors: gunicorn's, which it shows without a traceback."""
    try:
        app = load_app(os.environ)
    except Failure as failure:
        raise AppImportError(failure.message) from failure
    app.extensions["weblab"].serve_only()
    return app


def on_starting(server: Any) -> None:
    """gunicorn's hook: its master begins. As the web part of `labkit run` it ends with that."""
    hold_lifeline()


def post_worker_init(worker: Any) -> None:
    """gunicorn's hook: a worker is ready."""
    worker.cfg.set("graceful_timeout", WORKER_GRACE)
    worker.wsgi.extensions["weblab"].serve_only(threads=worker.cfg.threads)
    log.info("web worker started pid=%d", os.getpid())


def worker_exit(server: Any, worker: Any) -> None:
    """gunicorn's hook: a worker has answered what it could, and ends."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["weblab"].close()
        logging.shutdown()
        os._exit(0)  # the threads of open WebSockets wait for browsers, and Python would wait for those threads

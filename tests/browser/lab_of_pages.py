"""A real lab whose own pages are what a test says. For the tests of what labkit puts into a lab's pages."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from flask import Response, render_template_string, url_for
from playwright.sync_api import Page
from werkzeug.serving import make_server

from labkit.store.sessions import SessionState
from tests.small_lab import SmallLab

ROOT = "/mylab"
HEAD = '<!doctype html><html lang="en"><title>Lab</title><link rel="icon" href="data:,">'


class LabOfPages:
    """A lab below /mylab on a port. Its pages are what a test says, and it writes down what browsers asked it for."""

    def __init__(self, folder: Path, store: str, **settings: Any):
        self.pages: dict[str, str] = {}
        self.policy = ""
        self.asked: list[str] = []
        self.small = SmallLab(folder, store, hooks=False, **{"WEBLAB_TIMEOUT": 60, **settings})
        self.small.weblab.initial_url(lambda: url_for("show", name="main"))
        self.small.app.add_url_rule("/show/<name>", "show", self._show)
        self.server = make_server("127.0.0.1", 0, self._under_root, threaded=True)
        self.server.daemon_threads = True  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.port}{ROOT}"

    def close(self) -> None:
        self.small.__exit__(None, None, None)
        self.server.shutdown()
        self.thread.join(30)
        self.server.server_close()

    def _show(self, name: str) -> Response:
        page = self.pages.get(name, "Nothing here.")
        answer = Response(render_template_string(page if page.startswith("<!doctype") else HEAD + page))
        if self.policy:
            answer.headers["Content-Security-Policy"] = self.policy
        return answer

    def _under_root(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        request = f"{environ['REQUEST_METHOD']} {path}"
        if not path.startswith(f"{ROOT}/"):
            self.asked.append(request)
            start_response("200 OK", [("Content-Type", "text/html")])
            return [b"<!doctype html><title>Elsewhere</title>"]
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = ROOT, path.removeprefix(ROOT)
        answer = self.small.app.wsgi_app(environ, start_response)
        self.asked.append(request)  # when the lab has dealt with it
        return answer

    def enter(self, page: Page, body: str, *, timeout: float | None = None, length: float = 600) -> str:
        """Start a session and open its page. timeout: the script's; the session has the lab's. Returns its id."""
        self.pages["main"] = body
        self.small.weblab.timeout = self.small.app.config["WEBLAB_TIMEOUT"]
        session = self.small.start(length=length)
        if timeout is not None:
            self.small.weblab.timeout = timeout
        page.goto(f"{self.url}/callback/{session}")
        return session

    def polls(self) -> int:
        return sum(one.endswith("/poll") for one in self.asked)

    def logouts(self) -> int:
        return sum(one.endswith("/logout") for one in self.asked)

    def state(self, session: str) -> SessionState:
        return self.small.state(session)

    def reason(self, session: str) -> str:
        return self.small.read(session).reason

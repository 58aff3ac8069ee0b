"""The same small lab for weblablib and for labkit, which have one API: `weblablib_app.py MODULE STORE_URL [--loop N]`.

MODULE is the library whose names it takes, so that both are measured by the same lines. Without --loop it does what it
is told: a JSON line on stdin for each question, one on stdout for each answer. With --loop it runs the lab's tasks.
It is run by the interpreter of the library's own environment: it imports Flask, redis-py, that library, nothing else.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import redis
from flask import Flask, jsonify, request

USER, PASSWORD = "bench", "bench"
SESSION_SECONDS = 7200


def make_app(module: Any, url: str) -> tuple[Flask, Any]:
    """The lab: a view with a guard, a task that does nothing, and one view that waits for such tasks."""
    app = Flask("bench_lab", root_path=os.path.dirname(os.path.abspath(__file__)))
    app.config.update(
        SECRET_KEY="bench", WEBLAB_USERNAME=USER, WEBLAB_PASSWORD=PASSWORD, WEBLAB_NO_THREAD=True,
        WEBLAB_REDIS_URL=url, WEBLAB_REDIS_BASE=f"bench-{module.__name__}", WEBLAB_TIMEOUT=SESSION_SECONDS,
    )  # fmt: skip
    weblab = module.WebLab(app)

    @weblab.initial_url
    def initial_url() -> str:
        return "/guarded"

    @weblab.task()
    def nothing(number: int) -> int:
        return number

    @app.route("/guarded")
    @module.requires_active
    def guarded() -> str:
        return "ok"

    @app.route("/tasks")
    @module.requires_active
    def tasks() -> Any:
        """One after another: the seconds from submission to result of each."""
        return jsonify(_timed(int(request.args["times"]), lambda number: nothing.delay(number).join()))

    @app.route("/burst")
    @module.requires_active
    def burst() -> Any:
        """All at once: the seconds until the last one is done."""
        began = time.perf_counter()
        submitted = [nothing.delay(number) for number in range(int(request.args["times"]))]
        for task in submitted:
            task.join()
        return jsonify([time.perf_counter() - began])

    return app, weblab


def bare_app(url: str) -> Flask:
    """The same view in an app that is no lab, and one that asks the store a single thing, in the barest way."""
    app, store = Flask("bare"), redis.Redis.from_url(url)

    @app.route("/guarded")
    def guarded() -> str:
        return "ok"

    @app.route("/ping")
    def ping() -> str:
        store.ping()
        return "ok"

    return app


class Lab:
    """What can be asked of it, each a method named by `do`. Every answer holds `seconds`: what each time took."""

    def __init__(self, module: Any, url: str):
        self._app, self._weblab = make_app(module, url)
        self._browser = self._app.test_client(use_cookies=False)
        self._bare = bare_app(url).test_client(use_cookies=False)
        self._cookie: dict[str, str] = {}

    def enter(self) -> dict[str, Any]:
        """A student comes in. Its cookie is sent to the bare app, too."""
        came = self._browser.get(self._start()["url"])
        self._cookie = {"Cookie": came.headers["Set-Cookie"].partition(";")[0]}
        return {"seconds": []}

    def start(self, times: int) -> dict[str, Any]:
        """Sessions are started, as an RLMS does it."""
        return {"seconds": _timed(times, lambda _: self._start())}

    def bare(self, times: int) -> dict[str, Any]:
        return {"seconds": _timed(times, lambda _: _good(self._bare.get("/guarded", headers=self._cookie)))}

    def ping(self, times: int) -> dict[str, Any]:
        return {"seconds": _timed(times, lambda _: _good(self._bare.get("/ping", headers=self._cookie)))}

    def guarded(self, times: int) -> dict[str, Any]:
        return {"seconds": _timed(times, lambda _: self._get("/guarded"))}

    def clean(self, times: int) -> dict[str, Any]:
        """Clean-up passes."""
        with self._app.app_context():
            return {"seconds": _timed(times, lambda _: self._weblab.clean_expired_users())}

    def tasks(self, times: int) -> dict[str, Any]:
        return {"seconds": self._get(f"/tasks?times={times}").json}

    def burst(self, times: int) -> dict[str, Any]:
        return {"seconds": self._get(f"/burst?times={times}").json}

    def _get(self, path: str) -> Any:
        return _good(self._browser.get(path, headers=self._cookie))

    def _start(self) -> dict[str, Any]:
        now = time.time()
        said = {
            "priority.queue.slot.length": SESSION_SECONDS,
            "priority.queue.slot.start": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(now)),
            "priority.queue.slot.start.timestamp": str(now),
            "request.username": "bench",
            "request.username.unique": "bench@bench",
            "request.full_name": "A Student",
            "request.locale": "en",
            "request.experiment_id.experiment_name": "bench",
            "request.experiment_id.category_name": "Benchmarks",
        }
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        answer = self._app.test_client().post(
            "/weblab/sessions/",
            json={"client_initial_data": {}, "server_initial_data": said, "back": "http://localhost/"},
            headers={"Authorization": f"Basic {word}"},
        )
        return dict(_good(answer).json)

    def close(self) -> None:
        if hasattr(self._weblab, "close"):
            self._weblab.close()


def _good(answer: Any) -> Any:
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code} {answer.get_data(as_text=True)[:300]}")
    return answer


def _timed(times: int, act: Callable[[int], Any]) -> list[float]:
    seconds = []
    for number in range(times):
        began = time.perf_counter()
        act(number)
        seconds.append(time.perf_counter() - began)
    return seconds


def converse(lab: Lab) -> None:
    """Answer questions until there are no more. Whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(getattr(lab, question.pop("do"))(**question)), file=answers, flush=True)
    lab.close()


def main(name: str, url: str, *loop: str) -> None:
    module = importlib.import_module(name)
    if loop:
        make_app(module, url)[1].loop(int(loop[1]), False)
    else:
        converse(Lab(module, url))


if __name__ == "__main__":
    main(*sys.argv[1:])

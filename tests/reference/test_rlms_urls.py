"""The URLs of the user and the settings: what of rlms.md is not proven beside them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask

from labkit import (
    InvalidConfigError,
    WebLabNotInitializedError,
    get_weblab_user,
    requires_active,
    weblab_user,
)
from labkit.settings import SETTINGS
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from labkit.web.poll_script import weblab_poll_script
from tests.reference.rlms_lab import MakeLab
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_lab import still_lab as still_lab
from tests.reference.rlms_table import proves
from tests.reference.stated_settings import EMPTY, STATED
from tests.small_lab import SmallLab
from tests.toy import wait_until

# -- the session's browser


@proves("a lab may put the id there itself")
def test_lab_that_puts_the_id_into_the_session_itself(still: SmallLab) -> None:
    def enter(session_id: str) -> str:
        flask.session["weblab_session_id"] = session_id
        return "in"

    still.view("/my-own-way/<session_id>", enter)
    still.view("/me", requires_active(lambda: str(weblab_user.username)))
    session, browser = still.start(), still.client()
    assert browser.get("/me").status_code == 403
    browser.get(f"/my-own-way/{session}")
    assert browser.get("/me").text == "ada"
    assert browser.get(f"/callback/{session}/poll").get_json() == {"success": True}


@proves("a client without an Origin is let in")
def test_program_that_sends_no_origin(still: SmallLab) -> None:
    session = still.start()
    student = still.student(session)
    for what in ("poll", "logout"):
        answer = student.post(f"/callback/{session}/{what}")
        assert "Origin" not in answer.request.headers
        assert answer.get_json() == {"success": True}


@proves("the scheme shapes only the user's link")
def test_scheme_is_in_the_link_and_nowhere_else(make: MakeLab) -> None:
    lab = make(WEBLAB_SCHEME="https")
    lab.view("/url", lambda: flask.url_for("weblab_poll_url", session_id="x", _external=True))
    assert lab.post_start().get_json()["url"].startswith("https://localhost/callback/")
    assert lab.client().get("/url").text == "http://localhost/callback/x/poll"
    assert lab.client().get(f"/callback/{lab.start()}").location == "/lab"


@proves("the secret key may come after init_app")
def test_secret_key_that_comes_late(make: MakeLab) -> None:
    lab = make(SECRET_KEY=None)
    lab.app.secret_key = "it was read from a file just now"
    session = lab.start()
    assert lab.student(session).get(f"/callback/{session}/poll").get_json() == {"success": True}


@proves("processes may have different secret keys")
def test_processes_with_keys_of_their_own(make: MakeLab) -> None:
    one = make(SECRET_KEY="one")
    two = make(SECRET_KEY="two", WEBLAB_REDIS_BASE=one.app.config["WEBLAB_REDIS_BASE"])
    session = one.start()
    assert two.status(session) > 0
    assert two.student(session).get(f"/callback/{session}/poll").get_json() == {"success": True}
    assert one.student(session).get(f"/callback/{session}/logout").get_json() == {"success": True}
    wait_until(lambda: two.dispose(session)["message"] == "Deleted", "the end")


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
from pathlib import Path
from gevent.pywsgi import WSGIServer
from labkit import requires_active, weblab_user
from tests.small_lab import SmallLab

with SmallLab(Path(sys.argv[1]), sys.argv[2]) as lab:
    add = lab.weblab.task()(lambda a, b: a + b)
    lab.view("/sum", requires_active(lambda: str(add.run_sync(2, 3, timeout=30).result)))
    lab.weblab.on_start(lambda client, server: {"name": weblab_user.username})
    server = WSGIServer(("127.0.0.1", 0), lab.app, log=None)
    server.start()
    session = lab.up().start()
    print(lab.student(session).get("/sum").text, lab.status(session))
    while lab.dispose(session)["message"] != "Deleted":
        pass
    server.stop()
print("closed")
"""


@proves("a lab may monkey-patch its web process")
def test_web_process_that_gevent_has_patched(tmp_path: Path, store_server: StoreServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GEVENT, str(tmp_path), store_server.url], cwd=Path(__file__).parents[2],
        env=dict(os.environ), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stdout.split() == ["5", "5.0", "closed"], done.stderr


@proves("script: takes logout_on_close and callback")
def test_arguments_of_the_poll_script() -> None:
    parameters = list(inspect.signature(weblab_poll_script).parameters.values())[:2]
    assert [(one.name, one.default) for one in parameters] == [("logout_on_close", False), ("callback", None)]


# -- settings


@proves("settings have the defaults that are stated")
def test_defaults_of_the_session_apis_settings() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS if setting.name.startswith("WEBLAB_")}
    assert defaults == {**STATED, **dict.fromkeys(EMPTY, "")}


@proves("a time-out of 0 or below is none")
@pytest.mark.parametrize("timeout", [0, -1])
def test_lab_without_a_timeout_waits_for_ever(make: MakeLab, timeout: float) -> None:
    lab = make(WEBLAB_TIMEOUT=timeout, WEBLAB_NO_THREAD=True)
    session = lab.start(length=365 * 24 * 3600)
    lab.lab.store.now = lab.read(session).now + 364 * 24 * 3600
    assert (lab.state(session), lab.status(session)) == (SessionState.ACTIVE, 5)


@proves("the store's prefix can be set")
def test_labs_with_other_prefixes_do_not_meet(make: MakeLab) -> None:
    one, two = make(), make()
    session = one.start()
    assert (one.status(session), two.status(session)) == (5, -1)


@proves("an expired user is kept for the time that is set", "a task is kept for the time that is set")
@pytest.mark.parametrize("kept", [50, 1000])
def test_what_is_over_is_kept_for_a_while(make: MakeLab, kept: float) -> None:
    lab = make(WEBLAB_EXPIRED_USERS_TIMEOUT=kept, WEBLAB_TASK_EXPIRES=100)

    @lab.weblab.task()
    def work() -> None: ...

    lab.view("/work", lambda: work.run_sync().task_id)
    session = lab.up().start()
    task = lab.student(session).get("/work").text
    wait_until(lambda: lab.dispose(session)["message"] == "Deleted", "the end")
    keys = lab.lab.store.keys
    left = [lab.lab.store.command("TTL", keys.of(*key)) for key in (("session", session), ("task", task))]
    assert kept - 30 < left[0] <= kept
    assert 0 < left[1] <= max(100, kept)


@proves("an error of the configuration is a ValueError")
def test_error_of_the_configuration() -> None:
    assert issubclass(InvalidConfigError, ValueError)


@proves("a user in an app without a lab is an error")
def test_app_without_a_lab_has_no_users() -> None:
    app = Flask("bare")
    contexts: list[Any] = [app.app_context(), app.test_request_context()]
    for context in contexts:
        with context, pytest.raises(WebLabNotInitializedError):
            get_weblab_user()
    with app.app_context(), pytest.raises(WebLabNotInitializedError):
        _ = weblab_user.active

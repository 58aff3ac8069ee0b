"""WebLab: what makes an app a lab, where its URLs are, where users begin, tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, request, url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from labkit import WebLab, WebLabNotInitializedError
from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.small_lab import CREDENTIALS

MakeLab = Callable[..., ActingLab]
NEW_USER = {"server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 60}}


@pytest.fixture
def app(tmp_path: Path, store: Store, store_server: StoreServer) -> Iterator[Flask]:
    """An app that is no lab yet."""
    app = Flask("plain", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="for tests only", TESTING=True)
    app.config.update(WEBLAB_REDIS_URL=store_server.url, WEBLAB_REDIS_BASE=store.keys.prefix, WEBLAB_NO_THREAD=True)
    yield app
    if "weblab" in app.extensions:
        app.extensions["weblab"].close()


def api(app: Flask, path: str) -> int:
    return app.test_client().get(f"{path}/api").status_code


# -- the constructor and init_app


@keeps("WebLab", "needs no argument")
@keeps("WebLab.init_app", "has to be called where the constructor got no app")
def test_weblab_without_an_app_waits_for_init_app(app: Flask) -> None:
    weblab = WebLab()
    with pytest.raises(WebLabNotInitializedError):
        weblab.run_tasks()
    assert not any("weblab" in rule.rule for rule in app.url_map.iter_rules())
    weblab.init_app(app)
    weblab.run_tasks()
    assert api(app, "/weblab/sessions") == 200


@keeps("WebLab", "makes an app a lab at once where it is given one", "RLMS calls /weblab/sessions/ by default")
def test_app_in_the_constructor_is_a_lab_at_once(app: Flask) -> None:
    WebLab(app)
    answer = app.test_client().post("/weblab/sessions/", json=NEW_USER, headers=CREDENTIALS)
    assert (answer.status_code, "session_id" in answer.get_json()) == (200, True)


@keeps("WebLab", "backend is the store of its sessions")
def test_backend_is_where_sessions_are_kept(app: Flask, store: Store) -> None:
    backend, app.config["WEBLAB_REDIS_URL"] = app.config["WEBLAB_REDIS_URL"], "unix:///nowhere/at/all"
    WebLab(app, backend=backend)
    answer = app.test_client().post("/weblab/sessions/", json=NEW_USER, headers=CREDENTIALS)
    assert store.command("EXISTS", store.keys.of("session", answer.get_json()["session_id"])) == 1


@keeps("WebLab.init_app", "settings are read once")
def test_change_of_the_config_after_init_app_does_nothing(still: ActingLab) -> None:
    still.app.config.update(WEBLAB_POLL_INTERVAL=1, WEBLAB_PASSWORD="another", WEBLAB_SESSION_ID_NAME="another")
    session = still.start()
    assert still.status(session) == 5
    assert still.visit(still.student(session), guard="active").ran


# -- URLs


@keeps("WebLab", "base_url stands before that path")
def test_base_url_as_an_argument(app: Flask) -> None:
    WebLab(app, base_url="/foo")
    assert (api(app, "/foo/weblab/sessions"), api(app, "/weblab/sessions")) == (200, 404)


@keeps("WebLab", "base_url may be configured")
def test_base_url_as_a_setting(app: Flask) -> None:
    app.config["WEBLAB_BASE_URL"] = "/foo"
    WebLab(app)
    assert (api(app, "/foo/weblab/sessions"), api(app, "/weblab/sessions")) == (200, 404)


@keeps("WebLab", "base_url lies inside the folder where the app is deployed")
def test_app_in_a_folder_has_its_urls_there(app: Flask) -> None:
    weblab = WebLab(app, base_url="/foo")
    weblab.initial_url(lambda: url_for("page"))
    app.add_url_rule("/page", "page", lambda: "welcome")
    outside = Client(DispatcherMiddleware(Flask("outside"), {"/bar": app}))
    answer = outside.post("/bar/foo/weblab/sessions/", json=NEW_USER, headers=CREDENTIALS)
    assert outside.get("/foo/weblab/sessions/api").status_code == 404
    url = answer.get_json()["url"]
    assert urlsplit(url).path.startswith("/bar/callback/")
    assert outside.get(urlsplit(url).path, follow_redirects=True).text == "welcome"


@keeps("WebLab", "users need nothing under the RLMS's path")
def test_rlms_path_may_be_closed_to_users(app: Flask) -> None:
    weblab = WebLab(app, base_url="/closed")
    weblab.initial_url(lambda: url_for("labkit.page"))
    outside: list[str] = []

    @app.before_request
    def close() -> tuple[str, int] | None:
        return ("closed", 403) if outside and request.path.startswith("/closed/") else None

    started = app.test_client().post("/closed/weblab/sessions/", json=NEW_USER, headers=CREDENTIALS).get_json()
    outside.append("students are, from here on")
    student = app.test_client()
    assert student.get(started["url"], follow_redirects=True).status_code == 200
    for endpoint in ("weblab_poll_url", "weblab_logout_url"):
        with app.test_request_context():
            url = url_for(endpoint, session_id=started["session_id"])
        assert student.get(url).get_json() == {"success": True}


def enter(app: Flask, weblab: WebLab) -> tuple[str, str]:
    """Start a session and follow its link. Returns the link's path, with the token named so, and where it leads."""
    weblab.initial_url(lambda: "/my/lab")
    started = app.test_client().post("/weblab/sessions/", json=NEW_USER, headers=CREDENTIALS).get_json()
    path, token = urlsplit(started["url"]).path, started["session_id"]
    return path.replace(token, "TOKEN"), app.test_client().get(path).location


@keeps("WebLab", "callback_url takes a user with a token to the initial URL")
def test_callback_url_as_an_argument(app: Flask) -> None:
    assert enter(app, WebLab(app, callback_url="/mylab/callback/")) == ("/mylab/callback/TOKEN", "/my/lab")


@keeps("WebLab", "callback_url may be configured")
def test_callback_url_as_a_setting(app: Flask) -> None:
    app.config["WEBLAB_CALLBACK_URL"] = "/mylab/callback/"
    assert enter(app, WebLab(app)) == ("/mylab/callback/TOKEN", "/my/lab")


# -- where users begin


@keeps("WebLab.initial_url", "has to be registered")
def test_without_an_initial_url_a_user_is_told_what_is_missing(make: MakeLab) -> None:
    lab = make(hooks=False, WEBLAB_NO_THREAD=True)
    answer = lab.client().get(f"/callback/{lab.start()}")
    assert answer.status_code == 500
    assert "weblab.initial_url" in answer.text


@keeps("WebLab.initial_url", "may be registered once")
def test_second_initial_url_is_refused(still: ActingLab) -> None:
    with pytest.raises(ValueError, match="initial_url"):
        still.weblab.initial_url(lambda: "/another")
    assert still.client().get(f"/callback/{still.start()}").location == "/lab"


@keeps(
    "WebLab.initial_url",
    "says where a user is sent",
    "calls a function without parameters, which may ask for a URL",
)
def test_initial_url_is_asked_where_a_user_begins(make: MakeLab) -> None:
    lab = make(hooks=False, WEBLAB_NO_THREAD=True)
    lab.view("/where/they/begin", lambda: "welcome")

    @lab.weblab.initial_url
    def initial_url() -> str:
        return url_for("/where/they/begin")

    assert initial_url.__name__ == "initial_url"
    answer = lab.client().get(f"/callback/{lab.start()}", follow_redirects=True)
    assert (answer.request.path, answer.text) == ("/where/they/begin", "welcome")


# -- tokens


@keeps("WebLab.create_token", "may stand in a URL as it is", "is never the same twice")
def test_tokens_are_random_text_for_a_url() -> None:
    made = [WebLab().create_token() for _ in range(100)]
    assert len(set(made)) == 100
    assert [token for token in made if not re.fullmatch(r"[A-Za-z0-9_-]+", token)] == []


@keeps("WebLab.create_token", "size counts the bytes before they become text")
@pytest.mark.parametrize(("size", "length"), [(32, 43), (16, 22), (1, 2), (None, 43)])
def test_size_of_a_token_counts_bytes(size: int | None, length: int) -> None:
    assert len(WebLab().create_token(size)) == length
    assert len(WebLab().create_token(size=size)) == length

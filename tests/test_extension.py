"""WebLab: what init_app takes and refuses, what may be registered once, what a lab's author can do with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string

from labkit import InvalidConfigError, WebLab, WebLabNotInitializedError, weblab_user
from labkit.errors import DeclarationError
from labkit.store.sessions import EndReason, SessionState
from labkit.testing.store import StoreServer
from tests.small_lab import MakeLab, SmallLab
from tests.toy import wait_until


@pytest.fixture
def app(tmp_path: Path, store_server: StoreServer) -> Iterator[Flask]:
    app = Flask("plain", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    app.config.update(
        WEBLAB_USERNAME="u", WEBLAB_PASSWORD="p", SECRET_KEY="x", WEBLAB_REDIS_URL=store_server.url, TESTING=True
    )
    yield app
    if "weblab" in app.extensions:
        app.extensions["weblab"].close()


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    return make(WEBLAB_NO_THREAD=True)


# -- init_app


def test_no_app_is_refused() -> None:
    with pytest.raises(ValueError, match="Flask app"):
        WebLab().init_app(None)  # type: ignore[arg-type]


def test_another_app_is_refused(app: Flask) -> None:
    weblab = WebLab(app)
    with pytest.raises(ValueError, match="different app"):
        weblab.init_app(Flask("other"))


def test_second_weblab_in_one_app_is_refused(app: Flask) -> None:
    WebLab(app)
    with pytest.raises(ValueError, match="already installed"):
        WebLab(app)


def test_init_app_again_is_fine_if_nothing_changed(app: Flask) -> None:
    weblab = WebLab(app)
    app.config["SOMETHING"] = "else"
    weblab.init_app(app)


@pytest.mark.parametrize(("key", "value"), [("WEBLAB_TIMEOUT", 99), ("LABKIT_CALL_TIMEOUT", 99)])
def test_init_app_again_with_another_config_is_refused(app: Flask, key: str, value: Any) -> None:
    weblab = WebLab(app)
    app.config[key] = value
    with pytest.raises(ValueError, match="different config"):
        weblab.init_app(app)


@pytest.mark.parametrize("name", ["WEBLAB_USERNAME", "WEBLAB_PASSWORD"])
def test_missing_credentials_are_refused(app: Flask, name: str) -> None:
    del app.config[name]
    with pytest.raises(InvalidConfigError, match=f"Missing {name}"):
        WebLab(app)
    assert "labkit" not in app.extensions


def test_empty_callback_url_is_refused(app: Flask) -> None:
    app.config["WEBLAB_CALLBACK_URL"] = ""
    with pytest.raises(InvalidConfigError, match="Empty URL"):
        WebLab(app)


@pytest.mark.parametrize(("name", "value"), [("WEBLAB_AUTOCLEAN_THREAD", True), ("WEBLAB_TASK_THREADS_PROCESS", 3)])
def test_no_thread_with_threads_is_refused(app: Flask, name: str, value: Any) -> None:
    app.config.update({"WEBLAB_NO_THREAD": True, name: value})
    with pytest.raises(ValueError, match=f"incompatible with {name}"):
        WebLab(app)


@pytest.mark.parametrize(("name", "value"), [("WEBLAB_AUTOCLEAN_THREAD", False), ("WEBLAB_TASK_THREADS_PROCESS", 0)])
def test_no_thread_without_threads_is_fine(app: Flask, name: str, value: Any) -> None:
    app.config.update({"WEBLAB_NO_THREAD": True, name: value})
    WebLab(app)


def test_refused_app_can_be_tried_again(app: Flask) -> None:
    weblab = WebLab()
    password = app.config.pop("WEBLAB_PASSWORD")
    with pytest.raises(InvalidConfigError):
        weblab.init_app(app)
    app.config["WEBLAB_PASSWORD"] = password
    weblab.init_app(app)
    assert weblab.lab.app is app


def test_wrong_declaration_does_not_let_the_lab_start(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "bench-1.toml").write_text('[console]\ndriver = "serial"\nboudrate = 9600\n')
    with pytest.raises(DeclarationError, match=r"bench-1\.toml:3.*boudrate.*baudrate"):
        WebLab(app)


def test_constructor_names_urls_and_overrides_the_config(app: Flask) -> None:
    app.config.update(WEBLAB_CALLBACK_URL="/not-this", WEBLAB_BASE_URL="/nor-this")
    WebLab(app, callback_url="/in", base_url="/api")
    assert app.test_client().get("/api/weblab/sessions/api").status_code == 200
    with app.test_request_context():
        assert app.url_for("weblab_callback_url", session_id="x") == "/in/x"


def test_loading_an_app_starts_and_connects_to_nothing(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    app = Flask("far", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    app.config.update(WEBLAB_USERNAME="u", WEBLAB_PASSWORD="p", WEBLAB_REDIS_URL="redis://203.0.113.1:1/0")
    weblab = WebLab(app)
    assert set(threading.enumerate()) <= before
    assert not (tmp_path / "instance").exists()
    weblab.close()


# -- what may be registered once


@pytest.mark.parametrize("name", ["initial_url", "on_start", "on_dispose", "user_loader"])
def test_hook_can_be_registered_once_and_is_returned(name: str) -> None:
    weblab = WebLab()

    def hook(*_: Any) -> None: ...

    assert getattr(weblab, name)(hook) is hook
    with pytest.raises(ValueError, match=rf"{name} is registered already \(.*hook"):
        getattr(weblab, name)(lambda: None)


def test_tasks_may_be_defined_before_init_app_and_have_names_of_their_own(app: Flask) -> None:
    weblab = WebLab()

    @weblab.task()
    def blink() -> None: ...

    with pytest.raises(ValueError, match="same name"):

        @weblab.task()  # type: ignore[no-redef]
        def blink() -> None: ...

    def named() -> None: ...

    named.__name__ = "x" * 43
    with pytest.raises(ValueError, match="number of characters"):
        weblab.task()(named)
    weblab.init_app(app)


def test_before_init_app_there_is_no_lab() -> None:
    weblab = WebLab()
    for use in (lambda: weblab.lab, lambda: weblab.devices, weblab.clean_expired_users, weblab.run_tasks):
        with pytest.raises(WebLabNotInitializedError):
            use()
    assert repr(weblab) == "<WebLab of no app yet>"
    weblab.close()


# -- what an author does with it


def test_timeout_is_readable_and_can_be_set(app: Flask) -> None:
    weblab = WebLab()
    assert weblab.timeout == 15
    app.config["WEBLAB_TIMEOUT"] = 7
    weblab.init_app(app)
    assert weblab.timeout == 7
    weblab.timeout = 3
    assert weblab.timeout == 3
    weblab.init_app(app)  # its config is what it was
    with pytest.raises(InvalidConfigError, match="WEBLAB_TIMEOUT is 'soon'"):
        weblab.timeout = "soon"  # type: ignore[assignment]


def test_timeout_that_was_set_before_init_app_stands_where_the_config_says_nothing(app: Flask) -> None:
    weblab = WebLab()
    weblab.timeout = 42
    weblab.init_app(app)
    assert weblab.timeout == 42


def test_timeout_counts_for_sessions_that_start_after_it_was_set(lab: SmallLab) -> None:
    lab.weblab.timeout = 0.2
    session = lab.start(length=600)
    wait_until(lambda: lab.status(session) == -1, "the silence to be too long")


def test_backend_is_the_url_of_the_store(app: Flask) -> None:
    url = app.config.pop("WEBLAB_REDIS_URL")
    assert WebLab(app, backend=url).lab.settings.redis_url == url


def test_backend_that_is_no_url_is_refused_and_named(app: Flask) -> None:
    with pytest.raises(InvalidConfigError, match="WEBLAB_REDIS_URL"):
        WebLab(app, backend=object())  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="must begin with redis://"):
        WebLab().init_app(app, backend="localhost:6379")


@pytest.mark.parametrize("size", [None, 16, 32])
def test_tokens_are_random_and_fit_into_an_address(size: int | None) -> None:
    weblab = WebLab()
    made = {weblab.create_token() if size is None else weblab.create_token(size) for _ in range(20)}
    assert len(made) == 20
    assert all(token.replace("-", "").replace("_", "").isalnum() for token in made)
    assert {len(token) for token in made} == {-(-(size or 32) * 4 // 3)}


def test_close_at_any_time_and_twice(app: Flask) -> None:
    weblab = WebLab()
    weblab.close()
    weblab.init_app(app)
    weblab.close()
    app.test_client().get("/weblab/sessions/api")
    weblab.close()
    weblab.close()


def test_lab_lives_on_after_a_close(lab: SmallLab) -> None:
    first = lab.start()
    lab.weblab.close()
    assert lab.status(first) > 0
    lab.weblab.close()


def test_store_that_was_flushed_after_init_app_is_no_problem(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url, devices=["toy"]) as lab:
        lab.up()
        lab.lab.store.command("FLUSHALL")
        wait_until(lambda: lab.post_start().status_code == 200, "the next session")


def test_overdue_sessions_are_ended_in_the_caller(lab: SmallLab) -> None:
    seen: list[str] = []
    lab.weblab.on_dispose(lambda: seen.append(weblab_user.username))
    over, live = lab.start(length=0.01), lab.start()
    lab.lab.sessions.exit(over)
    lab.weblab.clean_expired_users()
    assert (lab.state(over), lab.state(live), seen) == (SessionState.EXPIRED, SessionState.ACTIVE, ["ada"])


def test_background_threads_start_with_the_first_request(tmp_path: Path, store_server: StoreServer) -> None:
    before = set(threading.enumerate())
    with SmallLab(tmp_path, store_server.url, devices=["toy"]) as lab:
        assert set(threading.enumerate()) <= before
        lab.up()
        assert {"beat", "host"} <= {thread.name for thread in set(threading.enumerate()) - before}
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of all threads")


def test_process_that_only_serves_starts_no_threads_but_its_beat(lab: SmallLab) -> None:
    before = set(threading.enumerate())
    lab.start()
    assert not {"host", "changes"} & {thread.name for thread in set(threading.enumerate()) - before}


def test_templates_know_the_user_and_the_lab(lab: SmallLab) -> None:
    lab.view("/t", lambda: render_template_string("{{ weblab_user.username }} {{ weblab.timeout }}"))
    assert lab.student(lab.start()).get("/t").text == "ada 0.0"


def test_commands_hang_on_the_app(lab: SmallLab) -> None:
    assert "weblab" in lab.app.cli.commands


def test_admin_end_is_seen_by_the_user(lab: SmallLab) -> None:
    session = lab.start()
    lab.lab.sessions.end(session, EndReason.ADMIN)
    assert lab.lab.user(session).end_reason == "admin"

"""The cookie with the session's id: one that was read before is known again, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface

from labkit.settings import Settings
from labkit.web.cookies import MOST_KNOWN, protect_cookie

FLASK = tuple(int(part) for part in version("flask").split(".")[:2])


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.secret_key = "first"
    protect_cookie(app, Settings())
    return app


def cookie_with(app: Flask, content: dict[str, Any]) -> str:
    """A cookie as the app gives it, its value alone."""
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return str(serializer.dumps(content))


def content_of(app: Flask, cookie: str) -> dict[str, Any]:
    """What a view finds in its session, for a request with this cookie."""
    with app.test_request_context("/", headers={"Cookie": f"session={cookie}"}):
        return dict(session)


def test_a_cookie_says_the_same_each_time(app: Flask) -> None:
    cookie = cookie_with(app, {"weblab_session_id": "one", "list": [1, 2]})
    assert [content_of(app, cookie) for _ in range(3)] == [{"weblab_session_id": "one", "list": [1, 2]}] * 3


def test_what_a_view_changes_in_its_session_is_not_in_the_next_one(app: Flask) -> None:
    cookie = cookie_with(app, {"list": [1]})
    content_of(app, cookie)
    content_of(app, cookie)["list"].append(2)
    assert content_of(app, cookie) == {"list": [1]}


def test_a_forged_cookie_is_refused_beside_a_known_one(app: Flask) -> None:
    good, other = cookie_with(app, {"who": "one"}), cookie_with(app, {"who": "two"})
    assert content_of(app, good) == {"who": "one"}
    content, signature = good.rsplit(".", 1)
    another = ("b" if signature[0] == "a" else "a") + signature[1:]  # not its end: the last bits there mean nothing
    forged = [other.rsplit(".", 1)[0] + "." + signature, f"{content}.{another}", good + "x"]
    assert [content_of(app, cookie) for cookie in forged] == [{}, {}, {}]
    assert [content_of(app, cookie) for cookie in forged] == [{}, {}, {}], "a refused one must not be known either"


def test_a_known_cookie_grows_old(app: Flask) -> None:
    cookie = cookie_with(app, {"who": "one"})
    assert content_of(app, cookie) == {"who": "one"}
    app.permanent_session_lifetime = timedelta(seconds=-1)
    assert content_of(app, cookie) == {}


def test_with_another_key_no_cookie_is_known(app: Flask) -> None:
    cookie = cookie_with(app, {"who": "one"})
    assert content_of(app, cookie) == {"who": "one"}
    app.secret_key = "second"
    assert content_of(app, cookie) == {}
    app.config["SECRET_KEY_FALLBACKS"] = ["first"]
    assert content_of(app, cookie) == ({"who": "one"} if FLASK >= (3, 1) else {})


def test_without_a_key_there_is_no_session(app: Flask) -> None:
    cookie = cookie_with(app, {"who": "one"})
    app.secret_key = None
    assert content_of(app, cookie) == {}


def test_many_cookies_do_not_pile_up(app: Flask) -> None:
    cookies = [cookie_with(app, {"number": number}) for number in range(MOST_KNOWN + 3)]
    assert [content_of(app, cookie)["number"] for cookie in cookies] == list(range(MOST_KNOWN + 3))
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    assert len(serializer._signed_at) == 3


def test_what_the_author_set_at_flasks_own_interface_stays() -> None:
    app = Flask(__name__)
    app.secret_key = "first"
    app.session_interface = SecureCookieSessionInterface()
    app.session_interface.salt = "another"
    before = cookie_with(app, {"who": "one"})
    protect_cookie(app, Settings())
    assert content_of(app, before) == {"who": "one"}

"""The RLMS's credentials: nothing but the right ones opens anything, and there is no way around them."""

from __future__ import annotations

import base64
import io
import json
from hmac import compare_digest
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from labkit.errors import InvalidConfigError
from labkit.testing.store import StoreServer
from tests.security.busy_lab import RIGHT, BusyLab, basic
from tests.small_lab import SmallLab

BODY = json.dumps(
    {"server_initial_data": {"request.username": "eve", "priority.queue.slot.length": 60}, "action": "delete"}
).encode()


@pytest.fixture(name="lab")
def ready_lab(lab: BusyLab) -> BusyLab:
    return lab.ready()


def ask(lab: SmallLab, path: str, method: str = "POST", **environ: Any) -> TestResponse:
    """Ask as a server hands it on: nothing of the path is put right on the way."""
    wanted = EnvironBuilder(method=method).get_environ()
    facts = {"PATH_INFO": path, "CONTENT_LENGTH": str(len(BODY)), "wsgi.input": io.BytesIO(BODY), **environ}
    chunks, status, headers = run_wsgi_app(lab.app, {**wanted, **facts}, buffered=True)
    return TestResponse(chunks, status, headers, EnvironBuilder().get_request())


WRONG = [
    "", " ", "Basic", "Basic ", "Basic :", basic(""), basic(":"), basic("rlms"), basic("rlms:"), basic(":secret"),
    basic("rlms:secre"), basic("rlms:secret\x00"), basic("rlms:secret:"), basic(" rlms:secret"), basic("RLMS:secret"),
    basic("rlms:SECRET"), basic("rlms:secret") + "=", basic("rlms:secret") + "\x00", f"{RIGHT}, {RIGHT}",
    RIGHT.replace("Basic ", "Bearer "), RIGHT.replace("Basic ", "Basic"), RIGHT.removeprefix("Basic "),
    "Basic \xff\xfe", "Digest username=rlms", basic("rlms:" + "s" * 100_000), basic("rlms:\u212aecret"),
    "Basic " + base64.b64encode("rlms:secret".encode("utf-16")).decode(),
]  # fmt: skip


@pytest.mark.parametrize("header", WRONG, ids=lambda header: ascii(header)[:30])
def test_anything_but_the_right_credentials_opens_nothing(lab: BusyLab, header: str) -> None:
    before = lab.snapshot()
    for method, path in (("POST", "/"), ("POST", f"/{lab.own}"), ("GET", f"/{lab.own}/status"), ("GET", "/test")):
        answer = ask(lab, f"/weblab/sessions{path}", method, HTTP_AUTHORIZATION=header)
        assert (answer.status_code, answer.mimetype) == (401, "application/json"), path
        assert "secret" not in answer.text
    assert lab.snapshot() == before


OTHER_PLACES = [
    {"QUERY_STRING": "username=rlms&password=secret&Authorization=" + RIGHT},
    {"HTTP_PROXY_AUTHORIZATION": RIGHT},
    {"HTTP_X_AUTHORIZATION": RIGHT},
    {"REMOTE_USER": "rlms", "AUTH_TYPE": "Basic"},
    {"HTTP_X_FORWARDED_USER": "rlms"},
    {"HTTP_COOKIE": f"Authorization={RIGHT}"},
    {"HTTP_X_FORWARDED_FOR": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1"},
]


@pytest.mark.parametrize("environ", OTHER_PLACES, ids=lambda environ: next(iter(environ)))
def test_credentials_anywhere_else_open_nothing(lab: BusyLab, environ: dict[str, str]) -> None:
    before = lab.snapshot()
    assert ask(lab, "/weblab/sessions/", **environ).status_code == 401
    assert lab.snapshot() == before


PATHS = [
    "/weblab/sessions", "/weblab/sessions/", "//weblab/sessions/", "/weblab//sessions/", "/weblab/sessions//",
    "/weblab/./sessions/", "/weblab/x/../sessions/", "/./weblab/sessions/", "/weblab/sessions/.",
    "/weblab/sessions/..;/",
    "/weblab/sessions/%2e", "/weblab/sessions%2f", "/%77eblab/sessions/", "/weblab\\sessions\\", "/WEBLAB/sessions/",
    "/weblab/sessions/;x=1", "/weblab/sessions/\x00", "weblab/sessions/", "/weblab/sessions/{own}",
    "/weblab/sessions/{own}/",
    "/weblab/sessions//{own}", "/weblab/sessions/status/multiple/", "/weblab/sessions/{own}/status",
    "/weblab/sessions/{own}/../",
    "/weblab/sessions/api/{own}", "/weblab/sessions/test/{own}", "/weblab/sessions/\u200b{own}",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_no_spelling_of_a_path_leads_around_them(lab: BusyLab, path: str) -> None:
    before = lab.snapshot()
    path = path.format(own=lab.own).encode().decode("latin-1")
    for method in ("POST", "GET", "HEAD", "DELETE", "OPTIONS", "get", "POST ", "post"):
        answer = ask(lab, path, method)
        assert answer.status_code in (308, 400, 401, 404, 405), method
        assert "session_id" not in answer.text
    assert lab.snapshot() == before


OVERRIDES: list[dict[str, str]] = [
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "GET"}, {"HTTP_X_METHOD_OVERRIDE": "GET"}, {"QUERY_STRING": "_method=GET"},
    {"HTTP_X_ORIGINAL_URL": "/weblab/sessions/api"}, {"HTTP_X_REWRITE_URL": "/weblab/sessions/api"},
    {"SCRIPT_NAME": "/weblab/sessions/api"}, {"SCRIPT_NAME": "/x"}, {"HTTP_SCRIPT_NAME": "/weblab/sessions/api"},
    {"HTTP_PATH_INFO": "/weblab/sessions/api"}, {"HTTP_X_FORWARDED_PREFIX": "/x"},
    {"REQUEST_URI": "/weblab/sessions/api"},
]  # fmt: skip


@pytest.mark.parametrize("environ", OVERRIDES, ids=lambda environ: "-".join(*environ.items()))
def test_no_header_leads_around_them(lab: BusyLab, environ: dict[str, str]) -> None:
    before = lab.snapshot()
    for path in ("/weblab/sessions/", f"/weblab/sessions/{lab.own}"):
        assert ask(lab, path, **environ).status_code == 401
        assert ask(lab, path, **environ, HTTP_AUTHORIZATION=basic("rlms:")).status_code == 401
    assert lab.snapshot() == before


def test_prefix_that_a_proxy_takes_off_leaves_them_in_force(lab: BusyLab) -> None:
    before = lab.snapshot()
    for path in ("/weblab/sessions/", f"/weblab/sessions/{lab.own}"):
        assert ask(lab, path, SCRIPT_NAME="/mylab").status_code == 401
    assert lab.snapshot() == before


# -- how they are compared


def test_they_are_compared_as_hashes_of_one_length_and_both_each_time(
    lab: BusyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr("labkit.web.rlms.compare_digest", noted)
    for header in ("", basic("x:" + "y" * 999), basic("rlms:wrong"), basic("wrong:secret"), RIGHT):
        ask(lab, "/weblab/sessions/test", "GET", HTTP_AUTHORIZATION=header)
    assert compared == [(32, 32)] * 10


@pytest.mark.parametrize("missing", ["WEBLAB_USERNAME", "WEBLAB_PASSWORD"])
@pytest.mark.parametrize("value", ["", None, " ", "\t\n"])
def test_lab_whose_credentials_are_empty_does_not_start(
    tmp_path: Path, store_server: StoreServer, missing: str, value: Any
) -> None:
    with pytest.raises(InvalidConfigError, match=missing):
        SmallLab(tmp_path, store_server.url, **{missing: value})


def test_password_of_any_letters_opens_and_only_that(tmp_path: Path, store_server: StoreServer) -> None:
    password = "p\u00e4ss: w\u00f6rd \U0001f511"
    with SmallLab(tmp_path, store_server.url, WEBLAB_PASSWORD=password) as lab:
        for text, status in ((f"rlms:{password}", 200), (f"rlms:{password[:-1]}", 401), ("rlms:p\u00e4ss", 401)):
            answer = ask(lab, "/weblab/sessions/test", "GET", HTTP_AUTHORIZATION=basic(text))
            assert answer.status_code == status

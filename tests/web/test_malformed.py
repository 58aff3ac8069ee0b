"""Malformed starts, and malformed bodies: a 4xx with JSON that names the key, and nothing has changed."""

from __future__ import annotations

import io
import json
import socket
from typing import Any

import pytest

from labkit.web.page_values import MAX_DEPTH
from labkit.web.rlms import BODY_BYTES
from tests.small_lab import CREDENTIALS
from tests.web.malformed import (
    BASE,
    DATES,
    FACTS,
    LENGTH,
    LONE,
    NO_OBJECTS,
    START,
    TEXTS,
    WITH_BODY,
    LiveLab,
    Spring,
    nested,
    refused,
    sent,
    without_sense,
)
from tests.web.malformed import changes_nothing as changes_nothing
from tests.web.malformed import live_lab as live_lab
from tests.web.served import served

# -- bodies


@pytest.mark.parametrize("path", [*WITH_BODY, "LIVE"])
@pytest.mark.parametrize("what", NO_OBJECTS)
def test_body_that_is_no_json_object_is_refused(lab: LiveLab, path: str, what: str) -> None:
    path = path.replace("LIVE", lab.live)
    assert "body" in refused(lab.rlms("POST", path, NO_OBJECTS[what]), "body")


def test_body_that_says_it_is_compressed_is_not_unpacked(lab: LiveLab) -> None:
    headers = {**CREDENTIALS, "Content-Encoding": "gzip", "Content-Type": "application/json"}
    refused(lab.rlms("POST", "", NO_OBJECTS["gzip"], headers=headers), "body")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "text/html", "\xff", ";;", ""]
)
def test_content_type_is_nothing_that_counts(lab: LiveLab, kind: str) -> None:
    headers = {**CREDENTIALS, "Content-Type": kind}
    answer = lab.rlms("POST", "status/multiple", {"session_ids": ["x"]}, headers=headers)
    assert (answer.status_code, answer.get_json()) == (200, {"status": {"x": -1}})


@pytest.mark.parametrize("path", WITH_BODY)
def test_body_that_is_too_long_is_refused_unread(lab: LiveLab, path: str) -> None:
    spring = Spring()
    refused(sent(lab, path, spring, CONTENT_LENGTH=str(BODY_BYTES + 1)), "body", 413)
    assert spring.read_bytes == 0


@pytest.mark.parametrize("path", WITH_BODY)
def test_body_without_a_length_is_read_up_to_the_limit(lab: LiveLab, path: str) -> None:
    spring = Spring()
    chunked = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    refused(sent(lab, path, spring, **chunked), "body", 413)
    assert spring.read_bytes < 2 * BODY_BYTES


def test_body_of_just_the_limit_is_read(lab: LiveLab) -> None:
    body = json.dumps({"action": "fly"}).encode().ljust(BODY_BYTES)
    assert lab.rlms("POST", "nobody", body).get_json() == {"message": "Unknown op"}
    refused(lab.rlms("POST", "nobody", body + b" "), "body", 413)
    chunked = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}
    assert sent(lab, "nobody", io.BytesIO(body), **chunked).get_json() == {"message": "Unknown op"}


def test_limit_of_the_labs_own_holds_too(lab: LiveLab) -> None:
    lab.app.config["MAX_CONTENT_LENGTH"] = 100
    try:
        refused(lab.rlms("POST", "nobody", b" " * 101), "body", 413)
    finally:
        lab.app.config["MAX_CONTENT_LENGTH"] = None


def test_body_that_breaks_off_is_refused(lab: LiveLab) -> None:
    refused(sent(lab, "", io.BytesIO(b'{"a"'), CONTENT_LENGTH="100"), "body")


class Broken(Spring):
    """A body on whose way a server meets what it can't read, and raises an error of its own."""

    def readinto(self, buffer: Any) -> int:
        raise LookupError("chunk size zz")


def test_body_that_the_server_can_not_read_is_refused(lab: LiveLab) -> None:
    for environ in ({"CONTENT_LENGTH": "5"}, {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}):
        refused(sent(lab, "", Broken(), **environ), "body")


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "", "9" * 30])
def test_length_that_is_none_is_no_matter(lab: LiveLab, length: str) -> None:
    assert sent(lab, "", io.BytesIO(b"{}"), CONTENT_LENGTH=length).status_code in (400, 413)


def test_client_that_sends_too_much_hears_why(lab: LiveLab) -> None:
    with served(lab.app) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        credentials = CREDENTIALS["Authorization"]
        link.sendall(
            f"POST {BASE} HTTP/1.1\r\nHost: lab\r\nAuthorization: {credentials}\r\n"
            f"Content-Length: {10**12}\r\n\r\n".encode()
        )
        answer = link.makefile("rb").read()  # although the body never came
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["key"] == "body"


# -- start


@pytest.mark.parametrize("key", ["client_initial_data", "server_initial_data"])
@pytest.mark.parametrize("value", [[], [1], "x", "", 1, 0, 1.5, True, False])
def test_data_that_is_no_object_is_refused(lab: LiveLab, key: str, value: Any) -> None:
    body = {"server_initial_data": FACTS, key: value}
    assert key in refused(lab.rlms("POST", "", body), key)


@pytest.mark.parametrize("key", [*TEXTS, *DATES, LENGTH, f"{START}.timestamp"])
def test_value_of_another_type_is_refused_by_its_key(lab: LiveLab, key: str) -> None:
    for value in without_sense(key):
        assert key in refused(lab.post_start(server={key: value}), key)


@pytest.mark.parametrize("key", [*TEXTS, *DATES, LENGTH, f"{START}.timestamp", "weblab_reservation_id", "unheard.of"])
def test_text_that_is_no_unicode_is_refused_by_its_key(lab: LiveLab, key: str) -> None:
    refused(lab.post_start(server={key: f"a{LONE}"}), key)


@pytest.mark.parametrize("key", TEXTS)
def test_nul_in_a_name_is_refused_by_its_key(lab: LiveLab, key: str) -> None:
    refused(lab.post_start(server={key: "a\x00b"}), key)


@pytest.mark.parametrize("value", [{"a": LONE}, {LONE: 1}, {"a": [{"b": {LONE: None}}]}])
def test_client_data_that_can_not_be_kept_is_refused(lab: LiveLab, value: Any) -> None:
    refused(lab.post_start(client=value), "client_initial_data")


def test_key_that_is_no_unicode_is_refused(lab: LiveLab) -> None:
    refused(lab.post_start(server={LONE: 1}), "server_initial_data")


def test_data_that_is_nested_too_deep_is_refused_by_its_key(lab: LiveLab) -> None:
    for depth in (MAX_DEPTH + 1, 300, 900):
        refused(lab.post_start(client={"a": nested(depth)}), "client_initial_data")
        refused(lab.post_start(server={"deep": nested(depth)}), "deep")


@pytest.mark.parametrize(
    "value", [1, 1.5, True, [], ["http://x"], {}, LONE, "http://[", "http://a..b/", "http://x:port/",
              "http://x/\r\nX: 1",
              "/a\x00", "http://[::1", "http://x:99999999/"],
)  # fmt: skip
def test_way_back_that_can_not_be_gone_is_refused(lab: LiveLab, value: Any) -> None:
    assert "back" in refused(lab.post_start(back=value), "back")


LENGTHS = ["", " ", "soon", "1,5", "1_0", "0x10", "\u0661", "1e999", "-5", "0", 0, -1, -0.0, 1e-400, 31_708_800,
           10**400, "1" * 5000, "nan", "infinity", None]  # fmt: skip


@pytest.mark.parametrize("value", LENGTHS)
def test_length_that_is_none_is_refused(lab: LiveLab, value: Any) -> None:
    refused(lab.post_start(length=value), LENGTH)


DATES_THAT_ARE_NONE = [
    "", "yesterday", "2026-13-40 00:00:00", "2026-11-22 25:00:00", "2026-11-22 10:61:00", "0000-01-01", "10000-01-01",
    "2026-11-22T10:00:00+99:00", "2026-02-29 10:00:00", "1795340026", "\x00", "x" * 100_000, "2026-W99-1",
]  # fmt: skip


@pytest.mark.parametrize("key", DATES[:2])
@pytest.mark.parametrize("value", DATES_THAT_ARE_NONE)
def test_date_that_is_none_is_refused(lab: LiveLab, key: str, value: str) -> None:
    refused(lab.post_start(server={key: value}), key)


@pytest.mark.parametrize("value", ["", "noon", "nan", 1e300, -1e300, 10**400, "9" * 400, 253402300801, -62135596801])
def test_timestamp_that_is_none_is_refused(lab: LiveLab, value: Any) -> None:
    refused(lab.post_start(server={f"{START}.timestamp": value}), f"{START}.timestamp")


HOSTS = [
    "", "a b", "x/y", "[", "[::1", "\xff\xfe", "a:99999999", "a:port", "x" * 5000, "..", ".x", "a..b", "xn--", "x" * 70,
    "a@b", "a\tb", "http://x",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_host_of_which_no_link_can_be_made_is_refused(lab: LiveLab, host: str) -> None:
    body = io.BytesIO(json.dumps({"server_initial_data": FACTS}).encode())
    size = str(len(body.getvalue()))
    refused(sent(lab, "", body, CONTENT_LENGTH=size, HTTP_HOST=host), "Host")
    status = sent(lab, "nobody", io.BytesIO(b""), HTTP_HOST=host)
    assert (status.status_code in (200, 400), status.mimetype) == (True, "application/json")

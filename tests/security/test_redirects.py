"""Where labkit sends a browser, and what it links to: no script, and no other host where a path is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit import requires_active
from labkit.testing.store import StoreServer
from labkit.web.access import way_back
from tests.security.busy_lab import BusyLab
from tests.small_lab import SmallLab

NO_WAYS = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "\tjavascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "blob:https://x/y", "about:blank",
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/\n/evil.example",
    "https://ok.example/\r\nSet-Cookie: x=1", "http://x/\x00", "https:\\\\evil.example", "http:evil.example",
    "evil.example",
    "x", "", None, 17, ["http://x"], {"a": 1}, "https://x/ y", "view-source:https://x", "ht\ttp://x",
]  # fmt: skip
WAYS = [
    "http://rlms.example/", "https://rlms.example/a?b=c&d=%20#e", "HTTPS://rlms.example", "/", "/here/and?there=1#x",
    "https://rlms.example/ä", "http://[::1]:5000/",
]  # fmt: skip
REFUSED = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://x/y",
]


@pytest.mark.parametrize("back", NO_WAYS, ids=ascii)
def test_no_link_leads_to_what_is_no_page_on_the_web(back: Any) -> None:
    assert way_back(back) is None


@pytest.mark.parametrize("back", WAYS)
def test_way_back_is_kept(back: str) -> None:
    assert way_back(back) == back


@pytest.mark.parametrize("back", REFUSED)
def test_start_with_a_script_for_the_way_back_is_refused(lab: BusyLab, back: str) -> None:
    """A lab's own template may link to `weblab_user.back`."""
    before = lab.ready().snapshot()
    answer = lab.post_start(back=back)
    assert (answer.status_code, answer.get_json()["key"]) == (400, "back")
    assert lab.snapshot() == before


@pytest.mark.parametrize("back", ["//evil.example/x", "/\\evil.example", "evil.example"])
def test_page_has_no_link_where_the_way_back_only_looks_like_a_path(lab: BusyLab, back: str) -> None:
    session = lab.ready().start(back=back)
    student = lab.student(session)
    assert "evil.example" not in student.get("/labkit/").text
    lab.end(session)
    assert "evil.example" not in student.get("/labkit/ended").text
    answer = student.get("/active")
    assert (answer.status_code, "Location" in answer.headers) == (403, False)


PATHS = ["//evil.example", "/\\evil.example", "///evil.example/%2f..", "/.//evil.example", "//evil.example/labkit/"]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_the_lab_leads_to_another_host(lab: BusyLab, path: str) -> None:
    for prefix in ("", "/labkit", "/labkit/ended", "/callback", "/weblab/sessions"):
        answer = lab.ready().client().get("/", environ_overrides={"PATH_INFO": prefix + path})
        location = answer.headers.get("Location", "")
        assert location.startswith(("http://localhost/", "/")) or not location
        assert not location.startswith(("//", "/\\"))


def test_try_again_leads_to_the_same_page_wherever_the_lab_is_mounted(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url) as lab:
        lab.view("/guarded/<path:rest>", requires_active(lambda rest: "in"))
        student = lab.up().student(lab.start())
        server.stop()
        for path in ("/labkit/", "/guarded/evil.example"):
            where = {"PATH_INFO": path, "QUERY_STRING": "x=1&y=%22%3E", "SCRIPT_NAME": "/mylab"}
            answer = student.get("/", environ_overrides=where)
            assert (answer.status_code, 'href="?x=1&amp;y=%22%3E"' in answer.text) == (503, True)

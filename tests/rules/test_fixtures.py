"""The shared fixtures are what they say they are."""

from __future__ import annotations

import socket
from pathlib import Path

from playwright.sync_api import Browser

from tests.conftest import OrdinaryUser


def test_browser_runs_scripts_and_shows_a_page(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto("data:text/html,<title>bench</title><script>document.title += ' ' + (6 * 7)</script>")
    assert page.title() == "bench 42"
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    page.close()


def test_ordinary_user_has_no_privileges(ordinary_user: OrdinaryUser) -> None:
    code = "become_ordinary()\nprint(os.getuid(), os.geteuid(), os.getgid(), 0 in os.getgroups())"
    uid, gid = ordinary_user.uid, ordinary_user.gid
    assert uid != 0
    assert ordinary_user.run(code).split() == [str(uid), str(uid), str(gid), "False"]


def test_ordinary_user_is_kept_out_of_what_root_owns(ordinary_user: OrdinaryUser, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o000)
    code = "become_ordinary()\ntry: open(sys.argv[1])\nexcept PermissionError: print('refused')"
    assert ordinary_user.run(code, secret) == "refused\n"


def test_free_port_can_be_bound(free_port: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port))
        assert server.getsockname() == ("127.0.0.1", free_port)

"""What a device, a plugin, a student or an RLMS says is shown as text: on pages, in logs, on terminals."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import io
import json
import logging
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import labkit
from labkit.cli.home import home_blueprint
from labkit.cli.readiness import Readiness
from labkit.cli.screen import show_facts, show_header, show_notices, show_parts
from labkit.commands.bench import bench as bench_command
from labkit.commands.bench_draft import bench_draft
from labkit.commands.devices import devices as devices_command
from labkit.commands.logs import LineFormatter
from labkit.commands.scan import failed, show
from labkit.commands.source import LabSource
from labkit.devices.hardware import Looked, Seen
from labkit.devices.plugins import Plugins
from labkit.errors import DeviceOfflineError
from labkit.plugin import Found
from labkit.store.sessions import SessionState
from labkit.web.demo import demo_blueprint
from tests.security.busy_lab import BusyLab
from tests.small_lab import MakeLab, SmallLab
from tests.toy import Toy, wait_until

NASTY = [
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "'-alert(1)-'",
    "{{ 7 * 7 }}", "{% raw %}", "<!--<script>", "]]>", "\u2028alert(1)", "&lt;b&gt;", "</title><b>", "${7*7}",
    "`", "\\u003cb\\u003e",
]  # fmt: skip
ACTS = [
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;ZXZpbA==\x07", "\x9b2J", "\x9d0;x\x9c", "\x08\x08", "\r", "\x00", "\x7f",
    "\x1b[8m", "\u202eevil", "\u2066x", "\x85", "\u2028", "\x1bP$q\x1b\\", "\x0c", "\x0b",
]  # fmt: skip
MARKUP = ["[red]x[/]", "[link=https://evil.example]x[/link]", "[/]", "[bold"]
SEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
FORGED = "2026-01-01 00:00:00Z INFO    session ended session=000000000000 reason=admin"


@pytest.fixture(name="lab")
def ready_lab(lab: BusyLab) -> BusyLab:
    return lab.ready()


# -- pages


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_what_an_rlms_says_is_text_on_every_page(lab: BusyLab, text: str) -> None:
    server = {"request.full_name": text, "request.username": text, "request.locale": text}
    session = lab.start(server=server, client={text: text}, back=f"https://rlms.example/?{text}")
    student = lab.student(session)
    page = student.get("/labkit/").text
    lab.end(session)
    ended = student.get("/labkit/ended").text
    for shown in (page, ended):
        assert "alert(1)</script>" not in shown
        assert not re.search(r"<(?:img|svg|b)\b", shown)
        assert re.findall(r"<script[^>]*>", shown) == [
            tag
            for tag in re.findall(r"<script[^>]*>", shown)
            if 'type="module"' in tag or 'type="application/json"' in tag
        ]
    (data,) = re.findall(r'<script type="application/json" id="page-data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["username"] == text


def test_what_a_device_says_is_text_on_the_page(lab: BusyLab) -> None:
    student = lab.student(lab.own)
    text = " ".join(NASTY)

    def told() -> Any:
        page = student.get("/labkit/").text
        (data,) = re.findall(r'id="page-data">(.*?)</script>', page, re.DOTALL)
        return next((page for one in json.loads(data)["devices"] if "alert(1)" in one["reason"]), None)

    with failing(lab, lab.bench_of(lab.own), text):
        page = wait_until(told, "the reason")
        assert "alert(1)</script>" not in page
        assert not re.search(r"<(?:img|svg|b)\b", page)


@contextlib.contextmanager
def failing(lab: BusyLab, bench: str, text: str) -> Iterator[None]:
    """A device that has gone, and that says something of it."""
    world = lab.worlds[f"{bench}/toy"]
    world.failing["open"] = DeviceOfflineError(text)
    world.toys[-1].link.lost(text)
    try:
        yield
    finally:
        del world.failing["open"]
        wait_until(lambda: lab.benches()[bench].devices[0].condition == "ok", "the device")


@pytest.mark.parametrize("path", ["/labkit/demo", "/", "/labkit/", "/callback/nobody", "/labkit/nothing<script>"])
def test_what_stands_in_an_address_is_not_on_the_page(lab: BusyLab, path: str) -> None:
    query = "?a=<script>alert(1)</script>&\"'><svg onload=alert(1)>"
    for accept in ("text/html", "*/*"):
        text = lab.client().get(path + query, headers={"Accept": accept, "Referer": f"http://x/{query}"}).text
        assert "alert(1)" not in html.unescape(text)


def test_title_of_the_lab_is_text_on_every_page(make: MakeLab) -> None:
    lab = make(LABKIT_TITLE=NASTY[0])
    lab.app.register_blueprint(home_blueprint(lab.lab))
    lab.app.register_blueprint(demo_blueprint(lab.lab, 60))
    session = lab.up().start()
    student, over = lab.student(session), lab.start()
    former = lab.student(over)
    lab.dispose(over)
    lab.wait_state(over, SessionState.EXPIRED)
    for text in NASTY:
        lab.lab.settings = dataclasses.replace(lab.lab.settings, title=text)
        pages = [(student, "/labkit/"), (former, "/labkit/ended")]
        for browser, path in [*pages, *((lab.client(), path) for path in ("/labkit/", "/", "/labkit/demo"))]:
            shown = browser.get(path, headers={"Accept": "text/html"}).text
            (title,) = re.findall(r"<title>(.*?)</title>", shown, re.DOTALL)
            assert html.unescape(title).endswith(text), path
            assert "<" not in title, path
            assert "alert(1)</script>" not in shown, path
            assert not re.search(r"<(?:img|svg|b)\b", shown), path


def test_no_template_of_labkits_own_turns_the_escaping_off() -> None:
    templates = [*(Path(labkit.__file__).parent / "web" / "templates" / "labkit").glob("*.html")]
    assert templates
    for template in templates:
        assert "|safe" not in template.read_text().replace(" ", ""), template.name
        assert "autoescapefalse" not in template.read_text().replace(" ", ""), template.name


# -- logs


@pytest.mark.parametrize("text", ACTS, ids=ascii)
@pytest.mark.parametrize("colored", [True, False])
def test_nothing_in_a_log_acts_on_the_terminal(text: str, colored: bool) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "device changed reason=%s", (f"a{text}b",), None)
    line = LineFormatter("loop", colored=colored).format(record)
    bare = line.replace("\x1b[2m", "").replace("\x1b[0m", "") if colored else line
    assert not SEEN.search(bare)
    assert "device changed reason=a" in bare


def test_nothing_in_a_log_passes_for_a_line_of_its_own() -> None:
    for ends in ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
        try:
            raise ValueError(f"no such thing{ends}{FORGED}")
        except ValueError as error:
            facts = (type(error), error, error.__traceback__)
            record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "start failed error=%s", (error,), facts)
        lines = LineFormatter("", colored=False).format(record).splitlines()
        assert [line for line in lines if line.startswith("2026-01-01")] == []
        assert all(line.startswith("    ") for line in lines[1:])


def test_reason_of_a_device_is_one_line_that_acts_on_nothing_wherever_it_is_read(lab: BusyLab) -> None:
    bench = lab.bench_of(lab.own)
    with failing(lab, bench, f"a\x1b]52;c;ZXZpbA==\x07b\n{FORGED}\x9b2J"):
        devices = wait_until(lambda: [d for d in lab.benches()[bench].devices if "52;c" in d.reason], "the reason")
        assert devices[0].reason == f"a\\x1b]52;c;ZXZpbA==\\x07b {' '.join(FORGED.split())}\\x9b2J"


def test_log_of_sessions_is_one_line_of_json_whatever_the_rlms_says(lab: BusyLab) -> None:
    facts = {"request.experiment_id.experiment_name": f"x\n{FORGED}\x1b[2J", "request.experiment_id.category_name": "y"}
    session = lab.start(server=facts)
    lab.dispose(session)
    (line,) = [line for line in lab.log if "disposed" in line and "2J" in line]
    assert not SEEN.search(line)
    assert "\n" not in line


# -- terminals


ODD = " ".join(f"<{number}{text}{number}>" for number, text in enumerate([*MARKUP, *ACTS]))
"""All of it, each part with something before and behind it that has to be there, whatever comes of the part."""


def is_harmless(shown: str) -> None:
    """Look at what a terminal gets that was given ODD."""
    assert not SEEN.search(shown)
    for number, text in enumerate([*MARKUP, *ACTS]):
        assert f"<{number}" in shown, text
        assert f"{number}>" in shown, text
    for text in MARKUP:
        assert text in shown


def output(lab: SmallLab, folder: Path, command: click.Command, *arguments: str) -> str:
    """What a command of `labkit` prints of a lab that runs. It has a process's own view of it, by the store alone."""
    url, base = (lab.app.config[name] for name in ("WEBLAB_REDIS_URL", "WEBLAB_REDIS_BASE"))
    with SmallLab(folder, url, WEBLAB_REDIS_BASE=base) as other:
        done = CliRunner().invoke(command, arguments, obj=LabSource(lambda: other.lab), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def printed(part: Callable[[Console], None]) -> str:
    """What a part of the screen prints; wide enough that nothing is wrapped but what has a width of its own."""
    written = io.StringIO()
    part(Console(file=written, force_terminal=False, width=2000))
    return written.getvalue()


def test_nothing_in_a_table_of_devices_acts_on_the_terminal(lab: BusyLab, tmp_path: Path) -> None:
    """Once by way of the host, which makes one harmless line of a reason; and once as if another had written it."""
    bench, store = lab.bench_of(lab.own), lab.lab.store
    with failing(lab, bench, ODD):
        wait_until(lambda: "<0" in lab.benches()[bench].devices[0].reason, "the reason")
        is_harmless(output(lab, tmp_path, devices_command))
        is_harmless(output(lab, tmp_path, bench_command, "log", bench))
        reason = f"one {FORGED}\n{FORGED}\n{ODD}"
        store.command("HSET", store.keys["conditions"], f"{bench}/toy", f"offline 1 device {reason}")
        shown = output(lab, tmp_path, devices_command)
    is_harmless(shown)
    assert [line for line in shown.splitlines() if line.startswith("2026-01-01")] == []


def test_nothing_on_the_screen_of_a_lab_acts_on_the_terminal(lab: BusyLab) -> None:
    bench = lab.bench_of(lab.own)
    device = dataclasses.replace(lab.benches()[bench].devices[0], condition="faulty", reason=ODD)
    seen = Readiness(devices={device.name: device})
    is_harmless(printed(lambda console: show_header(console, ODD)))
    is_harmless(printed(lambda console: show_parts(console, lab.lab, "http://x", seen)))
    is_harmless(printed(lambda console: show_notices(console, [ODD])))
    is_harmless(printed(lambda console: show_facts(console, [("link", ODD)])))


def test_nothing_that_hardware_says_of_itself_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in a USB device's texts is its maker's choice, or an attacker's who plugs it in."""
    found = Found(path=ODD, title=ODD, facts={ODD: ODD}, options={"world": ODD}, trouble=ODD, remedy=ODD)
    seen = [Seen(kind="toy", found=found), Seen(kind="toy", found=Found(path="", title=""), declared=(ODD,))]
    show([Looked(kind="toy", seen=seen)], Plugins(drivers={"toy": Toy}))
    is_harmless(capsys.readouterr().out)
    (sentence,) = failed([Looked(kind="toy", error=ODD, remedy="dmesg")])
    is_harmless(sentence)
    draft = bench_draft(seen, {"toy": Toy})
    is_harmless(draft)
    assert [table["world"] for table in tomllib.loads(draft).values()] == [ODD]


def test_richs_own_escape_which_lets_all_but_markup_through_is_used_in_one_place() -> None:
    used = [
        path.name
        for folder in ("cli", "commands")
        for path in (Path(labkit.__file__).parent / folder).glob("*.py")
        if re.search(r"^\s*(?:from|import) rich\b.*\bmarkup\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert used == ["terminal.py"]


@pytest.mark.parametrize("query", ["&sid=a%0afake%1b[2J", "%0afake%1b[2J", "&EIO=%0afake%1b[2J"])
@pytest.mark.parametrize("origin", [None, "http://fake\x1b[2J.example"])
def test_what_a_refused_connection_has_sent_is_in_no_log(
    lab: BusyLab, caplog: pytest.LogCaptureFixture, query: str, origin: str | None
) -> None:
    """Anybody may try one, and an app that has set up no logs of its own gets the library's as they come."""
    with caplog.at_level(logging.DEBUG):
        path = f"/labkit/socket.io/?transport=websocket{query}"
        answer = lab.client().get(path, headers={} if origin is None else {"Origin": origin})
    assert answer.status_code == 400
    assert "connection was refused reason=" in caplog.text
    assert not [line for line in caplog.messages if "fake" in line]

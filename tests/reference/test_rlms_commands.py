"""`flask weblab`, as labs use it: its commands and options, and `fake` against a server that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from labkit import weblab_user
from labkit.commands.address import address_of
from tests.reference.rlms_lab import MakeLab, served_at
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_lab import still_lab as still_lab
from tests.reference.rlms_table import proves
from tests.small_lab import SmallLab
from tests.toy import wait_until

FILE = ".fake_weblab_user_session_id"
NEW = {
    "--name", "--username", "--username-unique", "--assigned-time", "--back", "--locale", "--experiment-name",
    "--category-name", "--dont-open-browser", "--client-initial-data", "--client-initial-data-file",
}  # fmt: skip

Fake = Callable[..., Result]


@pytest.fixture
def lab(make: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallLab]:
    """A lab that is served_at at its SERVER_NAME; the current folder is one of the test's own."""
    lab = make(WEBLAB_TIMEOUT=30)
    monkeypatch.chdir(tmp_path)
    with served_at(lab) as name:
        lab.app.config["SERVER_NAME"] = name
        yield lab


@pytest.fixture
def fake(lab: SmallLab) -> Fake:
    """Runs `flask weblab fake ...`."""
    return lambda *words: lab.app.test_cli_runner().invoke(args=["weblab", "fake", *words])


def started(lab: SmallLab, fake: Fake, *options: str) -> Any:
    """The user whom `fake new` has started."""
    done = fake("new", "--dont-open-browser", *options)
    assert done.exit_code == 0, done.output
    return lab.lab.user(Path(FILE).read_text())


def options_of(lab: SmallLab, *words: str) -> set[str]:
    command: Any = lab.app.cli.commands["weblab"]
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


@proves("flask weblab has its commands with their options")
def test_commands_and_their_options(still: SmallLab) -> None:
    assert {"--threads", "--reload", "--no-reload"} <= options_of(still, "loop")
    assert options_of(still, "fake", "new") >= NEW
    for words in (("clean-expired-users",), ("run-tasks",), ("fake", "status"), ("fake", "dispose")):
        options_of(still, *words)


@proves("fake new calls the server at SERVER_NAME over HTTP", "fake new prints the URL whole on one line")
def test_new_starts_a_session_of_the_server_at_its_name(lab: SmallLab, fake: Fake) -> None:
    done = fake("new", "--dont-open-browser")
    assert done.exit_code == 0, done.output
    (url,) = (line for line in done.output.splitlines() if "://" in line)
    assert re.fullmatch(rf"http://{lab.app.config['SERVER_NAME']}/callback/[\w-]{{43}}", url)
    assert lab.status(url.rpartition("/")[2]) == 5


@proves("fake new calls localhost:5000 by default")
def test_new_calls_the_usual_address_where_none_is_said(still: SmallLab) -> None:
    assert address_of(still.lab, None).url == "http://localhost:5000"


@proves("fake new starts a session of 300 s by default", "fake new keeps the id in its file")
def test_new_starts_a_session_of_five_minutes_and_keeps_its_id(lab: SmallLab, fake: Fake) -> None:
    user = started(lab, fake)
    assert user.max_date - user.start_date == pytest.approx(300, abs=1)
    assert user.session_id == Path(FILE).read_text()


@proves("fake new sends what its options say")
def test_options_of_new_reach_the_session(lab: SmallLab, fake: Fake) -> None:
    Path("data.json").write_text(json.dumps({"b": 2}))
    given = {
        "name": "Ada Lovelace", "username": "ada", "username-unique": "ada@uni", "assigned-time": "12.5",
        "back": "https://rlms.invalid/", "locale": "es", "experiment-name": "uno", "category-name": "Boards",
    }  # fmt: skip
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    user = started(lab, fake, *words, "--client-initial-data", '{"a": 1}')
    assert (user.full_name, user.username, user.username_unique) == ("Ada Lovelace", "ada", "ada@uni")
    assert (user.back, user.locale, user.experiment_id) == ("https://rlms.invalid/", "es", "uno@Boards")
    assert user.request_client_data == {"a": 1}
    assert user.max_date - user.start_date == pytest.approx(12.5, abs=1e-3)
    assert started(lab, fake, "--client-initial-data-file", "data.json").request_client_data == {"b": 2}


@proves("fake new says which error came")
def test_new_says_why_nothing_was_started(lab: SmallLab, fake: Fake) -> None:
    lab.weblab.on_start(lambda client, server: [][0])
    done = fake("new", "--dont-open-browser")
    assert done.exit_code != 0
    assert re.search(r"^Error processing request: .*IndexError", done.output, re.MULTILINE)


@proves("fake status prints the user and when to ask again")
def test_status_shows_the_user(lab: SmallLab, fake: Fake) -> None:
    user = started(lab, fake)
    done = fake("status")
    assert done.exit_code == 0
    assert done.output.splitlines()[:2] == [str(user), "Should finish: 5"]


@proves("fake dispose prints the message")
def test_dispose_ends_the_session_and_says_so(lab: SmallLab, fake: Fake) -> None:
    names: list[str] = []
    lab.weblab.on_dispose(lambda: names.append(weblab_user.username))
    started(lab, fake)
    wait_until(lambda: fake("dispose").output.strip() == "Deleted", "the end")
    assert names == ["john"]


@proves("fake without a session says so and exits with 0")
@pytest.mark.parametrize("command", ["status", "dispose"])
def test_without_a_session_nothing_is_found(lab: SmallLab, fake: Fake, command: str) -> None:
    done = fake(command)
    assert (done.exit_code, done.output.startswith("Session not found")) == (0, True)

"""`fake new | status | dispose` against a lab that runs."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.program import Place, browser, request

FILE = ".fake_weblab_user_session_id"


def test_new_prints_a_url_by_which_the_user_gets_in(free_lab: Place) -> None:
    done = free_lab.labkit("fake", "new", "--name", "Ada Lovelace", "--assigned-time", "60")
    assert done.returncode == 0, done.stderr
    (url,) = (line for line in done.stdout.splitlines() if line.startswith("http"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback/[\w-]+", url)
    status, text = request(url, opener=browser())
    assert status == 200
    assert "Ada Lovelace" in text
    assert url.endswith((free_lab.folder / FILE).read_text())
    assert done.stdout.endswith("\nOpen it within 15 s: after that much silence the session ends.\n\n")


def test_new_says_nothing_of_silence_where_it_ends_no_session(free_lab: Place) -> None:
    assert "silence" not in free_lab.labkit("fake", "new", WEBLAB_TIMEOUT="-1").stdout


def test_status_and_dispose_follow_the_session(free_lab: Place) -> None:
    free_lab.labkit("fake", "new", "--assigned-time", "100")
    status = free_lab.labkit("fake", "status")
    assert re.fullmatch(
        r"Current user \(id: [\w-]+\)\nShould finish: 5\n\n"
        r"user       John Smith\nbench      bench-1\n"
        r"time left  \d+ s; the RLMS is to ask again in 5 s\n",
        status.stdout,
    ), status
    disposed = free_lab.labkit("fake", "dispose")
    assert (disposed.returncode, disposed.stdout) == (0, "Deleted\n")
    assert not (free_lab.folder / FILE).exists()


def test_status_of_a_session_that_is_over_says_so(free_lab: Place) -> None:
    free_lab.labkit("fake", "new")
    free_lab.labkit("release", "bench-1")
    shown = free_lab.labkit("fake", "status").stdout
    assert re.match(r"Expired user .*\nShould finish: -1\n\nuser       John Smith\nbench      bench-1\n", shown), shown
    assert shown.endswith("time left  none: the session is over (admin)\n")


@pytest.mark.parametrize("command", ["status", "dispose"])
def test_without_a_session_nothing_is_found(free_lab: Place, command: str) -> None:
    done = free_lab.labkit("fake", command)
    assert (done.returncode, done.stdout) == (0, "Session not found. Start one with: labkit fake new\n")


def test_session_that_the_store_does_not_know_is_not_found(free_lab: Place) -> None:
    (free_lab.folder / FILE).write_text("nobody")
    assert free_lab.labkit("fake", "status").stdout.startswith("Session not found")
    assert free_lab.labkit("fake", "dispose").stdout == "Not found\n"


def test_refusal_of_the_lab_is_printed(free_lab: Place) -> None:
    free_lab.labkit("fake", "new")
    done = free_lab.labkit("fake", "new")
    assert done.returncode == 1
    assert done.stderr.startswith("Error processing request: bench-1 is reserved by another session since ")


def test_wrong_credentials_are_said(free_lab: Place) -> None:
    done = free_lab.labkit("fake", "new", WEBLAB_PASSWORD="wrong")
    assert done.returncode == 1
    assert done.stderr.startswith("Error processing request: The credentials seem to be wrong")


def test_lab_that_does_not_answer_is_named(free_lab: Place) -> None:
    done = free_lab.labkit("fake", "new", "--url", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "Error processing request: No lab answers at http://127.0.0.1:1/weblab/sessions/ "
        "([Errno 111] Connection refused). Start it with `labkit run`, or say where it is by --url.\n"
    )


@pytest.mark.parametrize("data", ["{", "[1]", "3"])
def test_client_data_must_be_a_json_object(free_lab: Place, data: str) -> None:
    done = free_lab.labkit("fake", "new", "--client-initial-data", data)
    assert done.returncode == 2
    assert "client's initial data" in done.stderr


def test_client_data_may_come_from_a_file(free_lab: Place) -> None:
    free_lab.write("data.json", json.dumps({"back": 3}))
    done = free_lab.labkit("fake", "new", "--client-initial-data-file", "data.json")
    assert done.returncode == 0, done.stderr

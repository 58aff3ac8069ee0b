"""What labkit's own answers carry: they are not kept, nothing foreign is loaded, and no version is told."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from werkzeug.test import TestResponse

from tests.security.access_table import ROUTES
from tests.security.busy_lab import RIGHT, BusyLab
from tests.security.test_access_table import ask
from tests.small_lab import MakeLab
from tests.web.described import OURS

OWN = [(endpoint, row) for endpoint, rows in ROUTES.items() for row in rows if endpoint.startswith(OURS)]
FILES = ("labkit.static", "labkit.panel")
WHO = ("anonymous", "rlms", "expired", "own")
Answers = list[tuple[str, TestResponse]]


@pytest.fixture(scope="module")
def answers(lab: BusyLab) -> Answers:
    """What everybody gets from every route of labkit's own: by its own method, of which the answer is the one that the
    table has, by GET, and by a method that none has."""
    found = []
    for endpoint, row in OWN:
        for who in WHO:
            done = ask(lab.ready(), who, row.method, row)
            assert done.status_code == row.answer_for(who).status, (row, who)
            others = [ask(lab, who, how, row) for how in ("GET", "BREW") if how != row.method]
            found += [(endpoint, answer) for answer in (done, *others)]
    return found


def policy(answer: TestResponse) -> dict[str, set[str]]:
    parts = [part.split() for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: set(sources) for name, *sources in parts}


def test_nothing_that_is_anybodys_is_kept_or_passed_on(answers: Answers) -> None:
    for endpoint, answer in answers:
        if answer.status_code == 405 or endpoint in FILES:
            continue
        assert answer.headers["Cache-Control"] == "no-store", (endpoint, answer.status_code)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", endpoint
        if not endpoint.startswith("weblab_rlms."):
            assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin"), endpoint


def test_link_of_a_session_is_passed_on_to_nobody(lab: BusyLab) -> None:
    for path in (f"/callback/{lab.ready().own}", "/callback/nobody"):
        for method in ("GET", "HEAD"):
            answer = lab.client().open(path, method=method)
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert lab.client().get(f"/callback/{lab.own}").headers["Referrer-Policy"] == "no-referrer"


def test_link_is_passed_on_to_nobody_by_a_lab_that_does_not_know_where_it_leads(make: MakeLab) -> None:
    answer = make(hooks=False).client().get("/callback/nobody")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (500, "no-store")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


REDIRECTED = (
    "/callback//{own}",
    "//callback/{own}//poll",
    "/labkit",
    "/labkit//ended?x=1",
    "/weblab//sessions/{own}/status",
)


@pytest.mark.parametrize("path", REDIRECTED)
@pytest.mark.parametrize("host", ["lab.example", "evil.example", ""])
def test_redirect_to_the_right_spelling_is_kept_by_nobody_and_leads_to_no_other_host(
    lab: BusyLab, path: str, host: str
) -> None:
    """Flask makes it before a view is asked: for good, and by http where a proxy hides the lab's https."""
    where, _, query = path.format(own=lab.ready().own).partition("?")
    environ = {"PATH_INFO": where, "QUERY_STRING": query, "HTTP_HOST": host, "SCRIPT_NAME": "/mylab"}
    answer = lab.client().get("/", environ_overrides=environ, headers={"Authorization": RIGHT})
    assert answer.status_code == 308
    assert re.match(r"/mylab/\w", answer.headers["Location"]), answer.headers["Location"]
    assert answer.headers["Location"].partition("?")[2] == query
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_redirect_of_the_labs_own_stays_as_it_was(lab: BusyLab) -> None:
    answer = lab.client().get("/", environ_overrides={"PATH_INFO": "//static//lab.txt", "HTTP_HOST": "lab.example"})
    assert (answer.status_code, answer.headers["Location"]) == (308, "http://lab.example/static/lab.txt")


def test_pages_load_only_what_is_the_labs_and_no_script_stands_in_them(answers: Answers) -> None:
    shown = [one for _, one in answers if one.mimetype == "text/html" and one.status_code in (200, 403)]
    pages = [one for one in shown if one.text != "Access forbidden"]
    assert len(pages) > 10
    for page in pages:
        rules = policy(page)
        assert (rules["default-src"], rules["script-src"], rules["base-uri"]) == ({"'none'"}, {"'self'"}, {"'none'"})
        assert (rules["form-action"], rules["connect-src"], rules["style-src"]) == ({"'self'"}, {"'self'"}, {"'self'"})
        assert not set.union(*rules.values()) & {"*", "'unsafe-eval'", "'unsafe-inline'", "http:", "https:", "blob:"}
        assert not re.search(r"\s(?:on\w+|style)=|javascript:|<style", page.text)
        for tag in re.findall(r"<script[^>]*>", page.text):
            assert 'src="/labkit/static/' in tag or 'type="application/json"' in tag, tag
        for address in re.findall(r"<(?:link|img|iframe)[^>]* (?:src|href)=\"([^\"]*)\"", page.text):
            assert address.startswith("/labkit/static/"), address


def test_no_answer_tells_a_version(answers: Answers) -> None:
    for endpoint, answer in answers:
        if endpoint not in FILES:
            told = f"{answer.headers}{answer.text}"
            assert not re.search(r"werkzeug|gunicorn|python/|flask/|x-powered-by", told, re.IGNORECASE), endpoint
            assert f"labkit {version('labkit')}" not in told

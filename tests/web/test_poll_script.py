"""What `weblab_poll_script()` puts into a page. What the script then does is in tests/browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template, render_template_string, template_rendered

from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from labkit.web.poll_script import weblab_poll_script
from tests.docs.markdown import rows_of
from tests.small_lab import SmallLab

MakeLab = Callable[..., SmallLab]

NO_TIMEOUT = "<!-- timeout is 0 or negative; no script -->"
NO_SESSION = "<!-- session_id not found; no script -->"


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    """A lab whose sessions end after a minute of silence."""
    return make(WEBLAB_TIMEOUT=60)


def put_on_a_page(lab: SmallLab, arguments: str = "", rule: str = "/page") -> None:
    lab.view(rule, lambda: render_template_string(f"{{{{ weblab_poll_script({arguments}) }}}}"))


def rendered(lab: SmallLab, arguments: str = "", **start: Any) -> str:
    """A student's page that is nothing but the script."""
    put_on_a_page(lab, arguments)
    return lab.student(lab.start(**start)).get("/page").text


def told(script: str) -> dict[str, Any]:
    """What the script is told, in the last line but one."""
    found = re.search(r"^\}\)\((\{.*\}), .*\);\n</script>$", script, re.MULTILINE)
    assert found, script
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def callback_in(script: str) -> str:
    """The other thing that it is given: what is called at the end."""
    found = re.search(r"^\}\)\(\{.*\}, (.*)\);\n</script>$", script, re.MULTILINE)
    assert found, script
    return found[1]


# -- script, or a comment


def test_script_holds_the_quoted_path_of_the_poll(lab: SmallLab) -> None:
    put_on_a_page(lab)
    session = lab.start()
    script = lab.student(session).get("/page").text
    assert script.startswith("<script>\n")
    assert f'"/callback/{session}/poll"' in script
    assert script.endswith("\n</script>")


def test_script_needs_no_jquery(lab: SmallLab) -> None:
    script = rendered(lab, "logout_on_close=True, callback='ended'")
    assert re.search(r"jquery|\$\(|\$\.", script, re.IGNORECASE) is None
    assert "src=" not in script


def test_page_without_a_session_gets_a_comment(lab: SmallLab) -> None:
    put_on_a_page(lab)
    assert lab.client().get("/page").text == NO_SESSION


def test_id_of_an_unknown_session_is_no_session(lab: SmallLab) -> None:
    put_on_a_page(lab)
    client = lab.client()
    with client.session_transaction() as flask_session:
        flask_session["weblab_session_id"] = "forgotten"
    assert client.get("/page").text == NO_SESSION


@pytest.mark.parametrize("timeout", [0, -1])
def test_lab_without_a_timeout_gets_a_comment_with_a_session_and_without(make: MakeLab, timeout: float) -> None:
    lab = make(WEBLAB_TIMEOUT=timeout)
    assert rendered(lab) == NO_TIMEOUT
    assert lab.client().get("/page").text == NO_TIMEOUT


def test_timeout_that_counts_is_the_one_when_the_page_is_made(lab: SmallLab) -> None:
    put_on_a_page(lab)
    student = lab.student(lab.start())
    lab.weblab.timeout = 0
    assert student.get("/page").text == NO_TIMEOUT
    lab.weblab.timeout = 8
    assert told(student.get("/page").text)["every"] == 4000


def test_expired_user_gets_the_script_which_then_learns_that_it_is_over(lab: SmallLab) -> None:
    put_on_a_page(lab)
    session = lab.start()
    student = lab.student(session)
    lab.dispose(session)
    lab.wait_state(session, SessionState.EXPIRED)
    facts = told(student.get("/page").text)
    assert (facts["poll"], facts["left"]) == (f"/callback/{session}/poll", None)
    assert student.post(facts["poll"]).get_json()["success"] is False


def test_page_that_is_made_while_the_store_is_away_has_the_script(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url, WEBLAB_TIMEOUT=60) as lab:
        put_on_a_page(lab)
        session = lab.up().start()
        student = lab.student(session)
        server.stop()
        answer = student.get("/page")
        assert answer.status_code == 200
        facts = told(answer.text)
        assert (facts["poll"], facts["every"], facts["left"]) == (f"/callback/{session}/poll", 30_000, None)


def test_template_that_a_task_fills_in_has_no_browser_and_gets_a_comment(lab: SmallLab) -> None:
    def report() -> str:
        return render_template_string("{{ weblab_poll_script() }}")

    task = lab.weblab.task()(report)
    lab.view("/report", lambda: task.run_sync(timeout=30).result)
    assert lab.student(lab.start()).get("/report").text == NO_SESSION


# -- addresses


def test_paths_are_below_the_application_root(lab: SmallLab) -> None:
    put_on_a_page(lab, "logout_on_close=True")
    session = lab.start()
    script = lab.student(session).get("/page", base_url="http://localhost/labs/mine").text
    facts = told(script)
    assert (facts["poll"], facts["root"]) == (f"/labs/mine/callback/{session}/poll", "/labs/mine")
    assert facts["logout"] == f"/labs/mine/callback/{session}/logout"


def test_paths_follow_the_callback_url(make: MakeLab) -> None:
    lab = make(WEBLAB_TIMEOUT=60, WEBLAB_CALLBACK_URL="/way/in")
    put_on_a_page(lab)
    session = lab.start()
    student = lab.client()
    assert student.get(f"/way/in/{session}").status_code == 302
    assert told(student.get("/page").text)["poll"] == f"/way/in/{session}/poll"


def test_nothing_that_it_is_told_ends_the_script(lab: SmallLab) -> None:
    put_on_a_page(lab, "logout_on_close=True")
    root = "/a</script><!--\u2028'\"&"
    student = lab.student(lab.start())
    script = student.get("/page", environ_overrides={"SCRIPT_NAME": root.encode().decode("latin-1")}).text
    assert (script.count("</"), script.count("<!--"), "\u2028" in script) == (1, 0, False)
    assert told(script)["root"] == root


# -- how often


@pytest.mark.parametrize(
    ("timeout", "every"), [(15, 7500), (0.2, 100), (0.001, 50), (3601, 1_800_500), (1e12, 2**31 - 1)]
)
def test_it_polls_every_half_of_the_timeout_as_far_as_timers_go(make: MakeLab, timeout: float, every: int) -> None:
    lab = make(WEBLAB_TIMEOUT=60)
    put_on_a_page(lab)
    student = lab.student(lab.start())
    lab.weblab.timeout = timeout
    assert told(student.get("/page").text)["every"] == min(every, 30_000)  # nor less often than its session needs
    lab.weblab.timeout = 0
    student = lab.student(lab.start())  # in a session that may be silent for ever
    lab.weblab.timeout = timeout
    assert told(student.get("/page").text)["every"] == every


def test_it_asks_as_soon_as_the_time_must_be_over(lab: SmallLab) -> None:
    put_on_a_page(lab)
    session = lab.start(length=100)
    student = lab.student(session)
    before = lab.read(session).time_left
    left = told(student.get("/page").text)["left"]
    assert 1000 * lab.read(session).time_left - 1 < left - 250 <= 1000 * before <= 100_000


def test_time_that_is_longer_than_a_timer_is_as_long_as_a_timer(lab: SmallLab) -> None:
    assert told(rendered(lab, length=300 * 86400))["left"] == 2**31 - 1


# -- arguments


def test_it_knows_the_logout_only_where_it_is_to_log_out(lab: SmallLab) -> None:
    put_on_a_page(lab, rule="/stay")
    put_on_a_page(lab, "True", rule="/leave")
    session = lab.start()
    student = lab.student(session)
    assert told(student.get("/leave").text)["logout"] == f"/callback/{session}/logout"
    stays = student.get("/stay").text
    assert told(stays)["logout"] is None
    assert f"{session}/logout" not in stays


@pytest.mark.parametrize("name", ["ended", "lab.ended", "$", "$1._x", "window.lab.delete", "größe.ändern", "classes"])
def test_callback_is_called_by_its_name(lab: SmallLab, name: str) -> None:
    script = rendered(lab, f"callback='{name}'")
    assert callback_in(script) == f"() => {name}()"
    assert told(script)["callback"] == name


def test_without_a_callback_nothing_is_called(lab: SmallLab) -> None:
    assert callback_in(rendered(lab)) == "null"


@pytest.mark.parametrize(
    "given",
    ["'ended()'", "'1st'", "'a-b'", "'a..b'", "'.a'", "'a.'", "' ended'", "'a b'", "''", "'class'", "'this.ended'",
     "'alert(1)//'", "'</script>'", "'a\\nb'", "1", "ended"],
)  # fmt: skip
def test_callback_that_is_no_name_is_refused_with_a_session_and_without(lab: SmallLab, given: str) -> None:
    put_on_a_page(lab, f"callback={given}")
    for browser in (lab.client(), lab.student(lab.start())):
        with pytest.raises(ValueError, match=r"callback is .* no name of a JavaScript function.*'lab\.ended'"):
            browser.get("/page")


def test_nonce_is_put_on_the_tag(lab: SmallLab) -> None:
    assert rendered(lab, "nonce='r4nd0m'").startswith('<script nonce="r4nd0m">\n')


def test_nonce_can_not_leave_its_attribute(lab: SmallLab) -> None:
    assert rendered(lab, "nonce='\"><b>'").startswith('<script nonce="&#34;&gt;&lt;b&gt;">\n')


# -- templates


def test_every_template_of_the_lab_has_the_three_names(lab: SmallLab, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    text = "{{ weblab_user.username }} {{ weblab }} {{ weblab_poll_script() }}"
    (tmp_path / "templates" / "named.html").write_text(text)
    blueprint = Blueprint("part", __name__)
    blueprint.add_url_rule("/part", view_func=lambda: render_template("named.html"))
    lab.app.register_blueprint(blueprint)
    lab.view("/text", lambda: render_template_string(text))
    student = lab.student(lab.start())
    for page in ("/part", "/text"):
        assert student.get(page).text.startswith("ada &lt;WebLab of smalllab&gt; <script>")


def test_script_does_not_depend_on_how_the_lab_writes_its_templates(make: MakeLab) -> None:
    lab = make(WEBLAB_TIMEOUT=60)
    lab.app.jinja_options = {"variable_start_string": "[[", "variable_end_string": "]]", "block_start_string": "[%"}
    lab.view("/page", lambda: render_template_string("[[ weblab_poll_script(callback='ended') ]]"))
    assert callback_in(lab.student(lab.start()).get("/page").text) == "() => ended()"


def test_lab_is_told_of_its_own_templates_only(lab: SmallLab) -> None:
    names = []

    def hear(sender: Flask, template: Any, **more: Any) -> None:
        names.append(template.name)

    put_on_a_page(lab)
    student = lab.student(lab.start())
    with template_rendered.connected_to(hear, lab.app):
        student.get("/page")
    assert names == [None]


def test_documentation_has_every_name_and_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "templates.md").read_text("utf-8")
    firsts = [row[0].strip("`") for row in rows_of(page)]
    assert firsts[1:4] == ["weblab_user", "weblab", "weblab_poll_script()"]
    assert sorted(firsts[5:8]) == sorted(signature(weblab_poll_script).parameters)
    assert all(comment.strip("<!-> ") in page for comment in (NO_TIMEOUT, NO_SESSION))

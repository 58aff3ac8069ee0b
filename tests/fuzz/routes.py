"""Requests that were made up from docs/reference/openapi.json, for each route and method. For the fuzz.

Each answer is one that is described, and a refused one has changed nothing. `make fuzz` has schemathesis make them up;
what `make test` tries is simpler.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from tests.fuzz.lab import FIVE_HUNDRED, FuzzedLab
from tests.small_lab import CREDENTIALS
from tests.web.described import Answers, described, description
from tests.web.malformed import FACTS, LONE
from tests.web.served import cookie

NO_ROUTE = (308, 404, 405)
"""What is said of an address that is none, because of what stands in it (a slash, a dot, nothing)."""
SOCKET = "/labkit/socket.io/"
"""Described too, but not answered by HTTP."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request. route: the path as the description writes it; path: as it is sent, not quoted."""

    verb: str
    route: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


people = st.sampled_from(["rlms", "rlms", "rlms", "live", "expired", "as made up"])
"""Who asks: with right credentials, or with a cookie of a session, or as it was made up."""


def by_schemathesis() -> Iterator[st.SearchStrategy[Request]]:
    """For each route and method: what fits the description, and what does not."""
    import schemathesis
    from schemathesis import GenerationMode

    for found in schemathesis.openapi.from_dict(description()).get_all_operations():
        operation = found.ok()
        if operation.path != SOCKET:
            positive = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
            negative = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            yield (positive | negative).map(_of_case)


def _of_case(case: Any) -> Request:
    import requests

    how = case.as_transport_kwargs(base_url="http://localhost")
    prepared = requests.Request(**{**how, "cookies": None}).prepare()
    path, _, query = prepared.path_url.partition("?")
    body = prepared.body or b""
    return Request(
        verb=case.method, route=case.operation.path, path=EnvironBuilder(path=path).get_environ()["PATH_INFO"],
        query=query, headers=dict(prepared.headers), body=body.encode() if isinstance(body, str) else bytes(body),
    )  # fmt: skip


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from([LONE, "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ids = st.sampled_from(["nobody", "LIVE", "EXPIRED", "%00", "a b", "..", "é", "x" * 300]) | st.text(
    min_size=1, max_size=6
)
good: dict[str, Any] = {
    "server_initial_data": FACTS, "client_initial_data": {}, "back": "http://rlms.invalid/", "action": "delete",
    "session_ids": ["nobody"], "timeout": 1,
}  # fmt: skip
bodies = (
    st.dictionaries(st.sampled_from(sorted(good)), json_values, max_size=2).map(lambda some: {**good, **some})
    | st.dictionaries(st.sampled_from(sorted(FACTS)), json_values).map(lambda some: {"server_initial_data": some})
    | json_values
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30)


@st.composite
def made_up(draw: st.DrawFn) -> Request:
    """Any request to any route, without more than hypothesis."""
    everywhere = [(route, verb) for route in description()["paths"] if route != SOCKET for verb, _ in described(route)]
    route, verb = draw(st.sampled_from(everywhere))
    path = route
    for name in ("session_id", "kind", "filename"):
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", draw(ids).encode("utf-8", "replace").decode("latin-1"))
    query = draw(st.text(st.characters(max_codepoint=255), max_size=5))
    return Request(verb=verb, route=route, path=path, query=query, body=draw(bodies) if verb == "post" else b"")


class Asker:
    """Sends requests as a server would hand them on, and looks at what comes back."""

    def __init__(self, lab: FuzzedLab):
        self._lab = lab
        self._answers = Answers()

    def ask(self, request: Request, who: str) -> str:
        """Send a request as somebody. Returns the status; fails where the answer is none that is described."""
        path = self._path(request)
        answer = self._sent(request, path, who)
        try:
            return self._looked_at(request, path, answer)
        except AssertionError as error:
            said = f"{answer.status_code} {answer.text:.300}"
            raise AssertionError(f"{request!r:.2000} as {who}\n{said}\n{error}") from error

    def _path(self, request: Request) -> str:
        """Where it goes; not to the live session's logout or end, which are no refusals."""
        path = request.path.replace("EXPIRED", self._lab.expired)
        ends = request.verb in ("get", "post") and (path.endswith("/logout") or "/weblab/" in path)
        return path.replace("LIVE", "nobody" if ends else self._lab.live)

    def _sent(self, request: Request, path: str, who: str) -> TestResponse:
        headers = {name.upper().replace("-", "_"): value for name, value in request.headers.items()}
        if who == "rlms":
            headers["AUTHORIZATION"] = CREDENTIALS["Authorization"]
        if who in ("live", "expired"):
            session = self._lab.live if who == "live" else self._lab.expired
            headers["COOKIE"] = cookie(self._lab.app, {"weblab_session_id": session})
        environ = EnvironBuilder(method=request.verb.upper(), data=request.body).get_environ()
        environ |= {f"HTTP_{name}": value for name, value in headers.items() if not name.startswith("CONTENT_")}
        environ |= {"PATH_INFO": path, "QUERY_STRING": request.query, "CONTENT_LENGTH": str(len(request.body))}
        environ |= {"CONTENT_TYPE": headers.get("CONTENT_TYPE", "application/json"), "HTTP_HOST": "localhost"}
        chunks, status, answered = run_wsgi_app(self._lab.app, environ, buffered=True)
        return TestResponse(chunks, status, answered, EnvironBuilder().get_request())

    def _looked_at(self, request: Request, path: str, answer: TestResponse) -> str:
        status = answer.status_code
        if status == 500:
            self._lab.wrong[FIVE_HUNDRED] += 1
            raise AssertionError("an answer of 500")
        if status == 503:
            assert "bench" in answer.text  # nothing but a lab that is full says so while its store answers
        if self._is_route(request.route, path) and status not in NO_ROUTE:
            self._answers.fit(answer, request.verb, path)
        begun = _begun(answer)
        if begun:
            self._lab.changed(begun)
        else:
            self._lab.unchanged()
        return str(status)

    def _is_route(self, written: str, path: str) -> bool:
        try:
            return self._answers.route(path) == written
        except StopIteration:
            return False


def _begun(answer: TestResponse) -> str:
    """The session that an accepted request has begun, or ''."""
    if answer.status_code == 303:
        return answer.headers["Location"].rpartition("/")[2]
    facts = answer.get_json(silent=True) if answer.status_code == 200 else None
    return str(facts["session_id"]) if isinstance(facts, dict) and "session_id" in facts else ""

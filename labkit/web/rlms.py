"""The routes that an RLMS calls: api, test, start, status, dispose. Every answer is JSON that an RLMS can act on.

What they answer, and why, is in rlms.md. Credentials are compared in constant time; missing or empty ones open nothing.
"""

from __future__ import annotations

import functools
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request, url_for

from labkit.clock import Deadline
from labkit.errors import BadRequestError, BenchUnavailableError, StoreUnavailableError, WebLabError
from labkit.lab import Lab
from labkit.lifecycle import hashed
from labkit.sessions import ASK_AGAIN, end_session, session_status, start_session
from labkit.store.sessions import EndReason, SessionState
from labkit.web.start_request import parse_start

log = logging.getLogger("labkit.web")

Answer = tuple[Mapping[str, Any], int]

API_VERSION = "1"
DELETING: Mapping[str, Any] = {
    "message": "Deleting",
    "finished": False,
    "ask_again": ASK_AGAIN,
    "should_finish": ASK_AGAIN,
}
AWAY: Mapping[str, Any] = {
    "error": True,
    "message": "The lab can't reach its store. Nothing is lost; try again in a few seconds.",
}


def rlms_blueprint(lab: Lab, base_url: str) -> Blueprint:
    """The RLMS's routes of one lab, under `{base_url}/weblab/sessions/`."""
    blueprint = Blueprint("weblab_rlms", __name__, url_prefix=f"{base_url}/weblab/sessions")
    routes = RlmsRoutes(lab)

    def add(rule: str, endpoint: str, view: Callable[..., Answer], methods: list[str], *, guarded: bool = True) -> None:
        answering = _answers(view, routes.refusal if guarded else None)
        blueprint.add_url_rule(rule, endpoint, answering, methods=methods, strict_slashes=False)

    add("/api", "api", routes.api, ["GET"], guarded=False)
    add("/test", "test", routes.test, ["GET"], guarded=False)
    add("/", "start", routes.start, ["POST"])
    add("/status/multiple", "status_multiple", routes.status_multiple, ["POST"])
    add("/<session_id>/status", "status", routes.status, ["GET"])
    add("/<session_id>", "dispose", routes.dispose, ["POST"])
    every = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    add("/", "no_start", routes.unknown, [method for method in every if method != "POST"])
    add("/<path:_rest>", "unknown", routes.unknown, every)
    return blueprint


def _answers(view: Callable[..., Answer], refusal: Callable[[], Answer | None] | None) -> Callable[..., Response]:
    """Credentials first, then the view; whatever happens becomes a JSON answer."""

    @functools.wraps(view)
    def answer(**arguments: Any) -> Response:
        try:
            body, status = (refusal() if refusal is not None else None) or view(**arguments)
        except BadRequestError as error:
            body, status = {"error": True, "message": str(error), "key": error.key}, 400
        except BenchUnavailableError as error:
            body, status = {"error": True, "message": str(error)}, 503
        except StoreUnavailableError:
            body, status = AWAY, 503
        except WebLabError as error:
            body, status = {"error": True, "message": str(error)}, 503
        except Exception as error:  # a lab's own on_start may raise anything
            log.exception("request of the RLMS failed endpoint=%s", request.endpoint)
            body, status = (
                {"error": True, "message": f"The lab failed: {type(error).__name__}. Its log says more."},
                503,
            )
        return Response(json.dumps(body), status, mimetype="application/json", headers={"Cache-Control": "no-store"})

    return answer


class RlmsRoutes:
    """What each route does for one lab."""

    def __init__(self, lab: Lab):
        self._lab = lab

    # -- credentials

    def _wrong_credentials(self) -> str | None:
        """Which credential is wrong, or None. Both are always compared, in constant time."""
        given = request.authorization
        username = (given.username if given is not None else None) or ""
        password = (given.password if given is not None else None) or ""
        settings = self._lab.settings
        right_name = hmac.compare_digest(username.encode(), settings.username.encode()) and bool(settings.username)
        right_password = hmac.compare_digest(password.encode(), settings.password.encode()) and bool(settings.password)
        if right_name and right_password:
            return None
        return (
            "no username provided"
            if not username
            else "wrong username provided"
            if not right_name
            else "wrong password provided"
        )

    def refusal(self) -> Answer | None:
        if self._wrong_credentials() is None:
            return None
        return {
            "error": True,
            "message": "The credentials seem to be wrong: check WEBLAB_USERNAME and WEBLAB_PASSWORD.",
        }, 401

    # -- routes

    def api(self) -> Answer:
        return {"api_version": API_VERSION}, 200

    def test(self) -> Answer:
        wrong = self._wrong_credentials()
        if wrong is None:
            return {"valid": True}, 200
        return {"valid": False, "error_messages": [f"Invalid credentials: {wrong}"]}, 401

    def start(self) -> Answer:
        session_id = start_session(self._lab, parse_start(_body()))
        external: dict[str, Any] = {"_scheme": self._lab.settings.scheme} if self._lab.settings.scheme else {}
        url = url_for("weblab_callback_url", session_id=session_id, _external=True, **external)
        return {"url": url, "session_id": session_id}, 200

    def status(self, session_id: str) -> Answer:
        try:
            return {"should_finish": session_status(self._lab, session_id)}, 200
        except StoreUnavailableError:
            return {"should_finish": ASK_AGAIN}, 200  # an error would mean "finished" to an RLMS

    def status_multiple(self) -> Answer:
        body = _body()
        if body.get("session_ids") is None:
            human = "Missing parameter: session_ids, a list of text."
            return {"success": False, "error_code": "missing-parameters", "error_human": human}, 200
        ids = body["session_ids"]
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            raise BadRequestError("session_ids", "session_ids must be a list of text.")
        deadline = Deadline(_timeout(body))
        status: dict[str, float] = {}
        for session_id in ids:
            if deadline.over:
                break
            status[session_id] = float(self.status(session_id)[0]["should_finish"])
        return {"status": status}, 200

    def dispose(self, session_id: str) -> Answer:
        try:
            if _body().get("action") != "delete":
                return {"message": "Unknown op"}, 200
            state = end_session(self._lab, session_id, EndReason.DISPOSED)
        except StoreUnavailableError:
            return DELETING, 200
        except BadRequestError:
            raise
        except Exception:
            log.exception("dispose failed; the reaper ends the session session=%s", hashed(session_id))
            return DELETING, 200
        if state is SessionState.UNKNOWN:
            return {"message": "Not found"}, 200
        if state is SessionState.EXPIRED:
            return {"message": "Deleted", "finished": True, "should_finish": -1}, 200
        return DELETING, 200

    def unknown(self, _rest: str = "") -> Answer:
        return {"error": True, "message": f"Nothing answers {request.method} {request.path}."}, 404


def _body() -> dict[str, Any]:
    """The JSON object that was sent, whatever its Content-Type says. Errors: `BadRequestError`."""
    try:
        body = json.loads(request.get_data(cache=False) or b"{}")
    except (ValueError, RecursionError):
        raise BadRequestError("body", "The body must be JSON.") from None
    if not isinstance(body, dict):
        raise BadRequestError("body", f"The body must be a JSON object, not {type(body).__name__}.")
    return body


def _timeout(body: Mapping[str, Any]) -> float | None:
    value = body.get("timeout")
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError("timeout", "timeout must be a number of seconds.") from None
    if not 0 <= number < float("inf"):
        raise BadRequestError("timeout", "timeout must be a number of seconds, at least 0.")
    return number

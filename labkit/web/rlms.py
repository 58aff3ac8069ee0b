"""The routes that an RLMS calls: api, test, start, status, dispose. Every answer is JSON that an RLMS can act on.

What they answer, and why, is in rlms.md. Credentials are compared in constant time; missing or empty ones open nothing.
Whatever comes is answered in JSON: also by what is no route, and by what Flask itself would refuse with a page.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, request, url_for
from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect, WebsocketMismatch

from labkit.clock import Deadline
from labkit.errors import BadRequestError, BenchUnavailableError, NotCopiedError, StoreUnavailableError, WebLabError
from labkit.lab import Lab
from labkit.log_text import hashed
from labkit.sessions import ASK_AGAIN, end_session, session_status, start_session
from labkit.store.sessions import EndReason, SessionState
from labkit.web.page_values import as_number, is_unicode
from labkit.web.request_log import without_ids
from labkit.web.start_request import parse_start

log = logging.getLogger("labkit.web")

_LABEL = "(?!-|xn--(?:[.:]|$))[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::[0-9]{{1,5}})?")

Answer = tuple[Mapping[str, Any], int]

API_VERSION = "1"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
BODY_BYTES = 1_000_000
"""The longest body of a request. A longer one is refused unread."""
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
    prefix = f"{base_url}/weblab/sessions"
    blueprint = Blueprint("weblab_rlms", __name__, url_prefix=prefix)
    routes = RlmsRoutes(lab)

    def add(rule: str, endpoint: str, view: Callable[..., Answer], methods: list[str], *, guarded: bool = True) -> None:
        blueprint.add_url_rule(
            rule,
            endpoint,
            _answers(view, routes.refusal if guarded else None),
            methods=methods,
            strict_slashes=False,
            provide_automatic_options=False,
        )

    add("/api", "api", routes.api, ["GET"], guarded=False)
    add("/test", "test", routes.test, ["GET"], guarded=False)
    add("/", "start", routes.start, ["POST"])
    add("/status/multiple", "status_multiple", routes.status_multiple, ["POST"])
    add("/<session_id>/status", "status", routes.status, ["GET"])
    add("/<session_id>", "dispose", routes.dispose, ["POST"])
    blueprint.before_app_request(_answers_what_is_no_route(prefix, _answers(routes.no_route, routes.refusal)))
    return blueprint


def _answers(view: Callable[..., Answer], refusal: Callable[[], Answer | None] | None) -> Callable[..., Response]:
    """Credentials first, then the view; whatever happens becomes a JSON answer."""

    @functools.wraps(view)
    def answer(**arguments: Any) -> Response:
        try:
            body, status = (refusal() if refusal is not None else None) or view(**arguments)
        except BadRequestError as error:
            body, status = {"error": True, "message": str(error), "key": error.key}, _status_of(error)
        except BenchUnavailableError as error:
            body, status = {"error": True, "message": str(error)}, 503
        except NotCopiedError as error:
            body, status = {"error": True, "message": str(error)}, 503
        except StoreUnavailableError:
            body, status = AWAY, 503
        except WebLabError as error:
            body, status = {"error": True, "message": str(error)}, 503
        except (Exception, SystemExit) as error:  # a lab's own on_start may raise anything
            log.exception("request of the RLMS failed endpoint=%s", request.endpoint)
            body, status = (
                {"error": True, "message": f"The lab failed: {type(error).__name__}. Its log says more."},
                503,
            )
        return Response(json.dumps(body), status, mimetype="application/json", headers=_HEADERS)

    return answer


def _answers_what_is_no_route(prefix: str, answer: Callable[[], Response]) -> Callable[[], Response | None]:
    """Look at each request of the app before it goes its way: what is below the prefix, and has none, is answered here.

    Flask would answer it with a page: an address or a method that nobody serves, a Host header that is none.
    """

    def look() -> Response | None:
        wrong = request.routing_exception
        if wrong is None or isinstance(wrong, RequestRedirect):
            return None
        if request.path != prefix and not request.path.startswith(f"{prefix}/"):
            return None
        response = answer()
        if isinstance(wrong, MethodNotAllowed) and response.status_code in (200, 405):
            response.headers["Allow"] = ", ".join(_methods(wrong))
        return response

    return look


def _methods(wrong: MethodNotAllowed) -> list[str]:
    return sorted({*(wrong.valid_methods or ()), "OPTIONS"})


class _RefusedError(BadRequestError):
    """A request that is malformed in a way for which HTTP has a status of its own."""

    def __init__(self, status: int, key: str, message: str):
        self.status = status
        super().__init__(key, message)


def _status_of(error: BadRequestError) -> int:
    return error.status if isinstance(error, _RefusedError) else 400


class RlmsRoutes:
    """What each route does for one lab."""

    def __init__(self, lab: Lab):
        self._lab = lab

    # -- credentials

    def _wrong_credentials(self) -> str | None:
        """Which credential is wrong, or None. Both are always compared, in constant time."""
        username, password = _basic(request)
        settings = self._lab.settings
        right_name = _is_right(username, settings.username)
        right_password = _is_right(password, settings.password)
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
        asked = parse_start(_body(), self._now)
        self._link("-")  # before anything is reserved: a link that can't be made is refused
        session_id = start_session(self._lab, asked)
        return {"url": self._link(session_id), "session_id": session_id}, 200

    def _now(self) -> float:
        """The store's time: this machine's clock may be wrong, or stepped."""
        self._lab.process.start()
        return self._lab.process.store_now()

    def _link(self, session_id: str) -> str:
        """Where the user enters. Errors: `BadRequestError` where the request's Host header is no name of a host."""
        external: dict[str, Any] = {"_scheme": self._lab.settings.scheme} if self._lab.settings.scheme else {}
        link: str = url_for("weblab_callback_url", session_id=session_id, _external=True, **external)
        try:
            sent = request.environ.get("HTTP_HOST")
            if all(_HOST.fullmatch(host) for host in (urlsplit(link).netloc, sent) if host is not None):
                return link
        except ValueError:  # half an IPv6 address
            pass
        raise BadRequestError("Host", "The Host header names no host, so the user's link can't be made.")

    def status(self, session_id: str) -> Answer:
        try:
            return {"should_finish": self._should_finish(session_id)}, 200
        except StoreUnavailableError:
            return {"should_finish": ASK_AGAIN}, 200  # an error would mean "finished" to an RLMS

    def _should_finish(self, session_id: str) -> float:
        try:
            return session_status(self._lab, session_id)
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("status is not known; the RLMS asks again session=%s", hashed(session_id))
            return ASK_AGAIN

    def status_multiple(self) -> Answer:
        body = _body()
        if body.get("session_ids") is None:
            human = "Missing parameter: session_ids, a list of text."
            return {"success": False, "error_code": "missing-parameters", "error_human": human}, 200
        ids = body["session_ids"]
        if not isinstance(ids, list) or not all(isinstance(item, str) and is_unicode(item) for item in ids):
            raise BadRequestError("session_ids", "session_ids must be a list of text.")
        deadline = Deadline(_timeout(body))
        status: dict[str, float] = {}
        away = False  # once it is, each of many would wait for it
        for session_id in ids:
            if deadline.over:
                break
            try:
                status[session_id] = ASK_AGAIN if away else float(self._should_finish(session_id))
            except StoreUnavailableError:
                status[session_id], away = ASK_AGAIN, True
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

    def no_route(self) -> Answer:
        """What Flask found to be no route of anybody."""
        wrong, asked = request.routing_exception, f"{request.method:.20} {without_ids(request.path):.200}"
        if isinstance(wrong, NotFound):
            raise _RefusedError(404, "path", f"Nothing answers {asked}.")
        if isinstance(wrong, WebsocketMismatch) or _wants_websocket(request):  # to some addresses it is a wrong method
            raise _RefusedError(400, "Upgrade", f"There is no WebSocket at {asked}.")
        if isinstance(wrong, MethodNotAllowed):
            methods = _methods(wrong)
            if request.method == "OPTIONS":
                return {"methods": methods}, 200
            raise _RefusedError(405, "method", f"Nothing answers {asked}; ask by {' or '.join(methods)}.")
        raise _RefusedError(400, "Host", f"The Host header of {asked} is no name of the lab.")


def _wants_websocket(request: Request) -> bool:
    headers = request.headers
    return "upgrade" in headers.get("Connection", "").lower() and headers.get("Upgrade", "").lower() == "websocket"


def _is_right(sent: str, right: str) -> bool:
    """Compare in a time that says nothing of the right one, its length included: hashes are all of one length.

    An empty one is never right.
    """
    hashes = [hashlib.sha256(text.encode(errors="surrogateescape")).digest() for text in (sent, right)]
    return compare_digest(*hashes) and right.strip() != ""


def _basic(request: Request) -> tuple[str, str]:
    """The name and password that were sent by HTTP Basic; empty where there are none that can be read."""
    scheme, _, packed = request.headers.get("Authorization", "").partition(" ")
    try:
        text = base64.b64decode(packed.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:  # no base64, or no UTF-8
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _body() -> dict[str, Any]:
    """The JSON object that was sent, whatever its Content-Type says. Errors: `BadRequestError`."""
    try:
        text = _read().decode("utf-8-sig")
        body = json.loads(text or "{}", parse_float=as_number, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise BadRequestError("body", "The body must be JSON in UTF-8, and not compressed.") from None
    except RecursionError:
        raise BadRequestError("body", "The body is nested too deep.") from None
    except BadRequestError:
        raise
    except ValueError:
        raise BadRequestError("body", "The body must be JSON, its numbers finite.") from None
    if not isinstance(body, dict):
        raise BadRequestError("body", f"The body must be a JSON object, not {type(body).__name__}.")
    return body


def _read() -> bytes:
    """The body, at most BODY_BYTES of it. Errors: `BadRequestError`, before a longer one is read."""
    own = request.max_content_length  # the lab's, for all its requests
    most = BODY_BYTES if own is None else min(own, BODY_BYTES)
    too_long = _RefusedError(413, "body", f"The body is longer than {most} bytes.")
    if (request.content_length or 0) > most:
        raise too_long
    try:
        data = _from_stream(most + 1) or request.get_data(cache=False)  # that: where the lab has read it before
    except RequestEntityTooLarge:
        raise too_long from None
    except Exception:  # the connection broke, or its chunks make no sense; each server has errors of its own for that
        raise BadRequestError("body", "The body did not arrive whole.") from None
    if len(data) > most:  # one that came without its length; no more than this was read of it
        raise too_long
    return data


def _from_stream(most: int) -> bytes:
    """What comes, at most so many bytes of it; a body without a length may have no end."""
    data = bytearray()
    while len(data) < most and (piece := request.stream.read(most - len(data))):
        data += piece
    return bytes(data)


def _no_number(written: str) -> NoReturn:
    raise ValueError(f"{written} is no JSON")


def _timeout(body: Mapping[str, Any]) -> float | None:
    value = body.get("timeout")
    if value is None:
        return None
    try:
        seconds = as_number(value)
    except ValueError:
        raise BadRequestError("timeout", "timeout must be a number of seconds.") from None
    if seconds < 0:
        raise BadRequestError("timeout", "timeout must be a number of seconds, at least 0.")
    return seconds

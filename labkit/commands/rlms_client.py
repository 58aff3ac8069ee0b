"""An RLMS's side of its HTTP API, as far as `fake` needs it: start, status, dispose. Speaks to the running lab."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labkit.commands.failure import Failure

if TYPE_CHECKING:
    from labkit.commands.address import Address
    from labkit.settings import Settings

LABEL = "Error processing request"
ANSWER_MARGIN = 30.0
"""Seconds that an answer may take beyond the longest start."""


class RlmsClient:
    """Calls one lab with its own credentials. Every method blocks until the lab answers, or `Failure`."""

    def __init__(self, address: Address, settings: Settings):
        self._url = f"{address.url}/{settings.base_url.strip('/')}".rstrip("/") + "/weblab/sessions/"
        login = f"{settings.username}:{settings.password}".encode()
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(login).decode()}",
            "Content-Type": "application/json",
            **({"Host": address.host} if address.host else {}),
        }
        self._seconds = settings.start_timeout + ANSWER_MARGIN

    def start(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start a session: `url` and `session_id`."""
        answer = self._call("", body)
        if "url" not in answer or "session_id" not in answer:
            raise Failure(answer.get("message") or "The lab's answer has no URL.", label=LABEL)
        return answer

    def should_finish(self, session_id: str) -> float:
        """Seconds until the RLMS is to ask again; below 0: the session is over."""
        return float(self._call(f"{session_id}/status")["should_finish"])

    def dispose(self, session_id: str) -> str:
        """End a session; what the lab says to that."""
        return str(self._call(session_id, {"action": "delete"}).get("message", ""))

    def _call(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers)
        try:
            with _direct().open(request, timeout=self._seconds) as response:
                return _object(response.read())
        except urllib.error.HTTPError as error:
            raise Failure(_message(error), label=LABEL) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Failure(
                f"No lab answers at {self._url} ({reason}). Start it with `labkit run`, or say where it is by --url.",
                label=LABEL,
            ) from None


def _direct() -> urllib.request.OpenerDirector:
    """Without the proxies of the environment: the lab is near."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _object(content: bytes) -> dict[str, Any]:
    answer = json.loads(content)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


def _message(error: urllib.error.HTTPError) -> str:
    """What a refusal says, whoever answered."""
    with error:
        try:
            return str(_object(error.read())["message"])
        except (OSError, ValueError, KeyError):
            return f"{error.code} {error.reason} at {error.url}; is this the address of the lab?"

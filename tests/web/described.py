"""The description of labkit's routes (docs/reference/openapi.json), and whether an answer fits it. For tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from flask import Flask
from werkzeug.test import TestResponse

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"
VERBS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
OURS = ("weblab_", "labkit.", "labkit_", "demo_home")
"""How the names of endpoints begin that are labkit's; all others are the lab's own, or Flask's."""

Operation = tuple[str, str]
"""A verb, and a path as the description writes it."""


@cache
def description() -> dict[str, Any]:
    """The whole description."""
    return dict(json.loads(FILE.read_text("utf-8")))


def paths(base: str = "", callback: str = "/callback") -> dict[str, str]:
    """Each described path as a lab with these settings serves it, and as the description writes it."""
    begins = {"/weblab/sessions": f"{base}/weblab/sessions", "/callback": callback}
    found = {}
    for path in description()["paths"]:
        served = next((new + path.removeprefix(old) for old, new in begins.items() if path.startswith(old)), path)
        found[served] = path
    return found


def described(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The verbs of a path, as the description writes it, and what is said of each."""
    return ((verb, what) for verb, what in description()["paths"][path].items() if verb in VERBS)


def served(app: Flask) -> set[Operation]:
    """All that an app of labkit serves by routes of labkit's own."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(OURS):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            verbs = {verb.lower() for verb in rule.methods or ()}
            # These are answered without a rule, see `_answers_what_is_no_route`.
            found |= {(verb, path) for verb in (verbs | {"options"} if "weblab_rlms." in rule.endpoint else verbs)}
    return found


class Answers:
    """Looks at answers, and remembers which of those that are described were really given."""

    def __init__(self, base: str = "", callback: str = "/callback"):
        self.seen: set[tuple[str, str, str]] = set()
        self._paths = [(_pattern(path), written) for path, written in paths(base, callback).items()]

    def fit(self, answer: TestResponse, verb: str, path: str) -> None:
        """Fails where an answer is none that the description has."""
        written = self.route(path)
        what = dict(described(written))[verb.lower()]
        status = str(answer.status_code)
        assert status in what["responses"], f"{verb} {written}: {status} is not described\n{answer.text[:300]}"
        self.seen.add((verb.lower(), written, status))
        _fits(resolved(what["responses"][status]), answer, f"{verb} {written} {status}")

    def route(self, path: str) -> str:
        """The path of the description that a request's path is one of; those without a variable come first there."""
        return next(written for pattern, written in self._paths if pattern.fullmatch(path))


def all_answers() -> set[tuple[str, str, str]]:
    """Verb, path and status of each answer that is described."""
    return {
        (verb, path, status)
        for path in description()["paths"]
        for verb, what in described(path)
        for status in what["responses"]
    }


def resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands where a part of the description only points."""
    while "$ref" in part:
        target: Any = description()
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def _pattern(path: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{\w+\})", path)
    any_text = {piece: "(?s:.+)" if piece == "{filename}" else "[^/]+" for piece in pieces if piece.startswith("{")}
    return re.compile("".join(any_text.get(piece) or re.escape(piece) for piece in pieces))


def _fits(response: Mapping[str, Any], answer: TestResponse, where: str) -> None:
    for name, header in response.get("headers", {}).items():
        assert name in answer.headers, f"{where}: no header {name}"
        value = answer.headers[name]
        kind = header["schema"].get("type")
        valid(header["schema"], int(value) if kind == "integer" else value, f"{where}: {name}")
    content = response.get("content", {})
    if not content:
        assert answer.data == b"", f"{where}: it has a body"
    elif "*/*" not in content:
        assert answer.mimetype in content, f"{where}: {answer.mimetype}"
        if answer.mimetype == "application/json":
            valid(content["application/json"]["schema"], json.loads(answer.data), where)


def valid(schema: Mapping[str, Any], value: Any, where: str) -> None:
    """Fails where a value does not fit a schema of the description."""
    whole = {"components": description()["components"], **schema}
    errors = [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]
    assert errors == [], f"{where}: {value!r:.300}"

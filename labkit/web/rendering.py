"""Renders labkit's own templates, in an environment of their own. Used by whatever shows one of labkit's pages.

A lab may give its app's Jinja other delimiters, filters and undefined values; none of that concerns these.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import flask
from jinja2 import Environment, PackageLoader


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("labkit.web"), autoescape=True)
    environment.globals["url_for"] = flask.url_for
    return environment


def render(name: str, **facts: Any) -> str:
    """Render one of labkit's own templates, `message.html` say. Only where `url_for` works, in a request."""
    return _environment().get_template(f"labkit/{name}").render(facts)

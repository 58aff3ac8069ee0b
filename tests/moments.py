"""Times in what people read, as patterns: a time of day, or a date with it where it is of another day."""

from __future__ import annotations

MOMENT = r"(?:\d\d:\d\d:\d\d|[A-Z][a-z]{2} \d\d \d\d:\d\d)"
"""As commands print it, in the machine's zone."""

"""Strangers' text in Markdown and CSV. LaTeX's is tabulate's."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#!~&$])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def markdown_text(text: str) -> str:
    """Text that stays text: no markup, no HTML, no table border, no link made of an address, one line."""
    escaped = _MARKDOWN.sub(r"\\\1", _one_line(text))
    return escaped.replace("://", ":\\//").replace("www.", "www\\.").replace("@", "&#64;")


def markdown_code(text: str) -> str:
    """A code span in a cell of a table."""
    inner = _one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{inner}`" if inner else ""


def csv_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before one that looks like it."""
    line = _one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def _one_line(text: str) -> str:
    """Without line breaks and letters that can't be seen."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()

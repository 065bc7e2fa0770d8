"""HTML and SVG from elements. Text and attributes are escaped here and nowhere else: no caller can forget it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

LONGEST_LABEL = 120

_VOID = frozenset(("meta", "link", "img", "input"))
_SHAPES = frozenset(("path", "use", "circle"))


class Markup(str):
    """Text that is markup already. Made by `element` and `joined`; nothing that a stranger wrote becomes one."""

    __slots__ = ()


Child = str | int | None
"""What stands inside an element: markup as it is, other text escaped, None for nothing."""

Attribute = str | float | bool | None
"""A value; True for an attribute without one, False and None for none."""


def element(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element. In attributes' names a trailing underscore falls away and others become hyphens: `aria_sort`."""
    start = "<" + name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"{start}>")
    if name in _SHAPES and not children:
        return Markup(f"{start}/>")
    return Markup(f"{start}>{joined(children)}</{name}>")


def joined(children: Iterable[Child], separator: str = "") -> Markup:
    """Children one after the other, escaped where they are not markup."""
    return Markup(escape(separator).join(_child(child) for child in children if child is not None))


def raw(name: str, text: str, **attributes: Attribute) -> Markup:
    """A `script` or `style` element, whose text browsers take as it is. For the package's own files alone.

    Raises:
        ValueError: The text could end the element.
    """
    if "</" in text or "<!--" in text:
        raise ValueError(f"This text can't stand in a {name} element.")
    return Markup(
        "<" + name + "".join(_attribute(key, value) for key, value in attributes.items()) + f">{text}</{name}>"
    )


def clean(text: str) -> str:
    """One line without letters that can't be seen: control characters, and those that turn the direction of writing."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """A text with its end cut off where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def with_code(text: str) -> Markup:
    """Text in which what stands between two backticks is code, as in Markdown."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return joined([text])
    return joined(element("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))


def path_in_board(path: str) -> str:
    """A file of the board's folder as an address relative to the page, never one of another place."""
    return "./" + quote(path.lstrip("/"), safe="/._-")


def web_address(text: str) -> str | None:
    """The text where it is an address of the web, else None: other schemes, `javascript:` for one, are no links."""
    return text if text.startswith(("https://", "http://")) else None


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    return escape(clean(str(child)), quote=False)


@functools.lru_cache(256)
def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {_attribute_name(key)}"
    return f' {_attribute_name(key)}="{escape(clean(str(value)))}"'

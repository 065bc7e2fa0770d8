"""What the suite's drawings share: text that is safe in XML, and a frame with a title and the same in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """A line of text; `anchor` is start, middle or end."""
    shown = f' class="{kind}"' if kind else ""
    return f'<text{shown} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(clean(words))}</text>'


def path(data: str, kind: str = "line") -> str:
    """A path of a class."""
    return f'<path class="{kind}" d="{data}"/>'


def document(
    kind: str, ident: str, size: tuple[float, float], title: str, words: str, style: str, parts: Iterable[str]
) -> str:
    """A whole drawing on a ground of its own.

    Args:
        kind: Class of the drawing, which its style is written for.
        ident: Keeps the ids of several drawings on one page apart.
        size: Width and height in pixels.
        words: What the drawing shows, for those who can't see it.
    """
    width, height = (f"{side:.0f}" for side in size)
    name = escape(ident)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" role="img" '
        f'aria-labelledby="{name}-title {name}-text" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n'
        f'<title id="{name}-title">{escape(clean(title))}</title>\n'
        f'<desc id="{name}-text">{escape(clean(words))}</desc>\n'
        f"<style>{style}</style>\n"
        f'<rect width="100%" height="100%"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def clean(words: str) -> str:
    """Without the characters that XML has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "\N{REPLACEMENT CHARACTER}", words)

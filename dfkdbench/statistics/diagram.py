"""The critical-difference diagram as a small SVG."""

from __future__ import annotations

import re
from html import escape

from dfkdbench.statistics.ranks import RankTest, in_words

_AXIS = 420
_CHARACTER = 7.5
_ROW = 22
_TOP = 62


def _colours(ink: str, paper: str) -> str:
    return (
        f".critical-difference rect{{fill:{paper}}}"
        f".critical-difference text{{fill:{ink}}}"
        f".critical-difference path{{stroke:{ink}}}"
    )


_STYLE = (
    ".critical-difference text{font:13px system-ui,sans-serif}"
    ".critical-difference path{fill:none}"
    ".critical-difference .group{stroke-width:4}"
    + _colours("#1a1a1a", "#ffffff")
    + f"@media(prefers-color-scheme:dark){{{_colours('#eeeeee', '#1a1a1a')}}}"
)


def critical_difference_svg(test: RankTest, title: str, ident: str = "critical-difference") -> str:
    """Average ranks on an axis, 1 at the left being best; a thick bar joins methods that are not told apart.

    After Demšar (JMLR 2006, figure 1). It follows the reader's light or dark scheme and has a title and a text of the
    same content; `ident` keeps their ids apart where one page holds several diagrams.
    """
    names = list(test.average_ranks)
    labels = {name: f"{_clean(name)} {test.average_ranks[name]:.2f}" for name in names}
    margin = 24 + _CHARACTER * max(map(len, labels.values()))
    width = _AXIS + 2 * margin

    def place(rank: float) -> float:
        return margin + _AXIS * (rank - 1) / (len(names) - 1)

    bars = [(place(test.average_ranks[group[0]]), place(test.average_ranks[group[-1]])) for group in test.groups]
    first_row = _TOP + 20 + 9 * len(bars)
    left = (len(names) + 1) // 2
    parts = [_path(f"M{margin:.1f} {_TOP}H{margin + _AXIS:.1f}")]
    for rank in range(1, len(names) + 1):
        parts += [_path(f"M{place(rank):.1f} {_TOP}v-5"), _text(place(rank), _TOP - 9, str(rank), "middle")]
    end = place(1 + test.critical_difference)
    parts.append(_path(f"M{margin:.1f} 20v8m0 -4H{end:.1f}m0 -4v8"))
    parts.append(_text(margin, 14, f"critical difference {test.critical_difference:.2f}", "start"))
    for index, (start, stop) in enumerate(bars):
        parts.append(_path(f"M{start - 4:.1f} {_TOP + 12 + 9 * index}H{stop + 4:.1f}", "group"))
    for index, name in enumerate(names):
        on_left = index < left
        row = first_row + _ROW * (index if on_left else len(names) - 1 - index)
        edge = margin - 6 if on_left else margin + _AXIS + 6
        parts.append(_path(f"M{place(test.average_ranks[name]):.1f} {_TOP}V{row}H{edge:.1f}"))
        parts.append(_text(edge - 4 if on_left else edge + 4, row + 4, labels[name], "end" if on_left else "start"))
    height = first_row + _ROW * left
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="critical-difference" role="img" '
        f'aria-labelledby="{escape(ident)}-title {escape(ident)}-text" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}">\n'
        f'<title id="{escape(ident)}-title">{escape(_clean(title))}</title>\n'
        f'<desc id="{escape(ident)}-text">{escape(_clean(in_words(test)))}</desc>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _path(data: str, kind: str = "line") -> str:
    return f'<path class="{kind}" d="{data}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _clean(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "\N{REPLACEMENT CHARACTER}", text)

"""The critical-difference diagram as a small SVG."""

from __future__ import annotations

from dfkdbench.statistics.ranks import RankTest, in_words
from dfkdbench.svg import document, path, text

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
    labels = {name: f"{name} {test.average_ranks[name]:.2f}" for name in names}
    margin = 24 + _CHARACTER * max(map(len, labels.values()))
    width = _AXIS + 2 * margin

    def place(rank: float) -> float:
        return margin + _AXIS * (rank - 1) / (len(names) - 1)

    bars = [(place(test.average_ranks[group[0]]), place(test.average_ranks[group[-1]])) for group in test.groups]
    first_row = _TOP + 20 + 9 * len(bars)
    left = (len(names) + 1) // 2
    parts = [path(f"M{margin:.1f} {_TOP}H{margin + _AXIS:.1f}")]
    for rank in range(1, len(names) + 1):
        parts += [path(f"M{place(rank):.1f} {_TOP}v-5"), text(place(rank), _TOP - 9, str(rank), "middle")]
    end = place(1 + test.critical_difference)
    parts.append(path(f"M{margin:.1f} 20v8m0 -4H{end:.1f}m0 -4v8"))
    parts.append(text(margin, 14, f"critical difference {test.critical_difference:.2f}", "start"))
    for index, (start, stop) in enumerate(bars):
        parts.append(path(f"M{start - 4:.1f} {_TOP + 12 + 9 * index}H{stop + 4:.1f}", "group"))
    for index, name in enumerate(names):
        on_left = index < left
        row = first_row + _ROW * (index if on_left else len(names) - 1 - index)
        edge = margin - 6 if on_left else margin + _AXIS + 6
        parts.append(path(f"M{place(test.average_ranks[name]):.1f} {_TOP}V{row}H{edge:.1f}"))
        parts.append(text(edge - 4 if on_left else edge + 4, row + 4, labels[name], "end" if on_left else "start"))
    height = first_row + _ROW * left
    return document("critical-difference", ident, (width, height), title, in_words(test), _STYLE, parts)

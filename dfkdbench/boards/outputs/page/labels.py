"""Places for the names of points in a plot, so that no name lies on a point or on another name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_CHARACTER = 6.8
_LINE = 12.0
_NEAR = 7.0
_MARK = 5.0
_RADII = (0.0, 8.0, 18.0, 30.0, 44.0, 60.0, 80.0)


@dataclass(frozen=True)
class Box:
    """A rectangle of a plot."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two have more than an edge in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        """Whether it is wholly in another."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """Where a point's name goes.

    Attributes:
        x: Of the text's start.
        y: Of its base line.
        width: Of the text.
        far: Whether it is so far off that a line should lead to it.
    """

    x: float
    y: float
    width: float
    far: bool


def place_labels(
    points: Sequence[tuple[float, float]], names: Sequence[str], plot: Box, lines: Sequence[Box] = ()
) -> list[Label | None]:
    """A place for each name, or None where there is none left; earlier points choose first.

    Args:
        lines: What names should not lie on where there is another place.
    """
    taken = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    labels: list[Label | None] = []
    for (x, y), name in zip(points, names, strict=True):
        places = [
            (box, far)
            for box, far in _candidates(x, y, len(name) * _CHARACTER)
            if box.inside(plot) and not any(map(box.overlaps, taken))
        ]
        free = (place for place in places if not any(map(place[0].overlaps, lines)))
        box, far = next(free, places[0] if places else (None, False))
        if box is None:
            labels.append(None)
            continue
        taken.append(box)
        labels.append(Label(box.left, box.bottom - 3, box.right - box.left, far))
    return labels


def _candidates(x: float, y: float, width: float) -> Iterator[tuple[Box, bool]]:
    """Boxes around a point, the nearest first: right, left, above, below, and the corners."""
    for radius in _RADII:
        gap = _NEAR + radius
        middle = y - _LINE / 2
        for left, top in (
            (x + gap, middle),
            (x - gap - width, middle),
            (x - width / 2, y - gap - _LINE),
            (x - width / 2, y + gap),
            (x + gap * 0.7, y - gap * 0.7 - _LINE),
            (x + gap * 0.7, y + gap * 0.7),
            (x - gap * 0.7 - width, y - gap * 0.7 - _LINE),
            (x - gap * 0.7 - width, y + gap * 0.7),
        ):
            yield Box(left, top, left + width, top + _LINE), radius > 8.0

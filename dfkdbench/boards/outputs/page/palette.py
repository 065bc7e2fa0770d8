"""Colours of the page in both schemes. What is read has a contrast of at least 4.5 to every surface it stands on."""

from __future__ import annotations

from collections.abc import Mapping

TEXT = ("ink", "muted", "accent", "warning")
SURFACES = ("page", "surface", "raised")
LEAGUES = 6
"""How many colours there are for leagues; each also has a shape and a dash of its own."""

LIGHT: Mapping[str, str] = {
    "page": "#f6f7f9",
    "surface": "#ffffff",
    "raised": "#eef1f5",
    "line": "#d5dbe3",
    "ink": "#16202c",
    "muted": "#526071",
    "accent": "#0a58b8",
    "warning": "#a33a00",
    "reference": "#5d6a7a",
    "league-0": "#0064b0",
    "league-1": "#b84a00",
    "league-2": "#007a5c",
    "league-3": "#a0408f",
    "league-4": "#7d6200",
    "league-5": "#5a4fcf",
}

DARK: Mapping[str, str] = {
    "page": "#0e141b",
    "surface": "#151d27",
    "raised": "#1e2935",
    "line": "#334152",
    "ink": "#e7edf4",
    "muted": "#a3b1c2",
    "accent": "#7db8ff",
    "warning": "#ffa36b",
    "reference": "#94a2b3",
    "league-0": "#5cb3ff",
    "league-1": "#ff9b52",
    "league-2": "#3ecf9f",
    "league-3": "#ee94d8",
    "league-4": "#e0c23e",
    "league-5": "#aaa2ff",
}


def variables() -> str:
    """Both schemes as custom properties: the reader's system decides, unless the page's own choice is set."""
    dark = _declarations(DARK, "dark")
    return (
        f":root{{{_declarations(LIGHT, 'light')}}}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}"
        f":root[data-theme=dark]{{{dark}}}"
    )


def league_classes() -> str:
    """A class for each league's colour."""
    return "".join(f".league-{index}{{--mark:var(--league-{index})}}" for index in range(LEAGUES))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, "#rrggbb", as WCAG 2.2 defines it: 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _declarations(colours: Mapping[str, str], scheme: str) -> str:
    return f"color-scheme:{scheme};" + "".join(f"--{name}:{value};" for name, value in colours.items())


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

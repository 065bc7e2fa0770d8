"""Elements escape what is not markup; addresses stay inside the board or are of the web."""

from __future__ import annotations

import pytest

from dfkdbench.boards.outputs.page.markup import (
    Markup,
    clean,
    element,
    joined,
    path_in_board,
    raw,
    shortened,
    web_address,
    with_code,
)


def test_element__escapes_text_and_attributes() -> None:
    made = element("a", "<b>&", title="\"'<>&", href=None, hidden=True, data_row=3)
    assert made == '<a title="&quot;&#x27;&lt;&gt;&amp;" hidden data-row="3">&lt;b&gt;&amp;</a>'


def test_element__takes_markup_as_it_is_and_leaves_out_none() -> None:
    assert element("p", element("b", "x"), None, 0, class_="y") == '<p class="y"><b>x</b>0</p>'
    assert element("img", src="x") == '<img src="x">'
    assert element("path", d="M0 0") == '<path d="M0 0"/>'


def test_markup__that_is_put_together_with_text_is_text_again() -> None:
    assert not isinstance(Markup("<b>") + "x", Markup)
    assert joined([Markup("<b>") + "<i>"]) == "&lt;b&gt;&lt;i&gt;"
    assert joined(["a", "b"], "<") == "a&lt;b"


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\n", "\u202e", "\u2066", "\u200b", "\ufeff", "\x85"])
def test_clean__takes_away_what_can_not_be_seen(letter: str) -> None:
    assert clean(f"a{letter}b") == "a b"
    assert letter not in element("p", f"a{letter}b", title=f"a{letter}b")


def test_raw__takes_no_text_that_ends_the_element() -> None:
    assert raw("style", "a > b { }") == "<style>a > b { }</style>"
    with pytest.raises(ValueError, match="can't stand in a script"):
        raw("script", "'</script>'")


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("a `b` c", "a <code>b</code> c"),
        ("a `b", "a `b"),
        ("`<i>`", "<code>&lt;i&gt;</code>"),
        ("", ""),
    ],
)
def test_with_code(text: str, markup: str) -> None:
    assert with_code(text) == markup


@pytest.mark.parametrize("text", ["javascript:alert(1)", "data:text/html,x", "//example.org", "file:///x", "", "HTTPS"])
def test_web_address__of_no_web(text: str) -> None:
    assert web_address(text) is None


def test_web_address() -> None:
    assert web_address("https://example.org/a?b=c") == "https://example.org/a?b=c"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("entries/a-b_c.d/samples.png", "./entries/a-b_c.d/samples.png"),
        ("//example.org/x", "./example.org/x"),
        ("javascript:x", "./javascript%3Ax"),
        ("a b?c#d", "./a%20b%3Fc%23d"),
    ],
)
def test_path_in_board__is_relative(path: str, address: str) -> None:
    assert path_in_board(path) == address


def test_shortened() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"

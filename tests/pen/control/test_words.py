"""Words of a command line: what is written comes apart again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pen.control.words import quote, split_words
from pen.core.errors import CommandError

TYPED = [
    ("  a\tb  c ", ["a", "b", "c"]),
    ("# a", []), ("a # b", ["a"]), ("a\t#b", ["a"]), ("a#b", ["a#b"]), ("", []),
    ('log "/var/log/my pen"', ["log", "/var/log/my pen"]),
    ('"" a', ["", "a"]),
    (r'"a\"b\\c" d"e"', ['a"b\\c', 'd"e"']),
    ('"# no comment" # one', ["# no comment"]),
    (r"a\ b", ["a\\", "b"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), TYPED)
def test_typed_lines(line, words):
    assert split_words(line) == words


@pytest.mark.parametrize("line", ['a "b', 'a "b c', '"a"b', '"a"b"', '"', '"""', '"a\\"'])
def test_a_quote_must_end_before_a_blank(line):
    with pytest.raises(CommandError, match="the quote of '\""):
        split_words(line)


@given(st.lists(st.text()))
def test_quoted_words_come_apart_again(words):
    assert split_words(" ".join(map(quote, words))) == words


@given(st.text(alphabet=st.sampled_from('ab"\\# \t')) | st.text())
def test_any_line_has_words_or_a_mistake(line):
    try:
        words = split_words(line)
    except CommandError:
        return
    assert split_words(" ".join(map(quote, words))) == words

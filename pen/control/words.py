r"""A command line's words: taking them apart, and writing them so that they come apart again.

Words are separated by blanks. A word that begins with a double quote goes on to the next
one, blanks included; in it ``\"`` is a quote and ``\\`` a backslash. A word that begins
with ``#`` begins a comment. (penctl(1), COMMANDS.)
"""

import re

from pen.core.errors import CommandError

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?!\S)|(\S+)')
_ESCAPED = re.compile(r"\\(.)")


def split_words(line: str) -> list[str]:
    """The words of a line, without its comment.

    Raises:
        CommandError: a quote that does not end, or goes on after its end.
    """
    words = []
    for found in _WORD.finditer(line):
        quoted, bare = found.groups()
        if quoted is not None:
            words.append(_ESCAPED.sub(r"\1", quoted))
        elif bare.startswith("#"):
            break
        elif bare.startswith('"'):
            raise CommandError(f"the quote of '{printable(bare)}' must end before a blank")
        else:
            words.append(bare)
    return words


def quote(word: str) -> str:
    """A word as `split_words` takes it, in quotes where it needs them."""
    if word and not word.startswith(('"', "#")) and not re.search(r"\s", word):
        return word
    return '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'


def printable(text: str, most: int = 200) -> str:
    """Text that may be shown on a terminal: what is not printable is escaped, long is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else shown[:most] + "..."

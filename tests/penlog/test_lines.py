"""Lines come out of a stream whole, however it is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from penlog.lines import LONGEST, LineSplitter


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"a\n\nb"]), max_size=20))
def test_any_pieces_give_the_lines_of_the_whole(pieces):
    splitter = LineSplitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()
    expected = b"".join(pieces).split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert lines == expected
    assert splitter.shortened == 0


def test_a_line_without_end_takes_bounded_memory_and_keeps_its_ends():
    splitter = LineSplitter()
    assert splitter.feed(b'head "GET /') == []
    for _ in range(200):
        assert splitter.feed(b"x" * 50_000) == []
        assert splitter.size <= LONGEST
    (line,) = splitter.feed(b'x" 200 5\nnext')
    assert line.startswith(b'head "GET /xxx')
    assert line.endswith(b'xxx" 200 5')
    assert len(line) <= LONGEST
    assert splitter.shortened == 1
    assert splitter.end() == [b"next"]

"""The protocol's readers: what they take, in pieces of any size, or one error."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlog.wire import (
    ACK,
    FRAME_MAX,
    AckReader,
    FrameReader,
    HelloReader,
    WireError,
    frame,
    hello,
    welcome,
)

SESSION, INSTANCE = b"0123456789abcdef" * 2, b"fedcba9876543210" * 2


def cut(data, places):
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


cuts = st.lists(st.integers(0, 400), max_size=8)


@given(cuts, st.binary(max_size=50))
def test_greetings_are_read_in_any_pieces_and_what_follows_is_kept(places, following):
    for data, read, expected in (
        (hello(SESSION), HelloReader.session, SESSION),
        (welcome(INSTANCE, 12), HelloReader.welcome, (INSTANCE, 12)),
    ):
        reader = HelloReader()
        pieces = cut(data + following, places)
        read_so_far, rest = None, b""
        for number, piece in enumerate(pieces):
            if (read_so_far := read(reader, piece)) is not None:
                rest = reader.rest + b"".join(pieces[number + 1 :])
                break
        assert (read_so_far, rest) == (expected, following)


@given(cuts, st.lists(st.tuples(st.integers(0, 1 << 61), st.binary(max_size=90)), max_size=6))
def test_frames_are_read_in_any_pieces(places, frames):
    reader = FrameReader()
    data = b"".join(frame(*each) for each in frames)
    assert [each for piece in cut(data, places) for each in reader.feed(piece)] == frames


@given(cuts, st.lists(st.integers(0, 1 << 61), min_size=1, max_size=9))
def test_of_acknowledgements_the_newest_counts(places, offsets):
    reader = AckReader()
    told = [reader.feed(piece) for piece in cut(b"".join(map(ACK.pack, offsets)), places)]
    assert [offset for offset in told if offset is not None][-1] == offsets[-1]


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_whatever_comes_is_taken_or_is_the_one_error(pieces):
    for read in (HelloReader().session, HelloReader().welcome, FrameReader().feed):
        try:
            for piece in pieces:
                read(piece)
        except WireError:
            pass


@pytest.mark.parametrize("data", [frame(0, b"x" * (FRAME_MAX + 1)), frame(1 << 62, b"x")])
def test_no_frame_is_longer_or_further_than_any_may_be(data):
    with pytest.raises(WireError, match="a frame of"):
        FrameReader().feed(data)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"x" * 200, b"penlog 2 " + SESSION + b"\n"]
)
def test_strangers_are_told_apart(data):
    with pytest.raises(WireError, match="no greeting"):
        HelloReader().session(data)

"""Getting the page by USR1 from a process that writes it in one way or another."""

import os
import threading

import pytest

from penstats.errors import Deadline, NoPageError
from penstats.webfile import save_and_read


@pytest.fixture
def ask(start_pen, tmp_path):
    """Start a pen that saves in the given way; returns a function that gets a page."""

    def start(how):
        process = start_pen(tmp_path / "page", how)
        (tmp_path / "pid").write_text(str(process.pid))

        def get(seconds=5):
            return save_and_read(str(tmp_path / "pid"), str(tmp_path / "page"), Deadline(seconds))

        return get

    return start


@pytest.mark.parametrize("how", ["rename", "in_place", "in_pieces"])
def test_each_page_is_the_one_asked_for(ask, how):
    """The pages differ in nothing but the number, and follow each other at once."""
    get = ask(how)
    pages = [get() for _ in range(20)]
    assert pages == [b"<html>%03d</html>" % number for number in range(1, 21)]


def test_old_page_is_not_taken(ask, tmp_path):
    (tmp_path / "page").write_text("<html>old</html>")
    assert ask("in_place")() == b"<html>001</html>"


@pytest.mark.parametrize("how", ["rename", "in_place"])
def test_several_visitors_at_once(ask, how):
    get = ask(how)
    pages = []
    threads = [threading.Thread(target=lambda: pages.append(get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(pages) == 8
    assert all(page.startswith(b"<html>0") and page.endswith(b"</html>") for page in pages)


@pytest.mark.parametrize(
    ("how", "message"),
    [("never", "was not written within 0.1 s"), ("half", "holds no whole page within 0.1 s")],
)
def test_page_that_does_not_come(ask, tmp_path, how, message):
    (tmp_path / "page").write_text("<html>old</html>")
    with pytest.raises(NoPageError, match=message) as error:
        ask(how)(0.1)
    assert error.value.status == 504
    assert f"-w {tmp_path}/page" in error.value.advice


def test_pen_ends_instead(ask):
    with pytest.raises(NoPageError, match="ended before it wrote") as error:
        ask("end")()
    assert error.value.status == 503


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_web_file_that_is_no_file(ask, tmp_path, make):
    """A pen that is told to write to such a thing: there is no page, and nothing hangs."""
    get = ask("never")
    make(tmp_path / "page")
    with pytest.raises(NoPageError) as error:
        get(0.1)
    assert error.value.status in (500, 504)

"""Nothing is lost on the way when a disk is full for a while.

Needs root, for small file systems.
"""

import pytest

from tests.real.logsite import run
from tests.real.peers import wait_for


@pytest.fixture
def small_disk(site):
    """The log's folder on a file system of its own."""
    folder = site.log.parent
    run("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder))
    yield folder
    site.close()
    site.peers.close_processes()
    run("umount", str(folder))


def fill(folder):
    """Fill a file system; returns the file to remove."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("way", ["reliable", "plain"])
def test_the_logs_disk_is_full_for_a_while(site, small_disk, way):
    penlogd = site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe, f"--{way}")
    site.write(pipe, 500)
    wait_for(lambda: site.count() == 500, "500 lines")
    filler = fill(small_disk)
    site.write(pipe, 5000)
    wait_for(lambda: "No space left" in penlogd.said(), "complaint")
    filler.unlink()
    site.check()
    assert penlogd.said().count("keeping up to") <= 1
    assert penlogd.said().count("senders keep their lines") <= 1


def test_killed_while_the_disk_is_full(site, small_disk):
    penlogd = site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    site.write(pipe, 500)
    wait_for(lambda: site.count() == 500, "500 lines")
    filler = fill(small_disk)
    site.write(pipe, 3000)
    wait_for(lambda: "No space left" in penlogd.said(), "complaint")
    penlogd.kill()
    filler.unlink()
    site.start_penlogd()
    site.check()


def test_the_spools_disk_is_full(site):
    """Lines go through memory then, and none is lost as long as nobody is killed."""
    spool = site.folder / "spool"
    spool.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(spool))
    try:
        pipe = site.pipe()
        site.start_penlog(pipe)
        site.write(pipe, 20_000)
        wait_for(lambda: "keeping lines in memory" in site.said(), "complaint")
        site.start_penlogd()
        site.check()
    finally:
        site.close()
        run("umount", str(spool))

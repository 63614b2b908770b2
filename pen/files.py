"""Files that commands name, opened so that no name can make pen wait."""

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading; a device or a pipe may have no end, or make us wait.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
        ValueError: the path is none.
    """
    return open(path, "rb", opener=_opener)


def _opener(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "not a regular file")

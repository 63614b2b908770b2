"""The user that Apache's workers and CGIs run as, and what that user may read and execute."""

import os
import pwd
import shutil
import subprocess
import sys

from tests.real.peers import ROOT, SUITE

WEB_USER = "www-data"


def own(path):
    """Let the web server's user own a path, where this process may do so."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(WEB_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def executable_penstats(folder):
    """A penstats that the web server's user may execute.

    The Python of a test environment often lies where only its owner may look, and Apache's CGIs are
    another user. Then this is the console script with another Python and a copy of the package.
    """
    script = SUITE / "penstats"
    if os.geteuid() != 0 or _executes(script, "--version"):
        return script
    pythons = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
    python = next((path for path in pythons if _executes(path, "-c", "import os")), None)
    assert python, f"{WEB_USER} can execute none of {', '.join(pythons)}"
    copy = folder / "penstats-for-cgi"
    shutil.copytree(ROOT / "penstats", copy / "penstats")
    script = copy / "run"
    script.write_text(f"#!{python}\nimport sys\nfrom penstats.cgi import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return script


def _executes(*command):
    user = {"user": WEB_USER, "group": WEB_USER, "extra_groups": []}
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **user)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True

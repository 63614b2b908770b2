"""The files of etc/ as they are, but for what differs by machine: addresses and folders."""

from tests.real.peers import ROOT


def example(name, replacements):
    """The text of etc/NAME with this machine's places; each that is replaced must be there."""
    text = (ROOT / "etc" / name).read_text()
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text

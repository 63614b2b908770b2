"""What a scenario is made of."""

from dataclasses import dataclass, field

from tests.real.sidebyside.steps import Differing, Step


@dataclass(frozen=True)
class Scenario:
    """Steps that are played with each program before the same servers.

    Servers A, B, C and D are regular ones; E and F are for options to name; X never answers.
    See `scene.Scene` for the names in braces.
    """

    name: str
    steps: tuple[Step | Differing, ...]
    options: str = ""
    addresses: str = "{listen} {A} {B} {C}"
    down: str = ""
    """Servers that refuse at first."""
    greets: bool = False
    """Whether servers speak first."""
    files: dict[str, str] = field(default_factory=dict)
    """Files in the folder: text by name."""

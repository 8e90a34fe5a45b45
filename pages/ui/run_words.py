"""Labels for the states and origins of runs."""

from pages.ui.text import BadgeColor
from vit.runs import Status
from vit.runs.divergence import is_diverged

BADGES: dict[str, tuple[str, str, BadgeColor]] = {
    "queued": ("Waiting", ":material/hourglass_empty:", "orange"),
    "running": ("Training", ":material/model_training:", "blue"),
    "finished": ("Finished", ":material/check_circle:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
}
DIVERGED: tuple[str, str, BadgeColor] = ("Diverged", ":material/trending_up:", "red")


def badge(status: Status) -> tuple[str, str, BadgeColor]:
    """Return the label, the icon and the colour of a run's state."""
    return DIVERGED if is_diverged(status) else BADGES[status.state]


SHIPPED_WORDS = "This run came with the project. In a git clone, git can restore it."

FROM_SCRATCH = "Random weights (train from scratch)"
"""The choice of the Train page that starts from no other run."""
SET_UP, FOLLOW = "New run", "Follow a run"
"""The views of the Train page with the form, and with one run."""

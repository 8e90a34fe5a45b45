"""Labels for the states and origins of runs."""

from pages.ui.text import BadgeColor
from vit.runs import State, Status
from vit.runs.learning import DIVERGED, NOTHING_LEARNED, verdict

BADGES: dict[str, tuple[str, str, BadgeColor]] = {
    "queued": ("Waiting", ":material/hourglass_empty:", "orange"),
    "running": ("Training", ":material/model_training:", "blue"),
    "finished": ("Finished", ":material/check_circle:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
}
VERDICTS: dict[str, tuple[str, str, BadgeColor]] = {
    DIVERGED: (DIVERGED, ":material/trending_up:", "red"),
    NOTHING_LEARNED: (NOTHING_LEARNED, ":material/trending_flat:", "orange"),
}
"""Badges of runs that do not learn."""


def badge(status: Status) -> tuple[str, str, BadgeColor]:
    """Return the label, the icon and the colour of a run's state."""
    found = verdict(status)
    return VERDICTS[found] if found and status.state in ("finished", "stopped") else BADGES[status.state]


def state_words(state: State, found: str) -> str:
    """Return a run's state with the :func:`vit.runs.learning.verdict` on it, such as "Training, nothing learned"."""
    if found and state in ("finished", "stopped"):
        return found
    return f"{BADGES[state][0]}, {found.lower()}" if found else BADGES[state][0]


def state_tone(state: State, found: str) -> BadgeColor:
    """Return the colour of :func:`state_words`."""
    return VERDICTS[found][2] if found and state in ("finished", "stopped") else BADGES[state][2]


SHIPPED_WORDS = "This run came with the project. In a git clone, git can restore it."

FROM_SCRATCH = "Random weights (train from scratch)"
"""The choice of the Train page that starts from no other run."""
SET_UP, RECORD, FOLLOW = "New run", "Record classes", "Follow a run"
"""The views of the Train page with the form, with the camera, and with one run."""
BASIC, ALL_SETTINGS = "Basic", "All settings"
"""The two versions of the form: few settings, or all."""

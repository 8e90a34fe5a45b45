"""Labels for the states and origins of runs."""

from pages.ui.text import BadgeColor

BADGES: dict[str, tuple[str, str, BadgeColor]] = {
    "queued": ("Waiting", ":material/hourglass_empty:", "orange"),
    "running": ("Training", ":material/model_training:", "blue"),
    "finished": ("Finished", ":material/check_circle:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
}
SHIPPED_WORDS = "This run came with the project. In a git clone, git can restore it."

FROM_SCRATCH = "Random weights (train from scratch)"
"""The choice of the Train page that starts from no other run."""
SET_UP = "New run"
"""The view of the Train page with the form."""

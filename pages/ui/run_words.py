"""Labels for the states and origins of runs."""

BADGES = {
    "queued": ("Waiting", ":material/hourglass_empty:", "orange"),
    "running": ("Training", ":material/model_training:", "blue"),
    "finished": ("Finished", ":material/check_circle:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
}
SHIPPED_WORDS = "It came with the project, and Overview opens with it. In a clone, git can bring it back."

DRAWN = "Drawn weights"
SET_UP = "New run"
"""The view of the Train page with the form."""

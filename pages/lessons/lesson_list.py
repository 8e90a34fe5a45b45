"""The lessons in their order: their pages, addresses and questions. Read at every rerun, so it imports nothing."""

from typing import NamedTuple


class Lesson(NamedTuple):
    """One lesson.

    Attributes:
        name: in addresses and keys.
        experiment: its runs in :data:`vit.lessons.EXPERIMENTS`; empty where it trains none.
    """

    name: str
    title: str
    question: str
    icon: str
    experiment: str = ""

    @property
    def page(self) -> str:
        """The page's file."""
        return f"lessons/lesson_{self.name}.py"

    @property
    def url_path(self) -> str:
        """The page's address."""
        return f"lesson-{self.name}"


LESSONS = (
    Lesson(
        "heads",
        "One head and four",
        "What can four heads do that one cannot?",
        ":material/looks_4:",
        experiment="heads",
    ),
    Lesson(
        "depth",
        "Depth or heads",
        "With as many parameters, do more heads help more, or more depth?",
        ":material/layers:",
        experiment="depth",
    ),
    Lesson(
        "patches",
        "Why patches matter",
        "How finely should an image be cut, and what does it cost?",
        ":material/grid_4x4:",
        experiment="patches",
    ),
    Lesson(
        "little",
        "A ViT on little data",
        "With few images to learn from, does a transformer lose to a convolutional network?",
        ":material/photo_library:",
        experiment="little",
    ),
    Lesson(
        "evidence",
        "When attention explains nothing",
        "A head is bright on the cat. Is that why the answer is cat?",
        ":material/gavel:",
    ),
)

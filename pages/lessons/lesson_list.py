"""The list of lessons: pages, addresses and questions. Imported at every rerun, so it imports nothing itself."""

from typing import NamedTuple


class Lesson(NamedTuple):
    """One lesson.

    Attributes:
        name: the lesson's part of addresses and keys.
        title: heading of the page.
        question: the question that it answers.
        icon: icon of its link.
        experiment: its runs in :data:`vit.lessons.EXPERIMENTS`; empty for a lesson without training.
    """

    name: str
    title: str
    question: str
    icon: str
    experiment: str = ""

    @property
    def page(self) -> str:
        return f"lessons/lesson_{self.name}.py"

    @property
    def url_path(self) -> str:
        return f"lesson-{self.name}"


LESSONS = (
    Lesson(
        "heads",
        "One head or four",
        "What can four heads do that one head cannot?",
        ":material/looks_4:",
        experiment="heads",
    ),
    Lesson(
        "depth",
        "Depth or heads",
        "For the same parameters, do heads or depth help more?",
        ":material/layers:",
        experiment="depth",
    ),
    Lesson(
        "patches",
        "Why patches matter",
        "How small should the patches be, and what do small patches cost?",
        ":material/grid_4x4:",
        experiment="patches",
    ),
    Lesson(
        "little",
        "A ViT on little data",
        "With few training images, does a transformer lose to a convolutional network?",
        ":material/photo_library:",
        experiment="little",
    ),
    Lesson(
        "evidence",
        "When attention explains nothing",
        "A head attends to the cat. Is that why the prediction is cat?",
        ":material/gavel:",
    ),
)

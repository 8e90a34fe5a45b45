"""Labels and borders of heads on the Attention page: each has a measured figure behind it."""

import json
import time

import numpy as np
from streamlit.testing.v1 import AppTest

from pages.attention.head_notes import describe_role
from tests.helpers.dependence import measured
from tests.pages.opening import open_page, own_widgets
from vit.explain.heads.portrait_result import Portraits, patch_distances
from vit.runs import get_run
from vit.runs.dependence import HeadDependence, write_dependence

SIDE = 4
TOKENS = SIDE * SIDE + 1


def portraits_of(*heads: np.ndarray, focus: np.ndarray, value: list[float]) -> Portraits:
    """Portraits of one layer whose heads have these mean patterns ``(n m)``, in networks with a class token."""
    attention = np.stack(heads)[None].astype(np.float32)
    of_patches = attention[..., 1:, 1:]
    shape = attention.shape[:2]
    return Portraits(
        images=np.arange(7),
        labels=np.zeros(7, int),
        class_names=("one",),
        grid=(SIDE, SIDE),
        prefix_tokens=1,
        pool="cls",
        summary_rows=slice(0, 1),
        patch=8.0,
        picture=np.zeros((32, 32, 3), np.uint8),
        attention=attention,
        entropy=np.full(shape, 0.5),
        distance=np.maximum((of_patches * patch_distances((SIDE, SIDE), 8.0)).sum(-1).mean(-1), 20.0),
        departure=np.full(shape, 0.9),
        focus=focus[None],
        focus_rate=np.ones(shape),
        focus_value=np.array([value]),
        strength=np.ones((7, *shape)),
    )


def towards(key: np.ndarray) -> np.ndarray:
    """A pattern in which patch p gives all its attention to the token ``key[p]``."""
    pattern = np.full((TOKENS, TOKENS), 1 / TOKENS)
    pattern[1:] = np.eye(TOKENS)[key]
    return pattern


def test_the_label_of_a_head_names_what_its_portrait_has_measured():
    patch = np.arange(SIDE * SIDE)
    left = 1 + np.where(patch % SIDE, patch - 1, patch)
    own, corner, inside, even = 1 + patch, np.full(16, 4), np.full(16, 6), np.full((TOKENS, TOKENS), 1 / TOKENS)
    focus = np.zeros((6, TOKENS))
    focus[4, 0] = 0.6  # the class token, with a small value
    seen = portraits_of(
        *map(towards, (left, own, corner, inside, np.zeros(16, int))), even, focus=focus, value=[1, 1, 1, 1, 0.2, 1]
    )
    labels, sentences = zip(*(describe_role(seen, (0, head)) for head in range(6)), strict=True)
    assert labels == ("previous patch", "own patch", "corner patch", "fixed patch", "sink", "content")
    assert sentences[0] == "Positional: 100% of the attention of a patch goes to the patch 1 left (mean over 7 images)."
    assert "goes to the patch itself" in sentences[1]
    assert "goes to patch r1 c4 " in sentences[2]
    assert sentences[4].startswith("Sink: 60% of the attention of patches goes to tokens with small values")
    assert sentences[5].startswith("Content: 0% of what differs from uniform attention is the same in every image")


def sent(app: AppTest) -> dict:
    proto = own_widgets(app)[0].proto
    return json.loads(proto.mixed.json or proto.json)


def test_borders_mark_only_heads_whose_loss_exceeds_its_interval(trained):
    run = get_run("tiny")
    needed = HeadDependence(lost=0.02, error=0.005, low=0.01, high=0.03, inside=0.8)
    more = HeadDependence(lost=0.04, error=0.005, low=0.03, high=0.05, inside=0.3)
    unsure = HeadDependence(lost=0.03, error=0.02, low=-0.009, high=0.069, inside=0.5)
    figures = measured(object_area=0.25).model_copy(update={"layers": ((needed, unsure), (more, unsure))})
    write_dependence(run.path, figures)
    data = sent(open_page("attention"))
    assert [note["border"] for note in data["tileNotes"]] == [0.5, 0, 1, 0]
    assert [note["role"] for note in data["tileNotes"]] == ["object 80%", "object 50%", "", "object 50%"]
    assert "falls by 2.0 points (95% interval of the fall 1.0 to 3.0, 500 images)" in data["tileNotes"][0]["about"][1]
    assert "does not fall measurably" in data["tileNotes"][1]["about"][1]
    assert data["key"][0].startswith(
        "object 80%: share of the class token's attention on the object, mean of 500 images"
    )
    assert data["key"][1].startswith("Orange border: the accuracy falls without this head")
    assert data["key"][-1].endswith("are the same for every image on this page.")
    write_dependence(run.path, figures.model_copy(update={"layers": ((unsure, unsure), (unsure, unsure))}))
    data = sent(open_page("attention"))
    assert {note["border"] for note in data["tileNotes"]} == {0}
    assert data["key"][1].startswith("No head has a border")
    assert not sent(open_page("attention", show="Mean, max, min"))["tileNotes"]


def test_the_page_opens_with_the_head_that_looks_at_the_object_most_unless_a_link_names_one(trained):
    heads = [HeadDependence(lost=0, error=0, low=0, high=0, inside=share) for share in (0.1, 0.2, 0.3, 0.8)]
    layers = (tuple(heads[:2]), tuple(heads[2:]))
    write_dependence(get_run("tiny").path, measured(object_area=0.25).model_copy(update={"layers": layers}))
    data = sent(open_page("attention"))
    assert (data["row"], data["column"]) == (2, 2)
    data = sent(open_page("attention", layer="1", head="1"))
    assert (data["row"], data["column"]) == (1, 1)


def test_heads_are_named_after_a_click(trained):
    app = open_page("attention")
    assert not sent(app)["tileNotes"]
    app.button(key="name_heads").click().run()
    end = time.monotonic() + 60
    while not sent(app)["tileNotes"] and time.monotonic() < end:
        time.sleep(0.1)
        app.run()
    assert not app.exception
    assert all(note["role"] and len(note["about"]) == 1 for note in sent(app)["tileNotes"])
    assert "name_heads" not in [button.key for button in app.button]

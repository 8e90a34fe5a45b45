"""What the tour says of an image is true: every number on screen against the arrays of the model, and every verdict."""

import re
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.overview.tour import choice, claims
from tests.helpers.serving import ROOT
from tests.pages.opening import open_page
from vit import runs
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.evaluation import model_input
from vit.explain import capture
from vit.explain.image_facts import MOVES, OBJECT_RATIO, SURE
from vit.runs.weights import load_checkpoint

SIDE = 64


@pytest.fixture
def included(home):
    """The included model, as it is shipped."""
    shutil.copytree(ROOT / "checkpoints" / runs.SHIPPED_RUN, home / "checkpoints" / runs.SHIPPED_RUN)
    return runs.get_run(runs.SHIPPED_RUN)


class Seen:
    """An image of the tour, and the model's own arrays for it."""

    def __init__(self, run: runs.Run, name: str) -> None:
        self.model, self.info = load_checkpoint(run.path)
        self.index = choice.choose(run, name)
        self.pixels, mask, self.label = scenes.draw(self.index, split="val", image_size=SIDE, seed=0)
        self.record = capture(self.model, model_input(self.info, prepared_image(self.pixels)))
        self.attention = self.record.attention[0].double().numpy()
        self.probabilities = self.record.logits[0].softmax(0).double().numpy()
        grid = self.record.grid[0]
        self.cover = mask.reshape(grid, SIDE // grid, grid, SIDE // grid).mean(axis=(1, 3)).ravel()
        rows, columns = np.nonzero(mask)
        self.middle = int(rows.mean() * grid // SIDE) * grid + int(columns.mean() * grid // SIDE) + 1


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def percents(pattern: str, text: str) -> list[float]:
    """The percentages in the groups of a pattern, which must occur."""
    found = re.search(pattern, text)
    assert found, text
    return [float(one) / 100 for one in found.groups()]


def test_step_three_says_how_far_a_click_moves_the_map_and_offers_the_patch_that_moves_it_most(included):
    seen = Seen(included, "Cat")
    app = open_page("overview", tour="3", scene="Cat")
    patch, layer, head = (app.number_input(key=f"tour_{name}").value for name in ("patch", "layer", "head"))
    assert patch == seen.middle
    rows = seen.attention[layer - 1, head - 1]
    other = [np.abs(rows[patch] - rows[1 + one]).sum() / 2 for one in range(256) if one != patch - 1]
    mean, most = percents(r"moves the map: .*?\*\*(\d+)%\*\*.*?\*\*(\d+)%\*\*", words(app))
    assert mean == pytest.approx(np.mean(other), abs=0.0051)
    assert most == pytest.approx(np.max(other), abs=0.0051)
    assert mean >= MOVES
    far = int(re.search(r"with patch (\d+) ", words(app)).group(1))
    assert other.index(max(other)) == far - 1 - (far > patch)
    app.button(key="tour_far").click().run()
    assert not app.exception
    assert app.number_input(key="tour_patch").value == far
    largest, token = re.search(r"largest share, \*\*(\d+)%\*\*, goes to patch (r\d+ c\d+)", words(app)).groups()
    best = int(rows[far].argmax()) - 1
    assert token == f"r{best // 16 + 1} c{best % 16 + 1}"
    assert float(largest) / 100 == pytest.approx(rows[far].max(), abs=0.0051)


def test_step_four_says_how_much_the_heads_differ_and_which_two_most(included):
    seen = Seen(included, "Cat")
    app = open_page("overview", tour="4", scene="Cat")
    maps = seen.attention[:, :, seen.middle, 1:].reshape(16, -1)
    expected = np.corrcoef(maps)
    text = words(app).replace("−", "-")
    found = re.search(
        r"maps of the 16 heads differ: .*?\*\*(-?[\d.]+)\*\*.*?Head (\d) of layer (\d) and head (\d) of layer (\d) .*?"
        r"\*\*(-?[\d.]+)\*\*",
        text,
    ).groups()
    assert float(found[0]) == pytest.approx(expected[np.triu_indices(16, 1)].mean(), abs=0.0051)
    assert float(found[5]) == pytest.approx(expected.min(), abs=0.0051)
    one, other = (4 * (int(found[at + 1]) - 1) + int(found[at]) - 1 for at in (1, 3))
    assert expected[one, other] == pytest.approx(expected.min())


def test_step_five_says_what_the_class_token_gives_to_the_object_and_when_the_answer_settles(included):
    seen = Seen(included, "Cat")
    text = words(open_page("overview", tour="5", scene="Cat"))
    area, *shares = percents(
        r"cat covers \*\*(\d+)%\*\*.*?\*\*(\d+)%\*\* in layer 1, \*\*(\d+)%\*\* in layer 2, "
        r"\*\*(\d+)%\*\* in layer 3 and \*\*(\d+)%\*\* in layer 4: more than evenly spread attention "
        "would give it, in every",
        text,
    )
    to_patches = seen.attention[:, :, 0, 1:]
    expected = ((to_patches * seen.cover).sum(-1) / to_patches.sum(-1)).mean(axis=1)
    assert area == pytest.approx(seen.cover.mean(), abs=0.0051)
    assert shares == pytest.approx(expected, abs=0.0051)
    assert min(shares) > area
    states = [seen.record.embedded, *(layer.tokens for layer in seen.record.layers)]
    predicted = [int(seen.model.head(seen.model.norm(tokens[0, 0])).argmax()) for tokens in states]
    assert predicted[-1] == seen.label
    first = next(at for at in range(5) if len(set(predicted[at:])) == 1)
    assert f"It stays cat from layer {first} on." in text


def test_step_six_says_what_covering_the_object_does_and_does_it(included):
    seen = Seen(included, "Cat")
    app = open_page("overview", tour="6", scene="Cat")
    covered, before, beside = percents(
        r"depends on the object: .*?\*\*([\d.]+)%\*\* instead of ([\d.]+)%;.*?\*\*([\d.]+)%\*\*", words(app)
    )
    assert before == pytest.approx(seen.probabilities[seen.label], abs=0.00051)
    assert covered < min(before, beside)
    on = seen.cover >= 0.5
    assert f"with the {on.sum()} patches of the cat covered" in words(app)
    pixels = seen.pixels.copy()
    pixels[np.kron(on.reshape(16, 16), np.ones((4, 4))) > 0] = seen.pixels.mean(axis=(0, 1)).round()
    grey = capture(seen.model, model_input(seen.info, prepared_image(pixels))).logits[0].softmax(0)
    assert covered == pytest.approx(float(grey[seen.label]), abs=0.0006)
    app.button(key="tour_cover_object").click().run()
    assert not app.exception
    assert f"**cat** falls from {before:.1%} to {covered:.1%}" in words(app)


@pytest.mark.parametrize("name", [name for name in choice.SCENES if name != choice.HARD])
def test_the_claims_hold_for_the_chosen_images(included, name):
    seen = Seen(included, name)
    assert seen.probabilities[seen.label] >= SURE
    rows = seen.attention[:, :, 1:]
    moved = np.abs(rows - rows[:, :, seen.middle - 1 : seen.middle]).sum(-1).sum(-1) / 2 / 255
    assert moved.max() >= MOVES
    to_patches = seen.attention[:, :, 0, 1:]
    shares = ((to_patches * seen.cover).sum(-1) / to_patches.sum(-1)).mean(axis=1)
    assert shares.min() >= OBJECT_RATIO * seen.cover.mean()


def test_the_hard_scene_is_the_one_that_the_model_is_least_sure_of(included):
    seen, certainty = Seen(included, choice.HARD), {}
    for index in choice.SCENES[choice.HARD]:
        pixels, _, label = scenes.draw(index, split="val", image_size=SIDE, seed=0)
        logits = capture(seen.model, model_input(seen.info, prepared_image(pixels))).logits[0]
        certainty[index] = float(logits.softmax(0)[label])
    assert seen.index == min(certainty, key=certainty.get)
    assert seen.probabilities.argmax() != seen.label
    text = words(open_page("overview", tour="5", scene=choice.HARD))
    assert "covers **" in text


def test_the_words_change_with_the_numbers():
    still = np.full((1, 2, 4), 0.02)
    still[0, 1] = [0, 0.3, 0.3, 0.3]
    text, far = claims.movement(still, (1, 1), 2)
    assert text.startswith("In this head, the map depends less on the patch: with another patch, **3%**")
    assert text.endswith("A click moves the map of head 2 of layer 1 most: 30% on average.")
    assert far == 1
    similar = np.array([[1, 0.9], [0.9, 1]])
    assert "the maps of the 2 heads are similar" in claims.differences(similar, 3, 2)
    assert "single head" in claims.differences(np.eye(1), 3, 1)
    assert claims.object_attention(np.array([0.5, 0.1]), 0.2, "cat").endswith("in layer 1 only.")
    assert "in no layer more" in claims.object_attention(np.array([0.1, 0.1]), 0.2, "cat")
    assert "does not come from the object" in claims.object_prediction(0.2, 0.6, "cat", "dog")
    assert "comes from the object" in claims.object_prediction(0.9, 0.2, "cat", "cat")
    assert "only slightly less" in claims.object_prediction(0.21, 0.2, "cat", "cat")
    assert claims.covering("cat", "cat", 0.9, (3, 0.8), (3, 0.4)).startswith(
        "The answer depends more on what is beside"
    )
    for covered in (0.87, 0.93):
        assert "answer hardly depends" in claims.covering("cat", "dog", 0.9, (3, covered), (3, 0.4))
    assert "surer of its answer" in claims.covering("cat", "dog", 0.4, (3, 0.9), (3, 0.4))
    lens = np.array([[0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    assert claims.settled(["cat", "dog"], lens, 1) == "It stays dog from layer 1 on."
    assert claims.settled(["cat", "dog"], lens[1:], 0) == "It is dog throughout, which is wrong: the image shows “cat”."

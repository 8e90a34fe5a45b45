"""``python -m vit patch`` and ``python -m vit votes``."""

import json

import numpy as np
import pytest
from PIL import Image

from vit.cli import causes
from vit.cli.main import main
from vit.data import scenes
from vit.evaluation import model_input
from vit.explain import Target
from vit.explain.heads.votes import votes
from vit.explain.patching.patch import DIRECTIONS, SITES, TOKEN_SITES, attribute_each, patch_each, record_runs
from vit.runs.weights import load_checkpoint


@pytest.fixture
def call(capsys):
    """Runs a command in this process: (exit status, standard output, standard error)."""

    def run_command(line: str) -> tuple[int, str, str]:
        try:
            status = main(line.split())
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run_command


@pytest.fixture
def images(trained, tmp_path):
    paths = []
    for index in (3, 1):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(scenes.draw(index, split="val", image_size=32)[0]).save(paths[-1])
    return paths


def test_the_choices_are_those_of_the_library():
    assert causes.SITES == SITES
    assert causes.DIRECTIONS == DIRECTIONS
    assert causes.TOKEN_SITES == TOKEN_SITES


@pytest.mark.parametrize("site", SITES)
def test_patch_prints_the_effects(call, images, site):
    clean, corrupt = images
    line = f"patch --run tiny --clean {clean} --corrupt {corrupt} --site {site} --class dog --against 1 --json"
    status, out, _ = call(line)
    assert status == 0
    found = json.loads(out)
    assert set(found) == {"effect", "clean", "corrupt"}
    model, info = load_checkpoint("tiny")
    inputs = [model_input(info, Image.open(path)) for path in images]
    runs = record_runs(model, *inputs, Target("dog", "bus"))
    assert (found["clean"], found["corrupt"]) == pytest.approx((runs.clean, runs.corrupt), abs=1e-5)
    assert np.array(found["effect"]) == pytest.approx(runs.effect(patch_each(runs, site)), abs=1e-3)
    assert np.shape(found["effect"]) == (2, 17 if site in TOKEN_SITES else 2)
    estimated = json.loads(call(f"{line} --estimate --direction noise")[1])
    noised = record_runs(model, *inputs, Target("dog", "bus"), "noise")
    assert np.array(estimated["effect"]) == pytest.approx(noised.effect(attribute_each(noised, site)), abs=1e-3)


def test_patch_prints_a_board_as_text(call, images):
    clean, corrupt = images
    line = f"patch --run tiny --clean {clean} --corrupt {corrupt} --class dog --against bus --site"
    _, out, _ = call(f"{line} head")
    assert [row.split(":")[0] for row in out.splitlines()] == ["logit difference", "layer 1", "layer 2"]
    assert call(f"{line} residual")[1].count("token") == 2 * causes.LARGEST


def test_votes_sum_to_the_logit(call, images):
    for against, target in (("", Target("dog")), (" --against bus", Target("dog", "bus"))):
        status, out, _ = call(f"votes --run tiny {images[0]} --class dog{against} --json")
        assert status == 0
        found = json.loads(out)
        assert set(found) == {"logit", "parts"}
        assert sum(part["value"] for part in found["parts"]) == pytest.approx(found["logit"], abs=1e-4)
        model, info = load_checkpoint("tiny")
        expected = votes(model, model_input(info, Image.open(images[0])), target)
        assert found["logit"] == pytest.approx(float(expected.logit[0]), abs=1e-5)
        assert [(part["name"], part["value"]) for part in found["parts"]] == [
            (name, pytest.approx(value, abs=1e-5)) for name, value in expected.parts()
        ]
    text = call(f"votes --run tiny {images[0]} --class dog")[1]
    assert text.splitlines()[-1].endswith("logit")
    assert "layer 2 head 1" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("patch --run tiny --clean {0} --corrupt {1} --site head --class dog", "--against"),
        ("patch --run tiny --clean {0} --corrupt {1} --site nose --class dog --against bus", "nose"),
        ("patch --run tiny --clean {0} --corrupt {1} --site head --class dog --against dog", "the same"),
        ("patch --run tiny --clean {0} --corrupt {1} --site head --class dog --against mouse", "mouse"),
        ("patch --run tiny --clean {0} --corrupt {1} --site head --class 7 --against bus", "no class 7"),
        ("patch --run tiny --clean {0} --corrupt {1} --site head --class 99999999999 --against 1", "99999999999"),
        ("patch --run tiny --clean {0} --corrupt {0} --site head --class dog --against bus", "undefined"),
        ("patch --run tiny --clean {0} --corrupt nowhere.png --site head --class dog --against bus", "nowhere.png"),
        ("votes --run tiny nowhere.png --class dog", "nowhere.png"),
        ("votes --run tiny {0} --class mouse", "mouse"),
        ("votes --run nobody {0} --class dog", "nobody"),
    ],
)
def test_bad_input_exits_with_2_and_one_line(call, images, line, words):
    status, out, err = call(line.format(*images))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


def test_a_convolutional_network_is_refused(call, home, images):
    from tests.pages.test_faithfulness import train
    from vit.config import CNNConfig

    train("small-cnn", CNNConfig(image_size=32))
    status, out, err = call(f"votes --run small-cnn {images[0]} --class dog")
    assert (status, out) == (2, "")
    assert "no attention" in err

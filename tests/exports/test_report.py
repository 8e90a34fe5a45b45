"""The report: one file with all sections, for every kind of network and with missing data."""

import itertools
import json
import re
import shutil
from html import escape

import pytest
from PIL import Image

from tests.conftest import tiny_config
from tests.helpers.dependence import LOW
from vit import data, jobs, runs
from vit.cli.main import main
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig, RunConfig
from vit.evaluation import evaluate
from vit.exports.report import report as report_module
from vit.exports.report.report import report
from vit.plots.panels import Line, Panel
from vit.plots.svg import curves
from vit.runs import Run, weights
from vit.runs.dependence import write_dependence


@pytest.fixture
def run(trained) -> Run:
    return runs.find_run("tiny")


def trained_as(name: str, model) -> Run:
    """A run of one epoch."""
    config = tiny_config()
    recipe = config.training.model_copy(update={"epochs": 1, "threads": 1})
    run = runs.create(name, RunConfig(model=model, data=config.data, training=recipe))
    assert jobs.execute(run).state == "finished"
    return run


def test_it_contains_everything_that_the_course_asks_for(run):
    html = report(run)
    model, info = weights.load_checkpoint(run.path)
    result = evaluate(model, info, data.load(run.config.data, splits=("val",)).val)
    assert html.count('alt="A training image of') == 9
    assert f"{sum(it.numel() for it in model.parameters()):,} parameters" in html
    assert html.count("<svg") == 2
    cells = [int(text) for text in re.findall(r"<td style=[^>]*>(\d+)</td>", html)]
    assert cells == result.confusion_matrix.ravel().tolist()
    for row in result.per_class:
        assert f'<td class="number">{row["recall"]:.1%}</td>' in html
    assert html.count('alt="What counts in') == 4
    assert "What the class token, which the classifier reads" in html


def test_it_shows_the_attention_dependence_or_that_it_is_not_measured(run):
    assert "It is not measured: open the run on the Heads page" in report(run)
    write_dependence(run.path, LOW)
    html = report(run)
    assert escape(LOW.warning) in html
    for figure in LOW.figures():
        assert f"<td>{figure.name}</td><td>{figure.value}</td><td>{escape(figure.meaning)}</td>" in html
    assert html.count("8.0 to 12.0") == LOW.heads


def test_it_loads_nothing_from_the_internet(run):
    html = report(run)
    assert not re.search(r"<(script|link|iframe|object)\b", html)
    assert set(re.findall(r'(?:src|href)="([^,;"]*)', html)) == {"data:image/png", "data:image/webp"}
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


HOSTILE = "<img src=x onerror='alert(\"1\")'>{{ 'ev' ~ 'il' }}{% raw %}"


def renamed(run: Run, source: str) -> Run:
    """Give the run a data set and a message with hostile names."""
    names = (HOSTILE, "b", "c", "d", "e")
    data = run.config.data.model_copy(update={"source": source, "class_names": names})
    runs.write_config(run.path, run.config.model_copy(update={"data": data}))
    runs.update_status(run.path, message=HOSTILE)
    return runs.find_run(run.name)


@pytest.mark.parametrize("classes_max", [25, 2])
def test_untrusted_names_are_escaped(run, tmp_path, monkeypatch, classes_max):
    """pages.access.report relies on escaping as by html.escape."""
    for split, name in itertools.product(("train", "val"), (HOSTILE, *"bcde")):
        (tmp_path / "photos" / split / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), "red").save(tmp_path / "photos" / split / name / "1.png")
    monkeypatch.setattr(report_module, "CLASSES_MAX", classes_max)
    html = report(renamed(run, str(tmp_path / "photos")))
    assert html.count('class="missing"') == 1  # the attention dependence, which is not measured
    assert "<img src=x" not in html
    assert "evil" not in html
    assert f'alt="A training image of {escape(HOSTILE)}"' in html
    assert f"<figcaption>{escape(HOSTILE)}</figcaption>" in html
    assert f'alt="What counts in {escape(HOSTILE)}, ' in html
    assert f"{escape(HOSTILE)}</p>" in html
    assert f'<td>{escape(HOSTILE)}</td><td class="number">' in html
    assert html.count(f'title="{escape(HOSTILE)}"') == (2 if classes_max == 25 else 0)
    assert html.count('alt="Confusion matrix"') == (0 if classes_max == 25 else 1)


def test_untrusted_names_are_escaped_without_the_data_set(run):
    html = report(renamed(run, f"/{HOSTILE}"))
    assert "<img src=x" not in html
    assert html.count('class="missing"') == 3
    assert escape(HOSTILE) in html


def test_without_the_data_set_it_says_so_and_shows_the_rest(run, photo_zip, tmp_path):
    copy = tmp_path / "gone.zip"
    shutil.copy(photo_zip, copy)
    source = run.config.data.model_copy(update={"source": str(copy), "class_names": ()})
    runs.write_config(run.path, run.config.model_copy(update={"data": source}))
    copy.unlink()
    html = report(run)
    assert html.count('class="missing"') == 3
    assert "gone.zip" in html
    assert html.count("<svg") == 2
    assert "Multiply-adds" in html


def test_a_run_without_steps_has_a_report_of_its_settings(home):
    html = report(runs.create("new", tiny_config()))
    assert "has not taken a step" in html
    assert "has no model.safetensors" in html
    assert "Learning rate" in html


def test_a_convolutional_network_is_shown_by_grad_cam(home):
    html = report(trained_as("cnn", CNNConfig(image_size=32)))
    assert "Where the network looks" in html
    assert "Grad-CAM" in html
    assert html.count('alt="What counts in') == 4


@pytest.mark.parametrize(
    ("mended", "words"), [((), "queries down, keys across"), (DEPARTURES, "the mean of all tokens")]
)
def test_the_course_network_shows_whole_maps_until_its_softmax_is_fixed(home, mended, words):
    html = report(trained_as("course", ReferenceConfig(image_size=32, embed_dim=16, mended=mended)))
    assert words in html
    assert html.count('alt="What counts in') == 4


def test_the_command_writes_the_file_and_names_it(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--run", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "tiny", "out": "tiny.html"}
    assert (tmp_path / "tiny.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for out in ("report.pdf", "no/such/report.html"):
        assert main(["report", "--run", "tiny", "--out", out]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("ys", [[0.0], [0.3, 0.3], [1e-6, 2.0], [float("nan"), 0.5], [1e9, 1.0]])
def test_curves_of_any_values_stay_inside_the_picture(ys):
    drawn = curves(Panel("Epoch", "<Loss>", [Line("a", range(1, len(ys) + 1), ys, "#000000")], "{:g}".format))
    points = re.search(r'points="([^"]*)"', drawn)[1].split()
    for x, y in (map(float, point.split(",")) for point in points):
        assert 0 <= x <= 480
        assert 0 <= y <= 260
    assert "<Loss>" not in drawn

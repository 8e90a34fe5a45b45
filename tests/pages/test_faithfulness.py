"""Faithfulness: the verdict, the table and the figures match the measurement; one image is covered step by step."""

import csv
import io
import json
import shutil
import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.faithfulness import result as faithfulness_result
from pages.ui.run_doubts import AT_CHANCE
from tests.conftest import tiny_config
from tests.pages.opening import open_page
from vit import data, jobs, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.explain import METHODS, measure_faithfulness, methods_for
from vit.explain.faithfulness.measure import curve_frames
from vit.explain.faithfulness.verdict import verdicts
from vit.runs import weights


def train(name: str, model, **data_settings) -> None:
    base = tiny_config()
    settings = {
        "model": model,
        "data": base.data.model_copy(update={"train_images": 20, "val_images": 8} | data_settings),
        "training": base.training.model_copy(update={"epochs": 1, "snapshots": 0}),
    }
    jobs.execute(runs.create(name, base.model_copy(update=settings)))
    assert runs.get_run(name).state == "finished"


@pytest.fixture
def few(trained):
    """Give the run "tiny" eight validation images."""
    run = runs.find_run("tiny")
    settings = run.config.data.model_copy(update={"val_images": 8})
    runs.write_config(run.path, run.config.model_copy(update={"data": settings}))


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader") for element in app.get(kind))


def measured(app: AppTest) -> AppTest:
    """Click the button that measures and return the page when the table is shown."""
    (start,) = (button for button in app.button if button.label.startswith("Measure on"))
    start.click().run()
    end = time.monotonic() + 60
    while not app.dataframe:
        assert time.monotonic() < end
        time.sleep(0.3)
        app.run()
        assert not app.exception
    return app


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def parts(name: str):
    run = runs.find_run(name)
    model, info = weights.load_checkpoint(run.path)
    return model, info, data.load(run.config.data, splits=("val",)).val


def test_without_a_run_the_page_leads_to_train(home):
    assert "No trained run yet" in open_page("faithfulness").markdown[-1].value


def test_one_image_is_covered_step_by_step_before_any_measurement(trained):
    app = open_page("faithfulness", image="val-3", method="rollout", kind="insertion", fill="blur")
    model, info, split = parts("tiny")
    view = np.moveaxis(split.images[3], 0, -1)
    seen = curve_frames(
        model, view, METHODS["rollout"], mean=info.mean, std=info.std, kind="insertion", fill="blur", number=3
    )
    assert len(app.image) == 12
    shown = [text.value for text in app.markdown if " shown" in text.value]
    expected = [f"{share:.0%} shown  \n**{it:.1%}**" for share, it in zip(seen.shares, seen.probabilities, strict=True)]
    assert [text.removeprefix(":small[").removesuffix("]") for text in shown] == expected
    assert charts(app)[0]["data"][0]["y"] == pytest.approx(seen.probabilities.tolist())
    assert "more is better" in texts(app)
    assert not app.dataframe
    assert app.selectbox(key="method").value == "rollout"
    assert [it.value for it in app.get("segmented_control")] == ["100", "insertion", "blur"]


def test_the_page_shows_the_measurement_and_a_sentence_for_each_method(few):
    app = measured(open_page("faithfulness", n="25"))
    model, info, split = parts("tiny")
    fast = {name: method for name, method in methods_for(model).items() if method.fast}
    result = measure_faithfulness(model, split, mean=info.mean, std=info.std, images=8, methods=fast)
    table = app.dataframe[0].value
    assert table["Map"].tolist() == [row.title for row in result.rows]
    assert table["Kind"].tolist() == ["method"] * 6 + ["control"] * 9
    for name, measure in result.measures.items():
        (column,) = (title for title in table if title.startswith(measure.title))
        assert column.endswith("↑" if measure.sign > 0 else "↓")
        for cell, row in zip(table[column], result.rows, strict=True):
            score, advantage = result.scores[row.name][name], result.advantages.get(row.name, {}).get(name)
            assert cell.startswith(f"{score.mean:.3f} [{score.low:.2f}, {score.high:.2f}]")
            assert cell.endswith("✓") == (advantage is not None and advantage.better)
    said = texts(app)
    for name, found in verdicts(result).items():
        assert f"**{result.row(name).title}**: {found.sentence}." in said
    assert "On 8 validation images" in said
    assert "With few images" in said
    curves_forest, objects_forest, _, curves = charts(app)
    assert [
        len([x for trace in it["data"] for x in trace["x"] if x is not None]) for it in (curves_forest, objects_forest)
    ] == [
        6 * 4,
        6 * 3,
    ]
    chefer = next(trace for trace in curves["data"] if trace["name"] == METHODS["chefer"].title)
    expected = result.row("chefer").curve("deletion", "mean").mean(axis=0)
    assert chefer["y"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_link_reproduces_the_view(several):
    link = {"run": "tiny-deep", "n": "300", "method": "gradcam", "kind": "insertion", "fill": "blur", "image": "val-7"}
    app = open_page("faithfulness", **link)
    assert app.selectbox(key="run").value == "tiny-deep"
    assert app.text_input(key="image").value == "val-7"
    assert app.selectbox(key="method").value == "gradcam"
    assert [it.value for it in app.get("segmented_control")] == ["300", "insertion", "blur"]
    assert any(button.label == "Measure on 30 images" for button in app.button)


def test_unknown_values_in_a_link_are_replaced_by_the_defaults(trained):
    app = open_page("faithfulness", n="7", method="tarot", kind="x", fill="red")
    assert [it.value for it in app.get("segmented_control")] == ["100", "deletion", "mean"]
    app = open_page("faithfulness", fill="mean colour", method=METHODS["rollout"].title)  # as Streamlit writes them
    assert [it.value for it in app.get("segmented_control")] == ["100", "deletion", "mean"]
    assert app.selectbox(key="method").value == "rollout"
    app = open_page("faithfulness", n="", method="", kind="", fill="")
    assert "less is better" in texts(app)


def test_slow_methods_are_included_on_demand(trained):
    app = open_page("faithfulness", n="25")
    app.toggle(key="slow").set_value(True).run()
    assert "8 methods" in texts(app)


def test_a_convolutional_network_has_a_table_of_grad_cam(home):
    train("small-cnn", CNNConfig(image_size=32))
    app = measured(open_page("faithfulness", n="25"))
    assert app.dataframe[0].value["Map"].tolist()[:2] == ["Grad-CAM", "Grad-CAM, untrained"]
    assert "no attention" in texts(open_page("faithfulness", n="100"))


def test_the_course_network_is_measured_with_its_only_method(home):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, num_heads=2, depth=1))
    app = measured(open_page("faithfulness", n="25"))
    table = app.dataframe[0].value
    assert table[table["Kind"] == "method"]["Map"].tolist() == [METHODS["last"].title]
    said = "".join(one.value for one in app.markdown if AT_CHANCE not in one.value)
    badges = [colour for colour in ("green", "orange", "gray") if f":{colour}-badge" in said]
    assert len(badges) == 1  # one verdict for one method; which one depends on the training


def test_without_masks_their_columns_are_absent_and_a_sentence_says_why(home, photo_zip):
    model = tiny_config().model.model_copy(update={"num_classes": 2})
    train("photos", model, source=str(photo_zip), class_names=("green", "red"))
    app = measured(open_page("faithfulness", n="25"))
    assert list(app.dataframe[0].value)[2:] == [
        "Deletion (mean colour) ↓",
        "Deletion (blur) ↓",
        "Insertion (mean colour) ↑",
        "Insertion (blur) ↑",
    ]
    assert "has no object masks" in texts(app)


def test_a_missing_data_set_gives_an_error(trained, photo_zip, tmp_path):
    copy = tmp_path / "gone.zip"
    shutil.copy(photo_zip, copy)
    run = runs.find_run("tiny")
    source = run.config.data.model_copy(update={"source": str(copy), "class_names": ()})
    runs.write_config(run.path, run.config.model_copy(update={"data": source}))
    copy.unlink()
    app = open_page("faithfulness")
    assert len(app.error) == 1


def test_downloads_hold_every_number(few):
    model, info, split = parts("tiny")
    methods = {"rollout": METHODS["rollout"]}
    result = measure_faithfulness(model, split, mean=info.mean, std=info.std, images=8, methods=methods)
    rows = list(faithfulness_result.measure_records(result))
    assert len(rows) == 5 * 7
    first = next(row for row in rows if (row["map"], row["measure"]) == ("rollout", "deletion_blur"))
    assert first["mean"] == result.scores["rollout"]["deletion_blur"].mean
    assert first["advantage"] == result.advantages["rollout"]["deletion_blur"].mean
    assert {row["better_than_chance"] for row in rows if row["kind"] == "control"} == {None}
    assert {row["kind"] for row in rows} == {"method", "control"}
    writer = csv.DictWriter(io.StringIO(), rows[0].keys())
    writer.writerows(rows)
    arrays = faithfulness_result.image_arrays(result)
    assert arrays["rollout/maps"].shape == (8, 4, 4)
    np.testing.assert_array_equal(arrays["rollout/curves"], result.row("rollout").curves)
    np.savez(io.BytesIO(), **arrays)

"""The diagram and the table of layers, compared with the networks."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from vit import plots
from vit.config import DEPARTURES, MODELS, CNNConfig, ReferenceConfig, ViTConfig
from vit.cost.diagram import count_parameters, diagram
from vit.cost.layer_table import summarise
from vit.networks import build_model

CONFIGS = [
    *MODELS.values(),
    ViTConfig(image_size=32, patch_size=4, embed_dim=24, num_heads=3, stem="patch", pool="mean", num_classes=7),
    ViTConfig(image_size=32, patch_size=16, embed_dim=40, num_heads=2, stem="conv", mlp_ratio=1.5, depth=1),
    CNNConfig(image_size=50, residual=True),
    CNNConfig(image_size=50),
    *(ReferenceConfig(mended=DEPARTURES[:count]) for count in range(1, len(DEPARTURES) + 1)),
    ReferenceConfig(mended=("output", "finish"), num_heads=4, depth=3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.title)
def test_the_parts_have_the_network_s_parameters(config):
    with torch.device("meta"):
        model = build_model(config)
    stages = diagram(config)
    assert count_parameters(stages) == sum(parameter.numel() for parameter in model.parameters())
    if hasattr(model, "pos_embed"):
        block = sum(parameter.numel() for parameter in model.blocks[0].parameters())
        assert [stage.parameters for stage in stages if stage.title] == [config.depth * block]


@pytest.mark.parametrize("config", [config for config in CONFIGS if not isinstance(config, CNNConfig)], ids=str)
def test_the_shapes_of_a_block_are_those_that_the_model_records(config):
    with torch.device("meta"):
        record: dict = {}
        build_model(config)(torch.empty(2, 3, config.image_size, config.image_size), record=record)
    first, block, last = diagram(config, batch=2)
    recorded = {name: tuple(value.shape) for name, value in record["layers"][0].items()}
    parts = {part.letters: part.shape for part in block.branches[0].parts}
    assert parts["b h n d"] == recorded["q"] == recorded["heads"]
    assert parts["b h n m"] == recorded["scores"] == recorded["attention"]
    assert parts["b n (h d)"] == parts["b n e"] == recorded["out"]
    assert first.branches[0].parts[-1].shape == tuple(record["embedded"].shape)
    assert block.branches[1].parts[-1].shape == recorded["tokens"]
    assert last.branches[0].parts[-2].shape == tuple(record["summary"].shape)


@pytest.mark.parametrize("config", [config for config in CONFIGS if isinstance(config, CNNConfig)], ids=str)
def test_the_shapes_of_a_convolutional_network_are_what_leaves_its_blocks(config):
    with torch.device("meta"):
        model, maps = build_model(config), torch.empty(2, 3, config.image_size, config.image_size)
        shapes = []
        for block in model.blocks:
            maps = block(maps)
            shapes.append(tuple(maps.shape))
    stages = diagram(config, batch=2)[1:-1]
    assert [stage.branches[-1].parts[-1].shape for stage in stages] == shapes


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.title)
def test_a_shape_has_as_many_letters_as_numbers(config):
    for stage in diagram(config, batch=3):
        for branch in stage.branches:
            for part in branch.parts:
                letters = part.letters.replace("(r w)", "p").replace("(c p1 p2)", "q").replace("(h d)", "e")
                letters = letters.replace("(n d)", "x").replace("(n e)", "x")
                assert len(letters.split()) == len(part.shape), part
                assert part.shape[0] == 3


def test_departures_of_the_course_network_are_marked_until_their_switch_is_on():
    def departing(config) -> int:
        return sum(part.departs for stage in diagram(config) for branch in stage.branches for part in branch.parts)

    marks = [departing(ReferenceConfig(mended=DEPARTURES[:count])) for count in range(len(DEPARTURES) + 1)]
    assert marks == sorted(marks, reverse=True)
    assert (marks[-1], departing(ViTConfig())) == (1, 0)  # its mean includes the class token to the end


def test_the_diagram_needs_no_torch():
    code = "import sys; from vit.cost.diagram import *; diagram(ViTConfig()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.title)
def test_the_rows_of_the_table_sum_to_its_totals(config):
    summary = summarise(config, batch=2)
    assert sum(row.parameters for row in summary.rows) == summary.parameters == count_parameters(diagram(config))
    assert sum(row.multiply_adds for row in summary.rows) == summary.multiply_adds
    names = [row.name for row in summary.rows]
    assert len(set(names)) == len(names)


def test_the_table_of_the_course_network_has_the_report_s_totals():
    summary = summarise(ReferenceConfig(), batch=16)
    assert summary.parameters == 52_213_253
    assert round(summary.multiply_adds / 1e6, 2) == 859.00
    rows = {row.name: row for row in summary.rows}
    assert rows["cls_token, pos_embed"].parameters == 2_304
    assert rows["blocks.1.mlp.fc1"].output == (16, 4352)
    assert rows["patch_embed"].output == (16, 128, 4, 4)


def test_each_patch_has_its_map_of_similarities_at_its_own_place():
    similarity = np.arange(36, dtype=np.float32).reshape(2, 3, 2, 3) / 36
    heatmap = plots.position_maps(similarity).data[0]
    sheet = np.array(heatmap.z)
    assert sheet.shape == (5, 11)
    np.testing.assert_array_equal(sheet[3:5, 8:11], similarity[1, 2])
    assert np.isnan(sheet[2]).all()
    assert np.isnan(sheet[:, [3, 7]]).all()
    assert heatmap.text[4][9] == "patch r2 c3 with patch r2 c2<br>"


def test_one_patch_alone_still_has_a_scale():
    heatmap = plots.position_maps(np.ones((1, 1, 1, 1), dtype=np.float32)).data[0]
    assert heatmap.zmax > heatmap.zmin

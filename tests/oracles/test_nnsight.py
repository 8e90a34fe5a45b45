"""Activation patching equals nnsight's interventions on timm's network (make oracles)."""

import pytest
import torch

nnsight = pytest.importorskip("nnsight", reason="make oracles installs nnsight", exc_type=ImportError)

from tests.explain.patching.test_patch import pictures
from tests.helpers.timm_parts import pair_of_models
from vit.explain.maps.target import Target
from vit.explain.patching.patch import patch_each, record_runs

LAYERS = (0, 1, 2)


@pytest.mark.parametrize("settings", [{}, {"global_pool": "avg", "reg_tokens": 2, "init_values": 0.3}])
def test_patching_equals_nnsight(settings):
    theirs, ours = pair_of_models(**settings)
    clean, corrupt = pictures()
    runs, traced = record_runs(ours, clean, corrupt, Target(1, 3)), nnsight.NNsight(theirs)
    width = 8

    def difference(site: str, layer: int, unit: int) -> float:
        own, block = slice(unit * width, (unit + 1) * width), traced.blocks[layer]
        with torch.no_grad(), traced.trace(clean):
            match site:
                case "residual":
                    source = block.input.clone().save()
                case "head":
                    source = block.attn.proj.input.clone().save()
                case "mlp":
                    source = block.ls2.output.clone().save()
                case "pattern":
                    source = block.attn.attn_drop.output.clone().save()
                case _:
                    source = block.attn.qkv.output.clone().save()
        with torch.no_grad(), traced.trace(corrupt):
            match site:
                case "residual":
                    block.input[:, unit] = source[:, unit]
                case "head":
                    block.attn.proj.input[:, :, own] = source[:, :, own]
                case "mlp":
                    block.ls2.output[:, unit] = source[:, unit]
                case "pattern":
                    block.attn.attn_drop.output[:, unit] = source[:, unit]
                case _:
                    start = 24 * "qkv".index(site) + unit * width
                    block.attn.qkv.output[:, :, start : start + width] = source[:, :, start : start + width]
            logits = traced.output.clone().save()
        return float(logits[0, 1] - logits[0, 3])

    for site in ("head", "pattern", "q", "k", "v", "mlp", "residual"):
        found = patch_each(runs, site)
        for layer in LAYERS:
            for unit in (0, 2):
                assert found[layer, unit] == pytest.approx(difference(site, layer, unit), abs=1e-5), (site, layer, unit)

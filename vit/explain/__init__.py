"""Look inside a model: attention, relevance maps, heads, tokens and changes, as arrays."""

from vit.explain.faithfulness.measure import measure_faithfulness
from vit.explain.faithfulness.result import MEASURES, Faithfulness
from vit.explain.heads.portrait_result import Portraits
from vit.explain.heads.portraits import portraits
from vit.explain.heads.votes import Votes, votes
from vit.explain.interventions.cover import FILLS, cover
from vit.explain.maps.attention import (
    FUSIONS,
    attention_gradient,
    chefer,
    gradient_rollout,
    last_attention,
    relevance_maps,
    rollout,
    token_grad_cam,
)
from vit.explain.maps.attribution import gain_over_blank, integrated_gradients, occlusion
from vit.explain.maps.class_map import ClassMap, class_map
from vit.explain.maps.contributions import contributions
from vit.explain.maps.gradcam import grad_cam
from vit.explain.maps.methods import METHODS, Method, methods_for, reason_unavailable
from vit.explain.maps.target import Target
from vit.explain.patching.patch import PatchRuns, attribute_each, patch_each, patch_together, record_runs
from vit.explain.recording import (
    MIXED_POSITIONS,
    OVER_QUERIES,
    Layer,
    Record,
    attention_arrays,
    capture,
    capture_tokens,
    class_probabilities,
    prefix_share,
    recompute,
    token_maps,
    token_rows,
)
from vit.explain.tokens.logit_lens import prediction_stable_from, prominent_classes, summary_lens, token_lens
from vit.explain.tokens.states import (
    PrincipalComponents,
    principal_components,
    similarity_to,
    token_norms,
    token_similarity,
    token_states,
)

__all__ = [
    "FILLS",
    "FUSIONS",
    "MEASURES",
    "METHODS",
    "MIXED_POSITIONS",
    "OVER_QUERIES",
    "ClassMap",
    "Faithfulness",
    "Layer",
    "Method",
    "PatchRuns",
    "Portraits",
    "PrincipalComponents",
    "Record",
    "Target",
    "Votes",
    "attention_arrays",
    "attention_gradient",
    "attribute_each",
    "capture",
    "capture_tokens",
    "chefer",
    "class_map",
    "class_probabilities",
    "contributions",
    "cover",
    "gain_over_blank",
    "grad_cam",
    "gradient_rollout",
    "integrated_gradients",
    "last_attention",
    "measure_faithfulness",
    "methods_for",
    "occlusion",
    "patch_each",
    "patch_together",
    "portraits",
    "prediction_stable_from",
    "prefix_share",
    "principal_components",
    "prominent_classes",
    "reason_unavailable",
    "recompute",
    "record_runs",
    "relevance_maps",
    "rollout",
    "similarity_to",
    "summary_lens",
    "token_grad_cam",
    "token_lens",
    "token_maps",
    "token_norms",
    "token_rows",
    "token_similarity",
    "token_states",
    "votes",
]

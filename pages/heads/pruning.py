"""Pruning curve: accuracy or loss as heads are removed one after another, by rankings and in random orders."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.ui import cached_models, link_state
from pages.ui.background import background
from pages.ui.downloads import downloads, plotly_config
from vit import plots
from vit.config import TransformerConfig
from vit.data import Split
from vit.explain.heads.ablation import RANKING, Ablation, Importance, Outcome, accuracy_lost
from vit.explain.heads.pruning import Pruning, pruning
from vit.explain.heads.stored import PRUNING
from vit.explain.interventions.head_changes import Means
from vit.explain.passes.sample import MEASURED, RANKED, sample
from vit.runs import Run

RANKINGS = {"loss": "loss gained", "gradient": "gradient", "gradient-by-layer": "gradient, by layer"}
QUANTITIES = {"accuracy": "Accuracy", "loss": "Loss"}
SEEDS = 5


def show_pruning(
    run: Run,
    config: TransformerConfig,
    split: Split,
    images: int,
    ablation: Ablation,
    importance: Importance,
    means: Means,
    *,
    auto: bool,
) -> None:
    """Show accuracy or loss as heads are removed, by each ranking and in random orders.

    Args:
        run: the run of the network.
        config: the settings of the network.
        split: the images that the network is judged on.
        images: how many of them are used.
        ablation: what replaces the output of a removed head.
        importance: the importance of the heads, which ranks them.
        means: the mean outputs of the heads.
        auto: whether the measurement starts without a click.
    """
    model, info = cached_models.load_model(run)
    chosen = sample(model, info, split, images, MEASURED)
    orders: dict[str, Sequence[tuple[int, int]]] = {
        name: importance.select(RANKED).order(name, ablation) for name in RANKING
    }
    result: Pruning | None = background(
        ("pruning", *cached_models.measured_on(run), images, ablation),
        lambda progress: pruning(model, chosen, orders, ablation, means, seeds=SEEDS, progress=progress),
        label=f"Remove the heads one after another, on {chosen.images:,} images",
        auto=auto,
        stored=cached_models.place_of(run, PRUNING, split, {"images": images, "ablation": ablation, "seeds": SEEDS}),
    )
    if result is None:
        return
    link_state.among("pruned", QUANTITIES, "accuracy")
    quantity = st.segmented_control(
        "Quantity",
        list(QUANTITIES),
        default="accuracy",
        required=True,
        format_func=QUANTITIES.__getitem__,
        key="pruned",
        bind="query-params",
        persist_state="session",
    )
    share = quantity == "accuracy"

    def values(outcome: Outcome) -> np.ndarray:
        return outcome.accuracy if share else outcome.mean_loss

    errors = {
        name: one.accuracy_error if share else one.loss.std(axis=-1) / np.sqrt(one.loss.shape[-1])
        for name, one in result.ranked.items()
    }
    ranked = {name: values(one) for name, one in result.ranked.items()}
    random = values(result.random)
    st.plotly_chart(
        plots.pruning_curve(
            result.gone.tolist(),
            ranked,
            random,
            titles=RANKINGS,
            errors=errors,
            quantity=f"{QUANTITIES[quantity]} on {chosen.images:,} images",
            share=share,
        ),
        key="pruning_curve",
        config=plotly_config(f"{run.name}-pruning"),
        alt=f"{QUANTITIES[quantity]} against the number of removed heads",
    )
    st.markdown(describe_pruning(result, config.depth * config.num_heads))
    st.caption(
        f"Ranked on {len(importance.select(RANKED).before.loss):,} images, measured on {chosen.images:,} others. "
        f"Removed heads output {'zeros' if ablation == 'zero' else 'their mean'}. "
        f"The grey band is the range of {SEEDS} random orders."
    )
    downloads(
        f"{run.name}-pruning",
        key="pruning",
        arrays=lambda: {
            "gone": result.gone,
            "random_accuracy": result.random.accuracy,
            "random_loss": result.random.mean_loss,
            **{f"{name}_accuracy": one.accuracy for name, one in result.ranked.items()},
            **{f"{name}_loss": one.mean_loss for name, one in result.ranked.items()},
            **{f"{name}_order": np.array(order) + 1 for name, order in result.orders.items()},
        },
        table=lambda: _pruning_rows(result),
    )


def describe_pruning(result: Pruning, heads: int) -> str:
    """Say how many heads can be removed by the loss ranking, and the accuracy without any head."""
    outcome = result.ranked["loss"]
    can_go = 0
    for place, gone in enumerate(result.gone):
        lost = accuracy_lost(outcome.at(0), outcome.at(place))
        if lost.value > 0 and not lost.by_chance:
            break
        can_go = int(gone)
    none = f"Without any head, the accuracy is still {outcome.accuracy[-1]:.1%}: the residual stream carries each "
    none += "patch's own content past the heads, and the rest of the network classifies it."
    if can_go == heads:
        return f"**All {heads} heads can be removed** without a fall of the accuracy beyond chance. {none}"
    return (
        f"**{can_go} of {heads} heads** can be removed, the least important first by the loss, before the accuracy "
        f"falls by more than chance. {none}"
    )


def _pruning_rows(result: Pruning) -> Sequence[dict]:
    return [
        {
            "heads gone": int(gone),
            **{f"accuracy by {name}": float(one.accuracy[at]) for name, one in result.ranked.items()},
            **{f"loss by {name}": float(one.mean_loss[at]) for name, one in result.ranked.items()},
            "accuracy, random mean": float(result.random.accuracy[:, at].mean()),
            "accuracy, random lowest": float(result.random.accuracy[:, at].min()),
            "accuracy, random highest": float(result.random.accuracy[:, at].max()),
        }
        for at, gone in enumerate(result.gone)
    ]

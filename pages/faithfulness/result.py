"""What was measured: the verdict in words, the table, and how far each method is ahead of chance."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from pages.faithfulness.help import MEASURES, NO_MASKS, NO_OBJECT
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain
from vit.pictures.colours import PALETTE, RIGHT, with_opacity
from vit.plots.faithfulness import Comparison, advantage_forest
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Faithfulness

BADGES = {
    "evidence": ":green-badge[:material/check: evidence]",
    "partly": ":orange-badge[:material/contrast: in part]",
    "decoration": ":gray-badge[:material/brush: decoration]",
}
FEW = 100  # images
BETTER, CHANCE = (
    f"background-color: {with_opacity(colour, share)}" for colour, share in ((RIGHT, 0.2), (PALETTE["grey"], 0.14))
)


def show_verdict(result: "Faithfulness") -> None:
    """Which maps are evidence and which decoration, then a sentence for each."""
    from vit.explain.faithfulness.verdict import strongest_chance_map, summary, verdicts

    with st.container(border=True):
        for sentence in summary(result).values():
            first, rest = sentence.split(":", 1)
            st.markdown(f"**{first}**:{rest}")
        count = len(result.images)
        few = (
            " So few images leave intervals wide: what is no better here may be better on more." if count < FEW else ""
        )
        st.caption(
            f"On {count} validation images. Evidence is what beats the best row of chance on all four curves, "
            f"decoration what does so on none. The row that was hardest to beat: {strongest_chance_map(result)}.{few}"
        )
    lines = [
        f"- {BADGES[found.kind]} **{result.row(name).title}**: {found.sentence}."
        for name, found in verdicts(result).items()
    ]
    st.markdown("\n".join(lines))
    for name, reason in result.refused.items():
        st.caption(f"Left out: {plain(name)}. {plain(reason)}")


def table(result: "Faithfulness") -> pd.DataFrame:
    """A row for each method and each row of chance, a column for each measure: the mean and its interval."""
    rows = []
    for row in result.rows:
        cells = {"Map": row.title, "Kind": "chance" if row.chance else "method"}
        for name, measure in result.measures.items():
            score, advantage = result.scores[row.name][name], result.advantages.get(row.name, {}).get(name)
            mark = " ✓" if advantage is not None and advantage.better else ""
            cells[header(measure)] = f"{score.mean:.3f} [{score.low:.2f}, {score.high:.2f}]{mark}"
        rows.append(cells)
    return pd.DataFrame(rows)


def header(measure) -> str:
    """A measure's title with an arrow in the direction that is good."""
    return f"{measure.title} {'↑' if measure.sign > 0 else '↓'}"


def _style(row: pd.Series) -> list[str]:
    if row["Kind"] == "chance":
        return [CHANCE] * len(row)
    return [BETTER if str(cell).endswith("✓") else "" for cell in row]


def show_table(run: Run, result: "Faithfulness") -> None:
    """The table, what its signs mean, and its numbers to take along."""
    frame = table(result)
    st.dataframe(
        frame.style.apply(_style, axis=1),
        hide_index=True,
        height=35 * (len(frame) + 1) + 3,
        column_config={
            "Map": st.column_config.TextColumn(pinned=True, width=250),
            "Kind": st.column_config.TextColumn(width=70, help="A method, or a row of chance that it is held against."),
        }
        | {header(it): st.column_config.TextColumn(help=MEASURES[name]) for name, it in result.measures.items()},
        alt="Every measure of every method and row of chance",
    )
    st.caption(
        "Mean over the images and its 95 % interval. ↓ less is better, ↑ more is better. ✓ and blue: better than the "
        "best row of chance, by the interval of the paired differences below. Grey: rows of chance."
    )
    if result.object_shares is None:
        st.caption(NO_MASKS)
    elif not result.counted.any():
        st.caption(NO_OBJECT)
    elif left := int((~result.counted).sum()):
        st.caption(
            f"In {left} of the {len(result.images)} images the object fills half of no patch; the last three columns "
            "leave them out."
        )
    downloads(
        f"{run.name}-faithfulness",
        key="faithfulness",
        arrays=lambda: arrays(result),
        table=lambda: list(numbers(result)),
    )


def numbers(result: "Faithfulness") -> Iterator[dict]:
    """The table as one row for each map and measure."""
    for row in result.rows:
        for name in result.measures:
            score, advantage = result.scores[row.name][name], result.advantages.get(row.name, {}).get(name)
            yield {
                "map": row.name,
                "kind": "chance" if row.chance else "method",
                "measure": name,
                "mean": score.mean,
                "low": score.low,
                "high": score.high,
                "advantage": advantage and advantage.mean,
                "advantage_low": advantage and advantage.low,
                "advantage_high": advantage and advantage.high,
                "against": advantage and advantage.against,
                "better_than_chance": advantage and advantage.better,
            }


def arrays(result: "Faithfulness") -> dict[str, np.ndarray]:
    """Maps, orders, curves and values of every image."""
    found = {"images": result.images, "labels": result.labels, "counts": result.counts}
    if result.object_shares is not None:
        found["object_shares"] = result.object_shares
    for row in result.rows:
        found |= {f"{row.name}/maps": row.maps, f"{row.name}/orders": row.orders, f"{row.name}/curves": row.curves}
        found |= {f"{row.name}/{name}": values for name, values in row.values.items()}
    return found


def show_advantages(run: Run, result: "Faithfulness") -> None:
    """The paired differences, those of the curves beside those of the masks."""
    st.subheader("How far ahead of chance", anchor=False)
    st.caption(
        "For each image, the method against its best row of chance; the point is the mean of these differences, the "
        "bar its 95 % interval. A bar that touches the line at 0: no better than chance. Right of it is better, "
        "whichever way the measure counts."
    )
    groups = {
        "What the network itself loses and gains": [name for name, it in result.measures.items() if not it.of_masks],
        "Whether the map finds the object": [name for name, it in result.measures.items() if it.of_masks],
    }
    shown = {title: names for title, names in groups.items() if names}
    with st.grid(len(shown), min_column_width=400, gap="large") as row:
        for index, (title, names) in enumerate(shown.items()):
            with row.cell():
                st.markdown(f"**{title}**")
                st.plotly_chart(
                    advantage_forest(comparisons(result, names)),
                    key=f"forest_{index}",
                    config=plotly_config(f"{run.name}-advantages-{index + 1}"),
                    alt=f"{title}: each method's mean advantage over chance, with its interval",
                )


def comparisons(result: "Faithfulness", names: list[str]) -> list[Comparison]:
    """Every method's comparison with chance on some measures, a measure after the other."""
    found = []
    for name in names:
        for row in result.methods:
            it = result.advantages[row.name][name]
            against = result.row(it.against).title
            found.append(Comparison(result.measures[name].title, row.title, against, it.mean, it.low, it.high))
    return found

"""Show a measurement: the verdict, the table of all measures, and the advantage of each method over control maps."""

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
    from vit.explain.faithfulness.result import Measure, ResultRow

BADGES = {
    "evidence": ":green-badge[:material/check: supported]",
    "partly": ":orange-badge[:material/contrast: partly supported]",
    "decoration": ":gray-badge[:material/close: not supported]",
}
FEW_IMAGES = 100
BETTER_STYLE, CONTROL_STYLE = (
    f"background-color: {with_opacity(colour, share)}" for colour, share in ((RIGHT, 0.2), (PALETTE["grey"], 0.14))
)


def show_verdict(result: "Faithfulness") -> None:
    """Show which maps are supported, and the comparison of each method with the control maps."""
    from vit.explain.faithfulness.verdict import strongest_chance_map, summary, verdicts

    with st.container(border=True):
        for sentence in summary(result).values():
            first, rest = sentence.split(":", 1)
            st.markdown(f"**{first}**:{rest}")
        count = len(result.images)
        few = (
            " With few images the intervals are wide: a method that is no better here may be better on more images."
            if count < FEW_IMAGES
            else ""
        )
        st.caption(
            f"On {count} validation images. Supported: better than the best control map on all four curves. Not "
            f"supported: on no curve. The control that was hardest to beat: {strongest_chance_map(result)}.{few}"
        )
    lines = [
        f"- {BADGES[found.kind]} **{result.row(name).title}**: {found.sentence}."
        for name, found in verdicts(result).items()
    ]
    st.markdown("\n".join(lines))
    for name, reason in result.refused.items():
        st.caption(f"Left out: {plain(name)}. {plain(reason)}")


def kind_of(row: "ResultRow") -> str:
    """Return the word for a row, on the page and in its files: "method" or "control"."""
    return "control" if row.chance else "method"


def measures_table(result: "Faithfulness") -> pd.DataFrame:
    """Return mean and interval of each measure (columns) for each method and control map (rows)."""
    rows = []
    for row in result.rows:
        cells = {"Map": row.title, "Kind": kind_of(row)}
        for name, measure in result.measures.items():
            score, advantage = result.scores[row.name][name], result.advantages.get(row.name, {}).get(name)
            mark = " ✓" if advantage is not None and advantage.better else ""
            cells[column_title(measure)] = f"{score.mean:.3f} [{score.low:.2f}, {score.high:.2f}]{mark}"
        rows.append(cells)
    return pd.DataFrame(rows)


def column_title(measure: "Measure") -> str:
    """Return a measure's title with an arrow in the direction of better values."""
    return f"{measure.title} {'↑' if measure.sign > 0 else '↓'}"


def _style(row: pd.Series) -> list[str]:
    if row["Kind"] == "control":
        return [CONTROL_STYLE] * len(row)
    return [BETTER_STYLE if str(cell).endswith("✓") else "" for cell in row]


def show_measures(run: Run, result: "Faithfulness") -> None:
    """Show the table of all measures with its legend and downloads."""
    frame = measures_table(result)
    st.dataframe(
        frame.style.apply(_style, axis=1),
        hide_index=True,
        height=35 * (len(frame) + 1) + 3,
        column_config={
            "Map": st.column_config.TextColumn(pinned=True, width=250),
            "Kind": st.column_config.TextColumn(
                width=70, help="A method, or a control map that methods are compared with."
            ),
        }
        | {column_title(it): st.column_config.TextColumn(help=MEASURES[name]) for name, it in result.measures.items()},
        alt="Every measure of every method and control map",
    )
    st.caption(
        "Mean over the images and its 95 % interval. ↓ less is better, ↑ more is better. ✓ and blue: better than the "
        "best control map, judged by the interval of the paired differences below. Grey: control maps."
    )
    if result.object_shares is None:
        st.caption(NO_MASKS)
    elif not result.counted.any():
        st.caption(NO_OBJECT)
    elif left := int((~result.counted).sum()):
        st.caption(
            f"In {left} of the {len(result.images)} images no patch is at least half object; the last three columns "
            "leave them out."
        )
    downloads(
        f"{run.name}-faithfulness",
        key="faithfulness",
        arrays=lambda: image_arrays(result),
        table=lambda: list(measure_records(result)),
    )


def measure_records(result: "Faithfulness") -> Iterator[dict]:
    """Yield one record for each map and measure, for the download of the table."""
    for row in result.rows:
        for name in result.measures:
            score, advantage = result.scores[row.name][name], result.advantages.get(row.name, {}).get(name)
            yield {
                "map": row.name,
                "kind": kind_of(row),
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


def image_arrays(result: "Faithfulness") -> dict[str, np.ndarray]:
    """Return maps, orders, curves and values of every image, for the download of arrays."""
    found = {"images": result.images, "labels": result.labels, "counts": result.counts}
    if result.object_shares is not None:
        found["object_shares"] = result.object_shares
    for row in result.rows:
        found |= {f"{row.name}/maps": row.maps, f"{row.name}/orders": row.orders, f"{row.name}/curves": row.curves}
        found |= {f"{row.name}/{name}": values for name, values in row.values.items()}
    return found


def show_advantages(run: Run, result: "Faithfulness") -> None:
    """Show the paired differences between methods and control maps, for the curves and for the masks."""
    st.subheader("Advantage over control maps", anchor=False)
    st.caption(
        "For each image, the method is compared with its best control map. The point is the mean of these differences, "
        "the bar its 95 % interval. Right of the line at 0 is better, for every measure. A bar that touches the line "
        "means: no better than chance."
    )
    groups = {
        "Effect on the network's answer": [name for name, it in result.measures.items() if not it.of_masks],
        "Overlap with the object": [name for name, it in result.measures.items() if it.of_masks],
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
                    alt=f"{title}: mean advantage of each method over its best control map, with its interval",
                )


def comparisons(result: "Faithfulness", names: list[str]) -> list[Comparison]:
    """Return the comparison of every method with its best control map, grouped by measure."""
    found = []
    for name in names:
        for row in result.methods:
            it = result.advantages[row.name][name]
            against = result.row(it.against).title
            found.append(Comparison(result.measures[name].title, row.title, against, it.mean, it.low, it.high))
    return found

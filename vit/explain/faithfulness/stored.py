"""How the faithfulness of maps is stored in a run's folder: see :mod:`vit.results.stored`."""

import numpy as np

from vit.explain.faithfulness.measure import name_rows, step_counts
from vit.explain.faithfulness.result import UNTRAINED, Faithfulness, ResultRow, measure_values
from vit.explain.maps.methods import METHODS
from vit.results.kinds import Array, Arrays, Kind


def _pack(found: Faithfulness) -> Arrays:
    shares = found.object_shares
    return {
        "names": np.array([row.name for row in found.rows]),
        "maps": np.stack([row.maps for row in found.rows]),
        "orders": np.stack([row.orders for row in found.rows]),
        "curves": np.stack([row.curves for row in found.rows]),
        "measured": found.images,
        "labels": found.labels,
        "shares": np.zeros((len(found.images), 0)) if shares is None else shares,
        "refused": np.array(list(found.refused), dtype=np.str_),
        "reasons": np.array(list(found.refused.values()), dtype=np.str_),
        "seed": np.array(found.seed),
    }


def _unpack(arrays: Arrays) -> Faithfulness:
    maps, orders, curves, labels = (arrays[name] for name in ("maps", "orders", "curves", "labels"))
    images, grid = arrays["measured"], (maps.shape[2], maps.shape[3])
    patches = grid[0] * grid[1]
    counts, shares = step_counts(patches), arrays["shares"] if arrays["shares"].shape[1] else None
    names, refused = arrays["names"].tolist(), arrays["refused"].tolist()
    given = {name: METHODS[name] for name in names if name + UNTRAINED in names}
    titles = name_rows(given)
    if names != [name for name, *_ in titles] or not set(refused) <= METHODS.keys():
        raise ValueError("The rows are not those that are measured.")
    if orders.shape[2] != patches or not (np.sort(orders) == np.arange(patches)).all():
        raise ValueError("The orders are not those of the patches.")
    if curves.shape[-1] != len(counts) or not ((curves >= 0) & (curves <= 1.001)).all():
        raise ValueError("The curves are not those of probabilities.")
    if (labels < 0).any() or (images < 0).any() or (shares is not None and shares.shape[1] != patches):
        raise ValueError("The images or the objects in them are impossible.")
    rows = tuple(
        ResultRow(*title, heat, ranked, along, measure_values(heat, ranked, along, counts, shares))
        for title, heat, ranked, along in zip(titles, maps, orders, curves, strict=True)
    )
    reasons = dict(zip(refused, arrays["reasons"].tolist(), strict=True))
    return Faithfulness(rows, images, labels, grid, counts, shares, reasons, int(arrays["seed"]))


FAITHFULNESS: Kind[Faithfulness] = Kind(
    "faithfulness",
    {
        "names": Array("str", "rows"),
        "maps": Array("float32", "rows measured down across"),
        "orders": Array("int64", "rows measured patches"),
        "curves": Array("float32", "rows measured fills 2 points"),
        "measured": Array("int64", "measured"),
        "labels": Array("int64", "measured"),
        "shares": Array("float64", "measured shared"),
        "refused": Array("str", "refused"),
        "reasons": Array("str", "refused"),
        "seed": Array("int64"),
    },
    _pack,
    _unpack,
)

"""Summarise a faithfulness measurement in words: which maps are supported as evidence, and which are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vit.explain.faithfulness.chance_maps import CHANCE_MAPS
from vit.explain.faithfulness.result import CURVE_KINDS, MEASURES, Faithfulness
from vit.explain.interventions.cover import FILLS

VerdictKind = Literal["evidence", "partly", "decoration"]


@dataclass(frozen=True)
class Verdict:
    """The comparison of one method with its best controls.

    Attributes:
        better, no_better, worse: names of measures; ``no_better`` are those whose interval includes zero.
        kind: ``evidence`` if the method is better on every curve, ``partly`` on some, ``decoration`` on none. Only the
            curves count, because they use the model. A mask shows where people see the object, which need not be what
            the model uses.
        learned: whether the method is better on some curve than itself on untrained weights. If not, its map does not
            depend on what was learned (Adebayo et al. 2018).
    """

    better: tuple[str, ...]
    no_better: tuple[str, ...]
    worse: tuple[str, ...]
    kind: VerdictKind
    learned: bool

    @property
    def sentence(self) -> str:
        """The verdict as a phrase, such as "better than chance on ...; no better than chance on ..."."""
        own = "" if self.learned else "; not better on any curve than its own map from untrained weights"
        if not self.no_better and not self.worse:
            return "better than chance on every measure"
        if not self.better and not self.worse:
            return f"no better than chance on any measure{own}"
        said = []
        if self.better:
            said.append(f"better than chance on {_titles(self.better)}")
        if self.no_better:
            said.append(f"no better than chance on {_titles(self.no_better)}")
        if self.worse:
            said.append(f"worse than chance on {_titles(self.worse)}")
        return "; ".join(said) + own


def verdict(result: Faithfulness, method: str) -> Verdict:
    """Return the verdict on a method."""
    found, untrained = result.advantages[method], result.over_untrained[method]
    better = tuple(name for name, it in found.items() if it.better)
    worse = tuple(name for name, it in found.items() if it.worse)
    no_better = tuple(name for name in found if name not in better + worse)
    curves = [name for name in found if not MEASURES[name].of_masks]
    beaten = [found[name].better for name in curves]
    kind: VerdictKind = "evidence" if all(beaten) else "partly" if any(beaten) else "decoration"
    return Verdict(better, no_better, worse, kind, learned=any(untrained[name].better for name in curves))


def verdicts(result: Faithfulness) -> dict[str, Verdict]:
    """Return the verdict on every method by name; ``evidence`` comes first, ``decoration`` last."""
    found = {row.name: verdict(result, row.name) for row in result.methods}
    return dict(sorted(found.items(), key=lambda item: get_args(VerdictKind).index(item[1].kind)))


def summary(result: Faithfulness) -> dict[VerdictKind, str]:
    """Return a sentence for each kind of verdict, which lists the maps of this kind."""
    found = verdicts(result)
    titles = {
        kind: [row.title for row in result.methods if found[row.name].kind == kind] for kind in get_args(VerdictKind)
    }
    sentences: dict[VerdictKind, str] = {
        "evidence": "Supported as evidence of what this network uses: {}, better than chance on every curve.",
        "partly": "Partly supported: {}, better than chance on some curves and not on others.",
        "decoration": "Not supported: {}, no better than chance on any curve.",
    }
    return {kind: sentences[kind].format(_listed(names)) for kind, names in titles.items() if names}


def strongest_chance_map(result: Faithfulness) -> str:
    """Return the control that was most often the best one, over all methods and curves, as a phrase."""
    against = [
        CHANCE_MAPS[it.against].phrase if it.against in CHANCE_MAPS else "the methods' own maps from untrained weights"
        for found in result.advantages.values()
        for name, it in found.items()
        if not MEASURES[name].of_masks
    ]
    return max(sorted(set(against)), key=against.count)


def _titles(names: Sequence[str]) -> str:
    """List measures within a sentence; both fills of a kind of curve are combined under its name."""
    said: list[str] = []
    for kind in CURVE_KINDS:
        fills = [fill for fill in FILLS if f"{kind}_{fill}" in names]
        said += [kind] if len(fills) == len(FILLS) else [MEASURES[f"{kind}_{fill}"].phrase for fill in fills]
    return _listed(said + [MEASURES[name].phrase for name in names if MEASURES[name].of_masks])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

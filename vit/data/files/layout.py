"""Decide from the names of files and folders which folders are the classes, and which are the splits.

    photos/train/cat/1.jpg  photos/val/cat/2.jpg      with validation images, and perhaps test/ beside them
    photos/cat/1.jpg        photos/dog/2.jpg          one in five is used for validation

The outermost folder may be missing. Where a folder can be read in two ways, a remark says which was chosen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vit.data.files.file_names import by_number, can_be_image, has_image_suffix
from vit.errors import DataError

Parts = tuple[str, ...]
"""The names of folders, and of a file, from the top of the data set."""

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "dev")
TEST = ("test", "testing")
"""Names of the folders of the splits; the first one that exists is used. Without VAL, TEST is used for validation."""
_NO_CLASS = ("unlabeled", "unlabelled", "annotations", "labels", "masks", "extra", "sample", "samples")
"""Folders that often lie beside train/ and are no classes."""
_LISTED = 5


@dataclass(frozen=True)
class Layout:
    """Where the classes and the splits are.

    Attributes:
        base: the folder that contains the classes or the splits.
        class_names: in order.
        train: the folder that contains the classes to train on; None if there are only ``val`` and ``test``.
        val, test: the same for the other splits; None if there is none.
        remarks: sentences about choices that the user should know.
    """

    base: Parts
    class_names: tuple[str, ...]
    train: Parts | None
    val: Parts | None = None
    test: Parts | None = None
    remarks: tuple[str, ...] = ()

    @property
    def roots(self) -> dict[str, Parts]:
        """The folder of each split."""
        found = {"train": self.train, "val": self.val, "test": self.test}
        return {split: folder for split, folder in found.items() if folder is not None}

    def require_train(self, name: str) -> None:
        """Check that there are images to train on.

        Raises:
            DataError: there are none.
        """
        if self.train is None:
            other = self.val or self.test or (*self.base, "val")
            raise DataError(f"{name} has {other[-1]}/ but no train/: add the training images in a folder train/.")


def find_layout(name: str, files: Iterable[Parts], folders: set[Parts], *, to_train: bool = True) -> Layout:
    """Find the classes and the splits of a data set.

    Args:
        name: what the data set is called in messages.
        files: the names of the files.
        folders: the names of the folders.
        to_train: whether training images are needed.

    Raises:
        DataError: there are fewer than two classes, or a split has classes that the training images lack.
    """
    tree = _Tree(files, folders)
    base = tree.unwrapped()
    layout = _split_layout(tree, base) or _plain_layout(tree, base)
    if to_train:
        layout.require_train(name)
    place = f"{name}, {layout.train[-1]}/" if layout.train and layout.train != base else name
    if len(layout.class_names) < 2:
        count = len(layout.class_names)
        raise DataError(
            f"{place} has {count or 'no'} class{'' if count else 'es'}: "
            "put the images into at least two folders, one for each class."
        )
    remarks = [*layout.remarks, *_missing_classes(name, tree, layout), *_unused(tree, layout)]
    if layout.val and layout.val == layout.test:
        remarks.append(f"{layout.test[-1]}/ is used for validation, because there is no val/.")
    return Layout(base, layout.class_names, layout.train, layout.val, layout.test, tuple(remarks))


class _Tree:
    """The folders of a data set, and how many possible images each holds."""

    def __init__(self, files: Iterable[Parts], folders: set[Parts]) -> None:
        self.images: Counter[Parts] = Counter()
        """Possible images in each folder and the folders below it."""
        self.direct: Counter[Parts] = Counter()
        """Possible images in each folder itself."""
        for parts in files:
            if can_be_image(parts[-1]):
                self.direct[parts[:-1]] += 1
        for folder, count in self.direct.items():
            for depth in range(len(folder) + 1):
                self.images[folder[:depth]] += count
        self._inside: dict[Parts, list[Parts]] = {}
        for folder in folders:
            self._inside.setdefault(folder[:-1], []).append(folder)

    def inside(self, folder: Parts) -> list[Parts]:
        """Return the folders directly in a folder."""
        return self._inside.get(folder, [])

    def with_images(self, folder: Parts) -> list[Parts]:
        """Return the folders directly in a folder that hold images."""
        return [inner for inner in self.inside(folder) if self.images[inner]]

    def classes(self, folder: Parts) -> tuple[str, ...]:
        """Return the names of the folders in a folder, in order."""
        return tuple(by_number([inner[-1] for inner in self.inside(folder)]))

    def unwrapped(self) -> Parts:
        """Return the folder that contains train/ or the classes, without folders that only wrap another folder."""
        base: Parts = ()
        while len(inside := self.inside(base)) == 1 and not _is_split_name(inside[0], TRAIN) and self.inside(inside[0]):
            base = inside[0]
        return base

    def split(self, base: Parts, names: tuple[str, ...]) -> Parts | None:
        """Return the folder for a split that has folders with images; the first name counts most."""
        found = {folder[-1].lower(): folder for folder in self.inside(base) if self.with_images(folder)}
        return next((found[name] for name in names if name in found), None)


def _is_split_name(folder: Parts, names: tuple[str, ...] = (*TRAIN, *VAL, *TEST)) -> bool:
    return folder[-1].lower() in names


def _split_layout(tree: _Tree, base: Parts) -> Layout | None:
    """Return the layout if train/ and its like are splits; None if they are classes, or there are none of them."""
    train, val, test = (tree.split(base, names) for names in (TRAIN, VAL, TEST))
    named = [folder for folder in tree.inside(base) if _is_split_name(folder)]
    others = [
        folder
        for folder in tree.with_images(base)
        if not _is_split_name(folder) and folder[-1].lower() not in _NO_CLASS
    ]
    judged = val or test
    if train is None:
        if not others and named and len(named) == len(tree.inside(base)):
            first = next((folder for folder in named if _is_split_name(folder, TRAIN)), None)
            return Layout(base, tree.classes(first or judged or named[0]), first, val, test)
        return None
    if others and judged is None and {inner[-1] for inner in tree.inside(train)} - {other[-1] for other in others}:
        return None
    return Layout(base, tree.classes(train), train, val or test, test)


def _plain_layout(tree: _Tree, base: Parts) -> Layout:
    """Return the layout of classes without train/; folders called train or test may be classes."""
    names = tree.classes(base)
    for kinds in (VAL, TEST):
        held_out = tree.split(base, kinds)
        rest = tuple(name for name in names if held_out and name != held_out[-1])
        if held_out and len(rest) >= 2 and set(tree.classes(held_out)) <= set(rest):
            remark = (
                f"{held_out[-1]}/ has folders of the classes beside it: it is read as "
                f"{'test' if kinds is TEST else 'validation'} images, and the other {len(rest)} folders as classes."
            )
            return Layout(base, rest, base, held_out, held_out if kinds is TEST else None, (remark,))
    remarks = []
    for folder in sorted(tree.inside(base)):
        if _is_split_name(folder) and tree.with_images(folder):
            inner = [each[-1] for each in tree.with_images(folder)]
            remarks.append(
                f"{folder[-1]}/ has folders of its own ({_listed(by_number(inner))}), and there are other folders of "
                f"images beside it: all {len(names)} are read as classes, {_listed(names)}. If {folder[-1]}/ holds the "
                "classes, remove the other folders."
            )
    shared = _shared_folders(tree, base)
    if shared:
        remarks.append(
            f"Each of the {len(names)} classes {_listed(names)} has folders called {_listed(shared)}, whose images are "
            "read as images of the outer folder. If the inner folders are the classes, move them together."
        )
    return Layout(base, names, base, remarks=tuple(remarks))


def _shared_folders(tree: _Tree, base: Parts) -> list[str]:
    """Return the names of the inner folders if all classes consist of the same two or more of them."""
    tops = tree.with_images(base)
    inner = [{folder[-1] for folder in tree.with_images(top)} for top in tops]
    same = len(tops) >= 2 and len(inner[0]) >= 2 and all(names == inner[0] for names in inner)
    return by_number(inner[0]) if same and not any(tree.direct[top] for top in tops) else []


def _missing_classes(name: str, tree: _Tree, layout: Layout) -> Iterable[str]:
    """Yield remarks about classes without images in a split.

    Raises:
        DataError: a split has classes that the training images lack.
    """
    own = set(layout.class_names)
    for folder in dict.fromkeys((layout.val, layout.test)):
        if folder is None or layout.train is None:
            continue
        found = {inner[-1] for inner in tree.with_images(folder)}
        if extra := by_number(found - own):
            raise DataError(
                f"{name}: {folder[-1]}/ has {'the class' if len(extra) == 1 else 'classes'} "
                f"{', '.join(repr(item) for item in extra[:_LISTED])} that "
                f"{layout.train[-1] + '/ lacks' if layout.train else 'the others lack'}: give both the same classes."
            )
        if lost := by_number(own - found):
            yield (
                f"{folder[-1]}/ has no images of {'the class' if len(lost) == 1 else f'{len(lost)} classes,'} "
                f"{_listed(lost)}: nothing can be said about how well {'it is' if len(lost) == 1 else 'they are'} "
                "recognised."
            )


def _unused(tree: _Tree, layout: Layout) -> Iterable[str]:
    """Yield remarks about folders of images that belong to no class and no split."""
    used = set(layout.roots.values())
    if layout.base in used:  # the classes lie beside the splits, so every folder is used
        return
    for folder in sorted(tree.with_images(layout.base)):
        if folder not in used:
            count = tree.images[folder]
            files = f"{count:,} file{'' if count == 1 else 's'}"
            yield f"{folder[-1]}/ is not used ({files}): it is no split of the data set."


def loose_images(files: Iterable[Parts], layout: Layout) -> list[Parts]:
    """Return the images that lie in no class: directly in the data set, or in the folder of a split."""
    places = {layout.base, *layout.roots.values()}
    return [parts for parts in sorted(files) if parts[:-1] in places and has_image_suffix(parts[-1])]


def labelled(files: Mapping[Parts, tuple[int, int]], root: Parts, class_names: tuple[str, ...]) -> dict[Parts, int]:
    """Return the label of each file below the folders of the classes, in the order of their names."""
    labels, depth = {name: label for label, name in enumerate(class_names)}, len(root)
    return {
        parts: labels[parts[depth]]
        for parts in sorted(files)
        if len(parts) > depth + 1 and parts[:depth] == root and parts[depth] in labels
    }


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + more

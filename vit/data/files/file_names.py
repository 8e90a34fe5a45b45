"""What the names of files and folders say: which are hidden, which can be images, and how class names are sorted."""

import re

_HIDDEN = frozenset(
    (
        # macOS and Windows
        *("__macosx", "icon\r", "icon_", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("$recycle.bin", "recycler", "system volume information"),
        # network storage of Synology and QNAP
        *("@eadir", "@synoresource", "@sharebin", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("@transcode", "@download"),
        # Linux and programs that keep thumbnails beside the images
        *("lost+found", "picasa.ini", "zbthumbnail.info", "xnview.db", "pspbrwse.jbf", "__pycache__"),
    )
)
"""Names in lower case that systems and programs create in every folder. Names with a dot in front are hidden too."""
_HIDDEN_START = ("synophoto_thumb", "synofile_thumb", "thumbs.db:", "~$")

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".jpf", ".avif", ".heic", ".heif", ".hif"),
)
_OTHER_SUFFIXES = frozenset(
    (
        *(".txt", ".md", ".rst", ".log", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini"),
        *(".cfg", ".html", ".htm", ".css", ".js", ".py", ".ipynb", ".sh", ".bat", ".m", ".r", ".tex", ".bib", ".url"),
        *(".pdf", ".doc", ".docx", ".odt", ".rtf", ".xls", ".xlsx", ".ods", ".ppt", ".pptx", ".odp"),
        *(".db", ".sqlite", ".lnk", ".xmp", ".aae", ".names", ".cache", ".pbtxt", ".license", ".mat"),
    )
)
"""Files that lie beside images: notes, labels, tables and programs."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name belongs to the operating system and not to the user."""
    lower = name.lower()
    return name.startswith(".") or lower in _HIDDEN or lower.startswith(_HIDDEN_START)


def has_image_suffix(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def can_be_image(name: str) -> bool:
    """Return whether a file of this name may be an image, which its content then decides; some have no suffix."""
    dot = name.rfind(".")
    return dot <= 0 or name[dot:].lower() not in _OTHER_SUFFIXES


def by_number(names: set[str] | list[str]) -> list[str]:
    """Return names in order, with the numbers in them by value: 1, 2, 10, and class 2 before class 10."""
    if names and all(re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names, key=_pieces)


def _pieces(name: str) -> tuple:
    """Return a sort key: texts and numbers in turn, and the name itself for names that are equal otherwise."""
    pieces = re.split(r"([0-9]+)", name)
    return (*((piece, 0) if index % 2 == 0 else ("", int(piece)) for index, piece in enumerate(pieces)), (name, 0))

"""``python -m vit report``: the report of a run as an HTML file."""

import argparse
from pathlib import Path

from vit import runs
from vit.cli.common import print_result, say
from vit.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="HTML file to write (default: NAME.html in the current folder)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report.

    Raises:
        UserError: the file cannot be written, or the run cannot be read.
    """
    from vit.exports.report.report import report

    found = runs.get_run(arguments.run)
    out = arguments.out or Path(f"{found.name}.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--out {out} is not an HTML file: choose a name that ends in .html.")
    if not out.absolute().parent.is_dir():  # checked before minutes of work
        raise SettingsError(f"--out {out}: the folder {out.absolute().parent} does not exist: choose an existing one.")
    out.write_text(report(found, say), encoding="utf-8")
    print_result({"run": found.name, "out": str(out)}, arguments.json, str(out))
    return 0

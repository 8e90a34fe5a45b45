"""``vit app``: start the app from any folder."""

import argparse
import os
import subprocess
import sys

from vit.cli.common import say
from vit.paths import checkpoints_dir, data_dir, project_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.usage = "%(prog)s [--port N] [--no-browser] [-- STREAMLIT OPTIONS]"
    parser.add_argument("--port", type=int, metavar="N", help="port of the server (default 8501, or the next free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the app in the browser")
    parser.add_argument(
        "options", nargs="*", metavar="OPTION", help="options of `streamlit run`, such as --server.address=0.0.0.0"
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the server; it takes the place of this process, and ends with Ctrl-C."""
    say(f"runs in {checkpoints_dir()}, images in {data_dir()}")
    command = [sys.executable, "-m", "streamlit", "run", str(project_root() / "streamlit_app.py")]
    if arguments.port is not None:
        command.append(f"--server.port={arguments.port}")
    if arguments.no_browser:
        command.append("--server.headless=true")
    command += arguments.options
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)  # Windows has no exec that keeps the terminal

"""A job's process, ``python -m vit.job``; all that it has to say goes into the run's folder.

It imports no more than waiting needs: while one run trains, many may wait.
"""

import argparse
import faulthandler
import sys
from pathlib import Path

from vit import runs
from vit.errors import UserError
from vit.worker import execute


def main() -> int:
    """Wait, train, and say so in the run's folder; exit status 1 for a run that failed, 2 for one that cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m vit.job")
    parser.add_argument("command", choices=("train", "resume"))
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--ticket", required=True, type=int)
    arguments = parser.parse_args()
    faulthandler.enable()  # a crash inside a library leaves its place in the log
    try:
        status = execute(runs.get_run(arguments.run), resume=arguments.command == "resume", ticket=arguments.ticket)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return int(status.state == "failed")


if __name__ == "__main__":
    sys.exit(main())

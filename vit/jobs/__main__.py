"""A job's process, ``python -m vit.jobs``; all that it has to say goes into the run's folder.

It imports no more than waiting needs: while one run trains, many may wait.
"""

import argparse
import faulthandler
import os
import sys
from pathlib import Path

from vit import runs
from vit.errors import UserError
from vit.jobs.worker import assist, execute


def main() -> int:
    """Wait, train, and say so in the run's folder; exit status 1 for a run that failed, 2 for one that cannot begin.

    With ``assist`` it is one of several processes that train together, started by the first of them.
    """
    parser = argparse.ArgumentParser(prog="python -m vit.jobs")
    parser.add_argument("command", choices=("train", "resume", "assist"))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--ticket", type=int)
    arguments = parser.parse_args()
    faulthandler.enable()  # a crash inside a library leaves its place in the log
    if arguments.command == "assist":
        os._exit(assist())  # the first process waits, and has no second for the interpreter's tidying up
    try:
        status = execute(runs.get_run(arguments.run), resume=arguments.command == "resume", ticket=arguments.ticket)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return int(status.state == "failed")


if __name__ == "__main__":
    sys.exit(main())

"""The process of a job, ``python -m vit.jobs``, and of each rank that a job with several processes starts.

It imports only what waiting needs, because many jobs may wait while one trains.
"""

import argparse
import faulthandler
import os
import sys
from pathlib import Path

from vit import runs
from vit.errors import UserError
from vit.jobs.rank_processes import end_with_parent
from vit.jobs.worker import execute, train_rank
from vit.runs import Run


def main() -> int:
    """Run the job or rank, and return the exit status: 1 for a run that failed, 2 for one that cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m vit.jobs")
    parser.add_argument("command", choices=("train", "resume", "rank"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--ticket", type=int)
    parser.add_argument("--resume", action="store_true", help="rank: resume the run")
    parser.add_argument("--parent", type=int, help="rank: process id of the job")
    arguments = parser.parse_args()
    if arguments.command == "rank":
        end_with_parent(arguments.parent)
        _write_to_log(Run(arguments.run))
        faulthandler.enable()
        os._exit(train_rank(Run(arguments.run), resume=arguments.resume))  # skip the interpreter's slow shutdown
    faulthandler.enable()  # a crash inside a library leaves its stack in the log
    try:
        status = execute(runs.get_run(arguments.run), resume=arguments.command == "resume", ticket=arguments.ticket)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return int(status.state == "failed")


def _write_to_log(run: Run) -> None:
    """Send the output of this process to the run's log, also when the job runs in a terminal."""
    with (run.path / runs.LOG).open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())

"""Describe why a run failed and what to do, from the exception or from the exit status of its process."""

import errno
import os
import re
import signal
from pathlib import Path

from vit.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_MEMORY = re.compile(
    r"out of memory|can(no|')t allocate memory|not enough memory|bad_alloc|bad allocation|MemoryError"
    r"|memory allocation of \d+ bytes failed",
    re.IGNORECASE,
)
PROCESS_STARTS = "A process begins."
"""The line of the log at which a new process starts; lines above it are of an earlier one."""
_SMALLER = "choose a smaller batch, model or image size"
_MEMORY = f"Memory ran out: {_SMALLER}, or close other programs."
_AGAIN = "resume it or start over."
SILENT = f"it ended without an error message, perhaps killed because memory ran out: {_AGAIN}"
"""The reason given for a process whose exit status is unknown."""
_STAMPED = re.compile(r"(\d\d:\d\d:\d\d)  (.+)")
_LINE_MAX = 160


def describe_exception(folder: Path, error: Exception) -> str:
    """Return a sentence on why an exception ended the run in ``folder``, and what to change."""
    cause = error.__cause__
    missing = isinstance(error, FileNotFoundError) or isinstance(cause, FileNotFoundError)
    if missing and not folder.exists():
        return (
            f"The folder {folder} was deleted or moved while it was in use: nothing of this training is left there to "
            "resume. Train it again."
        )
    match error:
        case UserError() if isinstance(cause, OSError) and cause.errno in _FULL:
            return f"{str(error).rstrip('.')}: free some space, then {_AGAIN}"
        case UserError():
            return str(error)
        case OSError(errno=errno.ENOMEM):
            return _MEMORY
        case OSError() if error.errno in _FULL:
            return f"The disk that holds {folder} is full: free some space, then {_AGAIN}"
        case OSError():
            place = f" {Path(error.filename).name}" if isinstance(error.filename, str | os.PathLike) else ""
            why = error.strerror or error
            return f"A file{place} could not be read or written ({why}): fix that, then {_AGAIN}"
        case MemoryError():
            return _MEMORY
    if "cuda" in str(error).lower() and _NO_MEMORY.search(str(error)):
        return f"The device's memory ran out: {_SMALLER}, or end other programs that use the device."
    if _NO_MEMORY.search(str(error)):
        return _MEMORY
    return f"An unexpected error ended the run ({type(error).__name__}): see the end of its log."


def disk_advice(error: OSError) -> str:
    """Return advice about a full disk as the end of a sentence; empty for other errors."""
    return ": free some space and try again" if error.errno in _FULL else ""


def describe_death(code: int | None, log: str) -> str:
    """Return a sentence on why a job's process ended without writing a final status.

    Args:
        code: its exit status (a negative number is the signal that killed it); None if it is unknown.
        log: the end of its log.
    """
    log = log.rpartition(PROCESS_STARTS)[-1]
    if code == -signal.SIGKILL:
        return f"Its process was killed, perhaps because memory ran out: {_AGAIN[:-1]}, or {_SMALLER}."
    if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return "Its process was stopped before it could write its status: resume it."
    if _NO_MEMORY.search(log):
        return _MEMORY
    if code == -signal.SIGBUS or "Fatal Python error: Bus error" in log:
        return (
            "A file that it was reading got shorter, or the disk is full or failing: do not change the decoded images "
            "while a run trains on them, and resume it."
        )
    if (code or 0) < 0 or "Fatal Python error" in log:
        name = f" ({signal.Signals(-code).name})" if code else ""
        return f"Its process crashed{name}, see the end of its log: {_AGAIN}"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = lines[-1][:_LINE_MAX] if lines else ""
    if code is None:
        if stamped := _STAMPED.fullmatch(said):
            said = f"{stamped[2].rstrip('.')}, at {stamped[1]}"
        return f"The process ended without an error message{f' ({said})' if said else ''}: {_AGAIN}"
    return f"The job ended with exit status {code}{f' ({said})' if said else ''}: {_AGAIN}"


def describe_rank(rank: int, size: int, why: str) -> str:
    """Return a sentence that names the rank which failed, and why."""
    return f"Rank {rank} of {size} failed: {why[:1].lower() + why[1:] if why.startswith('Its ') else why}"

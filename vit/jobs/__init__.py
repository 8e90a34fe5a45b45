"""Start, stop and resume trainings, each in its own process."""

from vit.jobs.control import poll, prepare_restart, prepare_resume, relaunched_run, restart, resume, start, stop
from vit.jobs.worker import execute

__all__ = [
    "execute",
    "poll",
    "prepare_restart",
    "prepare_resume",
    "relaunched_run",
    "restart",
    "resume",
    "start",
    "stop",
]

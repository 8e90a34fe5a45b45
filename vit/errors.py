"""Errors that a person can act on.

The message of a :class:`UserError` is one sentence that says what was wrong and what would be right. The command line
prints it and exits with 2, a page shows it in place of the answer; anything else that is raised is a defect of ours.
"""


class UserError(ValueError):
    """Something in the person's hands is wrong: a setting, a file, a name."""


class SettingsError(UserError):
    """Settings that cannot be: the message names the setting and its bounds."""


class DataError(UserError):
    """A data set or an image that cannot be read or used."""


class ExplainError(UserError, TypeError):
    """An explanation that this kind of network cannot give."""


class RunError(UserError):
    """A run that does not exist, cannot be read, or cannot do what was asked of it."""

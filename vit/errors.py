"""Errors that a user can correct.

The message of a :class:`UserError` is one sentence that says what was wrong and what would be right. The command line
prints it and exits with 2, and a page shows it instead of a result. Any other exception is a bug.
"""


class UserError(ValueError):
    """A mistake that the user can correct: a setting, a file, a name."""


class SettingsError(UserError):
    """Invalid settings; the message names the setting and its bounds."""


class DataError(UserError):
    """A data set or an image that cannot be read or used."""


class ExplainError(UserError, TypeError):
    """An explanation that this kind of network cannot give."""


class RunError(UserError):
    """A run that does not exist, cannot be read, or cannot do what was asked of it."""

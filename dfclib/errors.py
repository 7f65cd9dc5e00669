"""Exceptions whose message is meant for the user, not for a developer."""


class UserError(Exception):
    """Something that the user can mend: the message says what was received and what to do.

    The command line prints it on standard error without a traceback and exits with 1.
    """


class Diverged(UserError):
    """A training whose loss is no number any more: what it was told to do does not work."""

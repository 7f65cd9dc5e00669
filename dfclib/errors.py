"""The one exception whose message is meant for the user, not for a developer."""


class UserError(Exception):
    """Something that the user can mend: the message says what was received and what to do.

    The command line prints it on standard error without a traceback and exits with 1.
    """

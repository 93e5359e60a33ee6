"""The one error of the command line that a person can fix."""


class UsageError(Exception):
    """Bad input or usage; the text is one line and says what to do. Exit status 2."""


LONGEST_ERROR = 2000
"""Characters of a line on standard error."""

"""The one error of the command line that a person can mend."""


class UsageError(Exception):
    """Bad input or usage; the text is one line and says what to do. Exit status 2."""

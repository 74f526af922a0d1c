"""The exceptions for mistakes of the user's and troubles with files: one line, exit code 2."""


class UserError(Exception):
    """Names the file or the option, says what was found and what would be right."""


class Damaged(UserError):
    """A file that is there, but not as it was written."""

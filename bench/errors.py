"""The one exception for mistakes of the user's: one line, exit code 2, no traceback."""


class UserError(Exception):
    """Names the file or the option, says what was found and what would be right."""

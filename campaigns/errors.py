"""The one error that a user's own mistake raises."""


class InputError(ValueError):
    """A mistake in what the user handed over: a file, a column, a config value.

    Its text is one line that names the file, the place, the value found, what was expected and what to do.
    The command line prints that line alone and exits with code 2.
    """

"""The one exception that means: the input must change, not the program."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one line that names what is wrong, where, and the remedy. The command line prints
    that line alone and exits with code 2.
    """

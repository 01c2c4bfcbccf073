"""The command line: words typed, one command, an exit code."""

"""Pure functions and frozen dataclasses of tensors: the mathematics, without Lightning, files or pictures."""

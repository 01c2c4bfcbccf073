"""A finished run opened again, and its pictures."""

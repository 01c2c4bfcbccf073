"""The five methods of the notes and the exact one, a file each."""

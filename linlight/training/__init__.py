"""What is said, logged, checked and kept while a method trains."""

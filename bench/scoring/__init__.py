"""What came out: scores, what networks cost, and what a machine can take at a time."""

"""What is to be run: options, matrix, session, estimates, what is still to do."""

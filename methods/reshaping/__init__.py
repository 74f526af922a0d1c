"""Trained networks in a smaller shape, to be trained on: a module and its shape as JSON come out."""

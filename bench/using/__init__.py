"""Finished networks at work, on images that are of no study."""

"""Finished networks at work: what they were made for, and masks of files that are of no study."""

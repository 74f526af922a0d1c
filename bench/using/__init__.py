"""Finished networks at work: which to take, bundles to ship them in, masks of files of no study."""

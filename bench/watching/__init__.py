"""Whoever looks on while jobs run: the live view and the trackers, from files alone."""

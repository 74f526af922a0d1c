"""Who runs a job, where, and what is left of it, whatever happens."""

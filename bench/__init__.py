"""The harness: matrix, jobs, executors, records, report."""

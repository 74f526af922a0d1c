"""From records to tables, figures and a page: pure functions of a study's files; no torch."""

"""Every figure: PNG and PDF of a journal's widths."""

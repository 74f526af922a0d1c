"""Every table, and what writes it as Markdown, CSV, LaTeX and lines of a terminal."""

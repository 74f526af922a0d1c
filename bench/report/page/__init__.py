"""The study's page, its data and pictures, and the scripts that draw it."""

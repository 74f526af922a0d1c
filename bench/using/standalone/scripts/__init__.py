"""What ``predict.py`` of a bundle does to an image file or to a volume."""

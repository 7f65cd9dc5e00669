"""A folder of images on disk: its files and labels, its problems, its pixels."""

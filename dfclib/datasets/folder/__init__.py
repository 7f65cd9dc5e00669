"""A folder of images on disk: what is in it, what is wrong with it, its pixels."""

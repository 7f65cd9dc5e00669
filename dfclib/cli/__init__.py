"""The command line: `python -m dfclib`."""

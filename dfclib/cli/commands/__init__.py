"""One function per command, named after it: its arguments into a call of the library, the answer into a few lines.

The first line of its docstring is what --help says. Imports stand inside the functions that need them: `data`,
`recipes`, `vote`, `evaluate`, `figures` and `record` start without TensorFlow, and `--help` without numpy.
"""

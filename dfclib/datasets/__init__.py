"""Where images come from; each source returns the same Splits."""

"""Images made on the spot, so that everything runs with nothing to fetch."""

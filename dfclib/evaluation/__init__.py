"""Metrics, comparisons and calibration, from predictions alone."""

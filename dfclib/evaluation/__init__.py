"""How good predictions are, from predictions alone: metrics, comparisons, calibration."""

"""What predictions are worth: metrics, comparisons, calibration, errors."""

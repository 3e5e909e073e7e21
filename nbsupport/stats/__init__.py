"""Statistics: the bootstrap over groups, metrics with intervals, paired tests, calibration of probabilities."""

"""Judging what detectors said: metrics, intervals that respect groups of photographs, and the pictures behind them.

``detector_metrics`` turns the rows of a score table into numbers with intervals (``stats``), ``error_analysis`` looks
at the pictures that were judged wrongly. Everywhere, "fake" is the positive class (label 1).
Not here: how scores come about (``detectors``), figures (``plots.evaluation``).
"""

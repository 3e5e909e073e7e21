"""Ensembles of detectors: how several predictions become one, fitted without a leak, and kept in files.

:mod:`.combiners` make one answer of several, :mod:`.folds` fit them, :mod:`.storage` keeps them. The stage itself is
``detectors.ensemble``. Not here: whether one is better than its best member (``evaluation.ensemble_report``).
"""

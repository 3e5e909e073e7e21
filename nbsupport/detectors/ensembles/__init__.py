"""Ensembles by job: :mod:`.combiners` make one answer of several, :mod:`.folds` fit them without a leak,
:mod:`.storage` keeps them in files, :mod:`.report` judges them. The stage itself is ``detectors.ensemble``.
"""

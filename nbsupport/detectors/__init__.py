"""Detectors: networks that say whether a part of a picture was painted in.

:mod:`.zoo` builds them, :mod:`nbsupport.detectors.classifier` trains them, :mod:`.predict` loads and asks them,
:mod:`.scores` holds what they answered, :mod:`.ensemble` combines the answers, :mod:`.comparison` judges them.
Logit and probability always speak of the positive class: **1 = inpainted**.
"""

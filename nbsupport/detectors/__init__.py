"""Detectors: networks that say whether a part of an image is inpainted.

:mod:`.zoo` builds them, :mod:`.classifier` trains them, :mod:`.predict` loads and asks them,
:mod:`.scores` holds what they answered, :mod:`.ensemble` combines the answers, :mod:`.inspection` gives verdicts on
single images. Not here: what the scores amount to (``evaluation``).
Logit and probability always speak of the positive class: **1 = inpainted**.
"""

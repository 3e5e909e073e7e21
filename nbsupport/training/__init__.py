"""Training loops, one module each: matching (DAMSM), TDANet, classifiers; and the choice of device and precision."""

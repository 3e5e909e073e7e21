"""Training TDANet and the two encoders of its image–text matching (DAMSM): batches, one step, the loops."""

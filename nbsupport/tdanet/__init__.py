"""TDANet (Zhang et al., ACM MM 2020, arXiv 2004.03212): one module for each box of the paper's figure.

``text`` and ``encoder`` read the caption and the picture, ``attention`` compares them, ``fusion`` turns the comparison
into a distribution, ``generator`` paints, ``discriminator`` and ``losses`` judge, ``model`` joins the boxes. Chapter 3
runs them one by one. Not here: how the network is trained (``nbsupport.training.tdanet``).
"""

"""Semantic Image Inpainting Evaluation: the code under the book.

Import rooms by name (``from nbsupport import masks``); importing the package itself loads nothing heavy.
"""

__version__ = "0.1.0"

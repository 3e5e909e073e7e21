"""Every figure of the book. One module per subject; each function takes data and returns a matplotlib Figure."""

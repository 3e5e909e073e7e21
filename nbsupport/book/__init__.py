"""The book: its chapters and their parameters, running them, building the pages, and the pages without a kernel."""

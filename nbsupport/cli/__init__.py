"""Commands of ``python -m nbsupport`` that come in groups, and what all commands share."""

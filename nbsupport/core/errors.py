"""Errors that a reader can act on.

Every error that bad input can cause derives from :class:`UserError`. Its message says what was wrong, where, and what
to do next; the command line prints it without a traceback, a notebook shows it as the last line of one.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can fix: the message is a sentence that says how."""


class ConfigError(UserError):
    """A parameter is unknown, of the wrong type, or out of its range."""


class MissingStage(UserError):
    """A stage was asked for whose input the run folder does not hold yet."""


class StaleStage(MissingStage):
    """A stage is there, but was made from something else than what the run folder holds now."""


class UnusableImage(UserError):
    """A file cannot be read as a photograph; ``str(error)`` is the reason that goes into ``rejected.csv``."""


class TooManyPixels(UnusableImage):
    """A picture is larger than what may be decoded."""


class InpainterError(UserError):
    """An inpainter was given something it cannot fill, or returned something that is no picture."""


def unknown(what: str, name: str, valid: Iterable[str]) -> str:
    """Return the sentence for an unknown name, naming the nearest valid one and then all of them.

    >>> unknown("profile", "quik", ["smoke", "quick", "full"])
    "Unknown profile 'quik'. Did you mean 'quick'? Valid: smoke, quick, full."
    """
    return f"Unknown {what} '{name}'. {nearest(name, valid)}."


def nearest(name: str, valid: Iterable[str]) -> str:
    """The nearest valid name as a question, then all of them, without a full stop.

    >>> nearest("quik", ["smoke", "quick", "full"])
    "Did you mean 'quick'? Valid: smoke, quick, full"
    """
    choices = [str(choice) for choice in valid]
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.0)
    return (f"Did you mean '{near[0]}'? " if near else "") + f"Valid: {', '.join(choices)}"

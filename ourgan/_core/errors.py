"""The one kind of error that is meant for the person at the keyboard."""

from __future__ import annotations


class OurganError(Exception):
    """A fault that a person can mend.

    Its text is one line: what is wrong, where, and what to do. The command prints that line to
    stderr and exits with 2; anything else that escapes is a bug and keeps its traceback.
    """

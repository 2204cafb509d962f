"""The one kind of error that is meant for the person at the keyboard."""

from __future__ import annotations

from collections.abc import Iterable


class OurganError(Exception):
    """A fault that its reader can put right.

    Its text is one line: what is wrong, where, and what to do. The command prints that line to
    stderr and exits with 2; any other exception that escapes is a bug and keeps its traceback.
    """


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raise an OurganError that lists the `choices` unless `value` is one of them.

    Args:
        what: what is chosen, as the line begins: "size", "method".
        value: the choice.
        choices: all that is possible, in the order of the line.
    """
    if value not in (known := tuple(choices)):
        raise OurganError(f"{what} '{value}': use one of {', '.join(known)}")

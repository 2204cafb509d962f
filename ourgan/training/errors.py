"""What stops a training."""

from ourgan._core.errors import OurganError


class TrainingError(OurganError):
    """A training that cannot go on; says at which iteration and why."""

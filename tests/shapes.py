"""The checker that jaxtyping puts on every function of the rooms listed in pyproject.toml, in tests alone."""

from beartype import BeartypeConf, beartype

# An int is good for a float (PEP 484), as Python and mypy see it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))

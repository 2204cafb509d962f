#!/usr/bin/env bash
# jaxtyping 0.3.11 with beartype 0.23.1: a type checker that is configured in the option itself,
#   pytest --jaxtyping-packages='one,two,beartype.beartype(conf=...)'
# makes it split the list at the first comma alone. The rest, 'two,beartype.beartype(conf=...)', becomes the
# checker: package `one` refuses arrays that are right, package `two` is silently not checked at all. Its source
# says that commas inside of the parentheses are what it avoids, and the same list with an unconfigured checker
# does check both. One would expect both packages checked, or an error.
# What to do: configure the checker in a module of the tests and name that, 'one,two,module.check'.
# Needs a Python 3.11 or newer with access to a package registry. Exit 0: still so; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  jaxtyping==0.3.11 beartype==0.23.1 pytest==9.2.0 numpy==2.4.1
for package in one two; do
  cat > "$package.py" <<'PYTHON'
import numpy as np
from jaxtyping import Float


def double(x: Float[np.ndarray, "n"]):
    return 2 * x
PYTHON
done
cat > test_it.py <<'PYTHON'
import numpy as np
import one
import two
from jaxtyping import TypeCheckError


def takes(function, array):
    try:
        function(array)
    except TypeCheckError:
        return "refused"
    return "taken"


def test_it():
    for package in (one, two):
        right, wrong = takes(package.double, np.zeros(3)), takes(package.double, np.zeros((2, 2)))
        print(f"seen: {package.__name__}: right {right}, wrong {wrong}")
PYTHON
run() {
  PYTHONPATH=. venv/bin/python -m pytest -q -s -p no:cacheprovider --jaxtyping-packages="$1" | grep -o 'seen: .*'
}
plain=$(run 'one,two,beartype.beartype')
configured=$(run 'one,two,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))')
printf 'checker as it is:\n%s\nchecker with a configuration:\n%s\n' "$plain" "$configured"
test "$plain" = 'seen: one: right taken, wrong refused
seen: two: right taken, wrong refused'
test "$configured" = 'seen: one: right refused, wrong refused
seen: two: right taken, wrong taken'

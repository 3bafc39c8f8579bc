"""The C compilers of this machine."""

import shutil

import pytest

needs_a_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("c++") is None, reason="there is no C compiler"
)

import platform
import subprocess
import sys

SCRIPT = """
import resource, sys
import torch
from htgen.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
for _ in range(20):
    [torch.zeros(24 << 18) for _ in range(4)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    [torch.zeros(24 << 18) for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(argument: str) -> tuple[str, int]:
    """What `keep_freed_memory` says, and the page faults of ten steps of 96 megabytes after it."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, argument], capture_output=True, text=True, check=True
    )
    said, count = process.stdout.split()
    return said, int(count)


def test_freed_memory_is_used_again_where_the_c_library_can():
    said, kept = faults("keep")
    if platform.libc_ver()[0] != "glibc":
        assert said == "False"
        return
    assert said == "True"
    _, before = faults("as it is")
    assert kept < before / 10

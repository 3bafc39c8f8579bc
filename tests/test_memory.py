import platform
import subprocess
import sys

SCRIPT = """
import resource, sys
import torch
from htgen.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
numbers = int(sys.argv[2]) << 18
for _ in range(20):
    torch.zeros(numbers)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(numbers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(argument: str, megabytes: int) -> tuple[str, int]:
    """What `keep_freed_memory` says, and the page faults of ten tensors of a size after it."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, argument, str(megabytes)], capture_output=True, text=True, check=True
    )
    said, count = process.stdout.split()
    return said, int(count)


def test_freed_memory_is_used_again_where_the_c_library_can():
    library, version = platform.libc_ver()
    if library != "glibc":
        assert faults("keep", 1)[0] == "False"
        return
    is_new = tuple(map(int, version.split(".")[:2])) >= (2, 35)
    said, kept = faults("keep", 40 if is_new else 24)
    assert said == "True"
    _, before = faults("as it is", 40)  # of every C library the largest blocks are not kept
    assert kept < before / 10

"""Work over several processes is that of one, in order, whatever becomes of the workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from htgen import workers as module
from htgen.workers import ITEMS_AT_ONCE, usable_processors, work_in_processes, worth_starting

ROOT = Path(__file__).parents[1]


def squares(items: Sequence[int]) -> list[int]:
    return [item * item for item in items]


def squares_of_few(items: Sequence[int]) -> list[int]:
    if 20 in items and os.getpid() != int(os.environ["HTGEN_TEST_PARENT"]):
        os._exit(1)
    return squares(items)


def none_of_20(items: Sequence[int]) -> list[int]:
    if 20 in items:
        raise KeyError("20")
    return squares(items)


@pytest.fixture(params=["fork", "spawn"])
def start(request, monkeypatch):
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("copies of a process are made on Linux alone")
    monkeypatch.setattr(module, "can_fork", lambda: request.param == "fork")
    return request.param


@pytest.mark.parametrize("items", [0, 1, ITEMS_AT_ONCE, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_results_are_in_the_order_of_the_items(items, count):
    assert list(work_in_processes(squares, range(items), count)) == squares(range(items))


def test_both_ways_of_starting_give_the_same(start):
    assert list(work_in_processes(squares, range(50), 2)) == squares(range(50))


def test_a_part_whose_worker_is_killed_is_done_here(start, monkeypatch):
    monkeypatch.setenv("HTGEN_TEST_PARENT", str(os.getpid()))
    assert list(work_in_processes(squares_of_few, range(90), 2)) == squares(range(90))


def test_an_error_is_raised_where_it_would_be_without_workers(start):
    with pytest.raises(KeyError, match="20"):
        list(work_in_processes(none_of_20, range(90), 2))


def test_workers_end_when_nobody_wants_more(start):
    found = work_in_processes(os_ids, range(100), 2)
    first = next(found)
    assert first != os.getpid()
    found.close()
    for _ in range(100):
        if not Path(f"/proc/{first}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the worker is still there")


def os_ids(items: Sequence[int]) -> list[int]:
    return [os.getpid() for _ in items]


def test_few_items_start_nothing():
    assert worth_starting(1) == worth_starting(0) == 0
    assert worth_starting(10**6) == min(usable_processors(), 8)
    assert worth_starting(10**6, 1) == 1
    assert worth_starting(10**6, 3) == 3
    assert worth_starting(ITEMS_AT_ONCE + 1, 100) == 2


SCRIPT = """
import os, signal, sys, time
from htgen.workers import work_in_processes
def slow(items):
    time.sleep(0.2)
    return [os.getpid() for _ in items]
found = work_in_processes(slow, range(1000), 2)
try:
    print(next(found), flush=True)
    list(found)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signals go to a group of processes")
def test_ctrl_c_reaches_the_first_process_alone_and_ends_all():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "interrupted\n", "")
    assert not Path(f"/proc/{worker}").exists()

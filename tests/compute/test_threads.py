import threading
import time

import pytest
import torch

from htgen.compute.threads import EpisodeThreads


def test_results_come_in_the_order_of_the_parts(two_threads):
    def work(part: int) -> tuple[int, int, bool, str]:
        time.sleep(0.05 if part == 0 else 0)
        name = threading.current_thread().name
        return part, torch.get_num_threads(), torch.is_grad_enabled(), name

    with torch.no_grad():
        found = list(EpisodeThreads().map(work, range(4)))
    assert [entry[:3] for entry in found] == [(part, 1, False) for part in range(4)]
    assert all(name.startswith("htgen") for *_, name in found)
    assert torch.get_num_threads() == 2


def test_a_fault_in_a_part_reaches_the_caller_and_leaves_torch_as_it_was(two_threads):
    def work(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        list(EpisodeThreads().map(work, range(2)))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("size", "count", "lengths"), [(2, 5, [2, 3]), (2, 1, [1]), (4, 8, [2] * 4)])
def test_shares_are_contiguous_and_even(size, count, lengths):
    shares = EpisodeThreads(size).share(count)
    assert [len(share) for share in shares] == lengths
    assert [index for share in shares for index in share] == list(range(count))

"""Inputs that nobody should send, by chance, for every reader.

A reader may answer, or refuse with an error of htgen; anything else is a defect.
"""

import math
import random
import signal
import time
import warnings
from collections.abc import Iterator

from faults.interruptions import Tally
from faults.readers import Readers
from htgen.errors import HtgenError

LONGEST = 60.0
"""Seconds after which a reader counts as one that hangs; many, as the machine may be busy."""


class Hang(BaseException):
    """A reader that does not end; no reader catches it."""


def try_all(
    readers: Readers, number: int, chance: random.Random, tally: Tally
) -> Iterator[tuple[str, int, float]]:
    """Give all readers `number` inputs together; yields the name of each, how many, and the seconds."""

    def hang(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, hang)
    all_readers = readers.all()
    whole = sum(reader.share for reader in all_readers)
    for reader in all_readers:
        count, started = max(20, math.ceil(number * reader.share / whole)), time.monotonic()
        for _ in range(count):
            given = reader.make(chance)
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reader.take(given)
            except HtgenError:
                pass
            except Hang:
                tally.hangs.append(f"{reader.name}: {given!r:.300}")
            except Exception as error:
                tally.tracebacks.append(f"{reader.name}: {error!r:.300} of {given!r:.600}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        tally.count("inputs tried", count)
        yield reader.name, count, time.monotonic() - started

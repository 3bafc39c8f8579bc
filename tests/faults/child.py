"""Commands in processes of their own, which are copies of this one: nothing is loaded again."""

import contextlib
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.layer import Layer

LONGEST = 600
"""Seconds after which a command counts as one that hangs; many, as the machine may be busy."""

CRASHED = 99
"""Exit code of a command that ended with a traceback."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; that of a killed one is minus the signal.
        said: what it wrote to stderr.
    """

    code: int
    said: str

    @property
    def has_traceback(self) -> bool:
        return self.code == CRASHED or "Traceback (most recent call last)" in self.said

    @property
    def hangs(self) -> bool:
        return self.code == -signal.SIGALRM


def run(
    folder: Path, arguments: list[str], layer: Layer | None = None, kill_after: float | None = None
) -> Ended:
    """`htgen` with these arguments, in a folder.

    Args:
        layer: what stands between it and its system.
        kill_after: seconds after which it is killed.
    """

    def work() -> int:
        from htgen.cli import main

        return main(arguments)

    return fork(folder, work, layer, kill_after)


def fork(
    folder: Path, work: Callable[[], int], layer: Layer | None = None, kill_after: float | None = None
) -> Ended:
    """Do something in a copy of this process, whose working directory is `folder`."""
    said = folder.parent / f"{folder.name}.stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, none of which this process needs
        process = os.fork()
    if process == 0:
        _become(folder, said)
        code = CRASHED
        try:
            if layer is not None:
                layer.install()
            code = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            if layer is not None and layer.what == "count":
                said.with_suffix(".calls").write_text("\n".join(layer.calls))
            sys.stderr.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return Ended(os.waitstatus_to_exitcode(status), said.read_text(errors="replace"))


def calls_of(folder: Path, arguments: list[str]) -> tuple[Ended, list[str]]:
    """How a command ends that nothing happens to, and the calls that it makes."""
    ended = run(folder, arguments, Layer(folder))
    return ended, (folder.parent / f"{folder.name}.calls").read_text().splitlines()


def _become(folder: Path, said: Path) -> None:
    signal.alarm(LONGEST)
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for target, source in ((0, null), (1, null), (2, errors)):
        os.dup2(source, target)


def load_all(folder: Path, commands: list[list[str]]) -> None:
    """Do commands in this process, so that its copies find all loaded and begun that these need.

    There is one thread in it then, as a copy has no others: `OMP_NUM_THREADS` is 1.
    """
    from htgen.cli import main

    assert os.environ.get("OMP_NUM_THREADS") == "1"
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(contextlib.redirect_stderr(nowhere))
        assert [main(arguments) for arguments in commands] == [0] * len(commands)

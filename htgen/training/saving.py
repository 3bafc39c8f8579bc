"""Which training state is on disk: only such as training can go on from."""

from htgen.config.run import Config
from htgen.files import read_regular
from htgen.tensor_files import MOST_BYTES
from htgen.training.run_folder import RunFolder
from htgen.training.state import Counters, Trained, encode_state


class SavedStates:
    """The last two states of a run that were saved.

    The weights of a step may be ruined though they are finite; that shows in the step after it. So a state
    counts as good once a later step was not skipped, and until then the one before it is kept in memory.

    Args:
        run: where the latest state is written.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._kept: list[tuple[int, bytes]] = []

    @property
    def step(self) -> int | None:
        """Of the state on disk; None when this process neither wrote nor read one."""
        return self._kept[-1][0] if self._kept else None

    def note_read(self, step: int) -> None:
        """Keep the state on disk, which training goes on from."""
        self._kept = [(step, read_regular(self.run.state_path, MOST_BYTES))]

    def save(self, config: Config, data: str, trained: Trained, counters: Counters) -> None:
        """Write the state.

        Args:
            data: fingerprint of what is trained on.

        Raises:
            OutputError: it cannot be written; the one before is kept.
            RunError: the run folder is no longer where it was.
        """
        state = encode_state(config, data, trained, counters)
        self.run.write(self.run.state_path, state)
        self._kept = [*self._kept[-1:], (counters.step, state)]

    def put_back(self, last_sound: int) -> int | None:
        """Make the state on disk a good one.

        Args:
            last_sound: the last step that was not skipped.

        Returns:
            Its step; None when no state is known to be good.
        """
        good = [(step, data) for step, data in self._kept if step < last_sound]
        if not good:
            return None
        step, data = good[-1]
        if step != self.step:
            self.run.write(self.run.state_path, data)
            self._kept = [good[-1]]
        return step

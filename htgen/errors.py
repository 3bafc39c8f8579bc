"""Every error that htgen raises on purpose.

    HtgenError
    ├── ConfigError    exit 3   a config file, preset name or override is wrong
    │   └── SettingError  exit 2   a setting that is missing or does not fit the others, by name
    ├── DataError      exit 4   a data set, store, split, folder or image is wrong
    ├── ModelError     exit 5   a generator, checkpoint or CNN file is wrong or does not fit
    ├── RunError       exit 6   a run folder is in use, exists already, or cannot be resumed; a training
    │                          diverged, or lost one of its processes (`htgen.compute.processes.LostContact`)
    └── OutputError    exit 7   something cannot be written (no space, no permission)

Other exit codes of the command line: 0 success, 1 finished but some inputs could not be
used, 2 wrong usage, 130 interrupted (Ctrl-C), 143 terminated.
"""


class OlderFileWarning(UserWarning):
    """A file is used that an older htgen wrote, without a checksum; damage to it may not be noticed."""


class HtgenError(Exception):
    """An error with one clear sentence, and the remedy in `hint`.

    Args:
        message: what is wrong and where, without a trailing full stop.
        hint: what to do about it; shown after "try:".
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  try: {self.hint}"


class ConfigError(HtgenError):
    """A config file, preset name or override is wrong.

    The message has a line for each fault; what these quote has no control characters.
    """

    exit_code = 3

    @property
    def in_one_line(self) -> str:
        """The message, to be part of another one."""
        head, *faults = (line.strip() for line in self.message.split("\n"))
        return f"{head} {'; '.join(faults)}".strip()


class SettingError(ConfigError):
    """A setting of a function is missing, or does not fit the others.

    Args:
        message: as for `HtgenError`.
        setting: its name in Python; on the command line it is the option of that name.
    """

    exit_code = 2

    def __init__(self, message: str, setting: str) -> None:
        super().__init__(message)
        self.setting = setting


class DataError(HtgenError):
    """A data set, store, split, folder or image is wrong."""

    exit_code = 4


class ModelError(HtgenError):
    """A generator, checkpoint or CNN file is wrong, or does not fit its use."""

    exit_code = 5


class RunError(HtgenError):
    """A run folder is in use, exists already, or cannot be resumed, or a training cannot go on."""

    exit_code = 6


class OutputError(HtgenError):
    """Something cannot be written: no space left, or no permission."""

    exit_code = 7

"""Which lines of activations the C in whole numbers keeps, of blocks that are added to later ones."""

from dataclasses import dataclass

from htgen.cnn.spec import ConvSpec


@dataclass(frozen=True)
class Reading:
    """Which lines of its input a block reads for a line of its output.

    Attributes:
        rows: so many.
        advance: by so many lines the next ones lie further down.
        first: the first one of all, which may lie above the image.
    """

    rows: int
    advance: int
    first: int

    @staticmethod
    def of(conv: ConvSpec) -> "Reading":
        """That of a block."""
        places = 2 if conv.pool else 1
        return Reading(conv.kernel + (places - 1) * conv.stride, places * conv.stride, -conv.padding_before)


def kept_lines(convs: tuple[ConvSpec, ...]) -> dict[int, int]:
    """Index of each block whose output is added to a later one -> lines of it that are kept at a time.

    Found by going through an image as the C does: the last block asks for lines, and so on upwards.
    """
    run = _Run(convs)
    for _ in range(convs[-1].out_size):
        run.make(len(convs) - 1)
    return run.depth


class _Run:
    """The state of one image: how many lines there are of each block."""

    def __init__(self, convs: tuple[ConvSpec, ...]) -> None:
        index = {conv.name: number for number, conv in enumerate(convs)}
        self.convs = convs
        self.added = [index.get(conv.add, -1) for conv in convs]
        self.depth = {number: 1 for number in self.added if number >= 0}
        self.made = [0] * len(convs)
        self.next = [Reading.of(conv).first for conv in convs]

    def make(self, block: int) -> None:
        """The next line of a block."""
        conv, reading = self.convs[block], Reading.of(self.convs[block])
        end = reading.first + self.made[block] * reading.advance + reading.rows
        for line in range(self.next[block], end):
            if block and 0 <= line < conv.in_size:
                self._fetch(block - 1, line)
        self.next[block] = end
        if self.added[block] >= 0:
            places = 2 if conv.pool else 1
            for line in reversed(range(places * self.made[block], places * (self.made[block] + 1))):
                self._fetch(self.added[block], line)
        self.made[block] += 1

    def _fetch(self, block: int, line: int) -> None:
        while self.made[block] <= line:
            self.make(block)
        if block in self.depth:
            self.depth[block] = max(self.depth[block], self.made[block] - line)

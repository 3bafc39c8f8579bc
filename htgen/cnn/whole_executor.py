"""A CNN in whole numbers: its description, and what it computes, with NumPy.

The C of `htgen export` computes the same, bit for bit. Activations are levels: whole numbers from 0 to 255
or to 32767. Sums are of 32 bits. `htgen.cnn.whole_numbers` makes such a CNN of one in floating-point numbers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from htgen.cnn.executor_numpy import CACHED_NUMBERS, convolve
from htgen.cnn.spec import Activation, CnnSpec, ConvSpec
from htgen.cnn.whole_length import HALF, WholeLength, Wholes

Levels = npt.NDArray[np.int32]

Pool = Literal["", "max", "sum", "average"]

BYTE = 255
"""Largest level of 8 bits, and largest pixel."""

LEAK = 328
"""Slope of the leaky ReLU after a sum, in parts of 2 ** 15."""


@dataclass(frozen=True)
class Residual:
    """What a block's sum becomes where the output of an earlier block is added, before the activation.

    Attributes:
        share: `[O]`, factors of the levels that are added, -32767..32767.
        offset: `[O]`, added too.
        activation: what follows.
    """

    share: Wholes
    offset: Wholes
    activation: Activation


@dataclass(frozen=True)
class WholeBlock:
    """One block. `near(s) = min(|s| >> shift, 32767)` of a sum `s`, bias included.

    A sum becomes `near(s) * factor`, or `-near(s) * negative` where it is below 0. Where there is a residual,
    it becomes `+-near(s) * factor + level * share + offset`, and then what the activation makes of that. The
    new level is that and `summand`, from 0 on, `>> down`, and at most `top`.

    Attributes:
        kernel: `[O, C / groups, k, k]`, -127..127, or of 16 bits.
        bias: `[O]`.
        zero: `[C]`, the levels that the input is padded with.
        factor: `[O]`, of positive sums, `negative`: `[O]`, of others; up to 32767.
        summand: `[O]`.
        shift: `[O]`, by so many bits.
        down: by so many bits.
        top: `[O]`, largest level.
        pool_sums: what is taken of the four sums of a pool before the bias, if that is done there.
        pool_levels: what is taken of the four levels of a pool, if it is done there.
        residual: None where nothing is added.
    """

    kernel: Wholes
    bias: Wholes
    zero: Wholes
    factor: Wholes
    negative: Wholes
    summand: Wholes
    shift: Wholes
    down: int
    top: Wholes
    pool_sums: Pool = ""
    pool_levels: Pool = ""
    residual: Residual | None = None

    @property
    def weight_bytes(self) -> int:
        """Of each weight."""
        return 1 if np.abs(self.kernel).max() <= BYTE // 2 else 2


@dataclass(frozen=True)
class WholeCnn:
    """A CNN in whole numbers.

    Attributes:
        spec: its layers.
        blocks: in the order of `spec.convs`.
        levels: largest activation, 255 or 32767.
        logits_weight: `[n, F]`, features in the order `[C, H, W]`. With head `average` `[n, C]`, for sums of
            levels of 8 bits, or for means, rounded, of levels of 16; or for features of length 1.
        logits_bias: `[n]`.
        logits_step: a logit is a whole one times this.
        length: what scales features to length 1; None where they stay what they are.
    """

    spec: CnnSpec
    blocks: tuple[WholeBlock, ...]
    levels: int
    logits_weight: Wholes
    logits_bias: Wholes
    logits_step: float
    length: WholeLength | None = None

    @property
    def bits(self) -> int:
        """Of an activation in memory: 8 or 16."""
        return 8 if self.levels == BYTE else 16

    def logits(self, pixels: npt.NDArray[np.uint8]) -> Wholes:
        """Run it: prepared images `[N, C, H, W]` -> whole logits `[N, n]`."""
        # Few enough at a time to stay in the processor's cache.
        step = max(1, CACHED_NUMBERS // self.spec.largest_activation)
        parts = [self._logits(pixels[start : start + step]) for start in range(0, len(pixels), step)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.logits_bias)), np.int64)

    def _logits(self, pixels: npt.NDArray[np.uint8]) -> Wholes:
        x: Levels = pixels.transpose(0, 2, 3, 1).astype(np.int32)  # [N, H, W, C]
        outputs: dict[str, Levels] = {}
        for index, (conv, block) in enumerate(zip(self.spec.convs, self.blocks, strict=True)):
            x = _run_block(conv, block, x, self.levels if index else BYTE, outputs.get(conv.add))
            outputs[conv.name] = x
        features: Wholes = x.transpose(0, 3, 1, 2).astype(np.int64)  # [N, C, H, W]
        if self.spec.head == "average":
            positions = features.shape[2] * features.shape[3]
            features = features.sum(axis=(2, 3))
            if self.length:
                features = self.length.means(features, positions)
            elif self.bits == 16:
                features = (features + positions // 2) // positions
        if self.length:
            features = self.length.scaled(features.reshape(*features.shape[:2], -1))
        return features.reshape(len(x), -1) @ self.logits_weight.T + self.logits_bias


def _run_block(conv: ConvSpec, block: WholeBlock, x: Levels, levels: int, addend: Levels | None) -> Levels:
    """`[N, H, W, C] -> [N, H', W', O]`.

    Args:
        levels: the largest of the input.
        addend: levels of the block that is added, if there is one.
    """
    if conv.padding:
        count, height, width, channels = x.shape
        before, more = conv.padding_before, conv.padding_before + conv.padding
        padded = np.empty((count, height + more, width + more, channels), np.int32)
        padded[:] = block.zero
        padded[:, before : before + height, before : before + width] = x
        x = padded
    kernel = block.kernel.transpose(2, 3, 1, 0)[None]  # [1, k, k, C / groups, O]
    # Floating-point numbers hold such sums as they are.
    small = np.abs(block.kernel).sum(axis=(1, 2, 3)).max() * levels < 1 << 24
    kind = np.float32 if small else np.float64
    sums = convolve(x[None].astype(kind), kernel.astype(kind), conv.stride, conv.groups)[0].astype(np.int32)
    if block.pool_sums:
        sums = _pool(sums, block.pool_sums)
    made = _level(block, sums + _levels(block.bias), addend)
    return _pool(made, block.pool_levels) if block.pool_levels else made


def _levels(values: Wholes) -> Levels:
    """Of 32 bits, which hold every number of a block as they do in C."""
    return values.astype(np.int32)


def _level(block: WholeBlock, sums: Levels, addend: Levels | None) -> Levels:
    """Levels `[N, H, W, O]` of sums."""
    near = np.minimum(np.abs(sums) >> _levels(block.shift), np.int32(HALF))
    factor = _levels(block.factor)
    value: Levels
    if block.residual is None:
        value = near * np.where(sums > 0, factor, _levels(-block.negative))
    else:
        assert addend is not None
        value = np.where(sums > 0, near, -near) * factor
        value = value + addend * _levels(block.residual.share) + _levels(block.residual.offset)
        if block.residual.activation == "lrelu":
            value = np.where(value < 0, -((-value >> 15) * LEAK), value)
        elif block.residual.activation != "none":
            value = np.maximum(value, 0)
    value = value + _levels(block.summand)
    made: Levels = np.minimum(np.maximum(value, 0) >> block.down, _levels(block.top))
    return made


def _pool(x: Levels, kind: Pool) -> Levels:
    """2x2 pool of `[N, H, W, O]`; an odd last row or column is dropped."""
    rows, columns = (side // 2 * 2 for side in x.shape[1:3])
    parts = [x[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]
    if kind == "max":
        return np.maximum(np.maximum(parts[0], parts[1]), np.maximum(parts[2], parts[3]))
    total: Levels = parts[0] + parts[1] + parts[2] + parts[3]
    return total if kind == "sum" else (total + 2) >> 2

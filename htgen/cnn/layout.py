"""How activations of many episodes lie in memory, and the operations that depend on it.

Activations are always `[N, E, C, H, W]`: N images of each of E episodes, C channels, H x W pixels. What is a
neighbour in memory is another question, and three layouts answer it, each where it is fast.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from htgen.cnn.fused import images_last, is_images_last, serves
from htgen.cnn.spec import ConvSpec, Pooling


class Layout(Protocol):
    """Where the numbers of activations `[N, E, C, H, W]` are in memory.

    Attributes:
        episodes_are_channels: whether `[N, E * C, H, W]`, with channels last, is the same memory.
    """

    @property
    def episodes_are_channels(self) -> bool: ...

    def channels_last(self, images: Tensor) -> Tensor:
        """Images `[E, N, C, H, W]` as `[N, E, C, H, W]` in this layout.

        It lasts through convolutions, pools and pointwise work, which run over whole vectors of channels.
        """
        ...

    def as_batch(self, x: Tensor) -> Tensor:
        """`[N, E, C, H, W]` as the images of one batch, `[N * E, C, H, W]`."""
        ...

    def convolved_batch(self, x: Tensor) -> Tensor:
        """A batch `[B, C, H, W]` that came of images of a single channel, as what follows wants it."""
        ...

    def join(self, first: Tensor, others: Tensor) -> Tensor:
        """More images of the same episodes, `[N, E, C, H, W]` each, together."""
        ...

    def convolve(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """Convolve each episode's images with its own kernel `[E, O, C / groups, k, k]`."""
        ...

    def pool(self, x: Tensor, pooling: Pooling) -> Tensor:
        """2x2 pool of `[N, E, C, H, W]`; an odd last row or column is dropped."""
        ...


class SideBySide:
    """The channels of all episodes of a pixel lie side by side, `[N, H, W, E, C]`.

    For the CPU: it is what a convolution in groups wants, and max-pools are ten times as fast in it.
    """

    episodes_are_channels = True

    def channels_last(self, images: Tensor) -> Tensor:
        """Images `[E, N, C, H, W]` as `[N, E, C, H, W]` in this layout."""
        return images.permute(1, 3, 4, 0, 2).contiguous().permute(0, 3, 4, 1, 2)

    def as_batch(self, x: Tensor) -> Tensor:
        """`[N, E, C, H, W]` as the images of one batch, `[N * E, C, H, W]`."""
        return x.flatten(0, 1)

    def convolved_batch(self, x: Tensor) -> Tensor:
        """The batch as it is."""
        return x

    def join(self, first: Tensor, others: Tensor) -> Tensor:
        """More images of the same episodes, `[N, E, C, H, W]` each, together."""
        # With four dimensions torch keeps channels last.
        return torch.cat([first.flatten(1, 2), others.flatten(1, 2)]).unflatten(1, first.shape[1:3])

    def convolve(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """Groups = episodes (times the block's groups): one convolution call runs all episodes."""
        groups = x.shape[1] * conv.groups
        out = _convolve(x.flatten(1, 2), kernel.flatten(0, 1), conv, groups)
        # Of a single channel no one can tell whether it is last, and what comes out of it may not be.
        return out.contiguous(memory_format=torch.channels_last).unflatten(1, kernel.shape[:2])

    def pool(self, x: Tensor, pooling: Pooling) -> Tensor:
        """2x2 pool of `[N, E, C, H, W]`."""
        return _pool(x.flatten(1, 2), pooling).unflatten(1, x.shape[1:3])


class ByEpisode:
    """Each episode keeps to itself, `[E, N, H, W, C]`. For GPUs: it is what batched matrix products want."""

    episodes_are_channels = False

    def channels_last(self, images: Tensor) -> Tensor:
        """Images `[E, N, C, H, W]` as `[N, E, C, H, W]` in this layout."""
        return images.permute(0, 1, 3, 4, 2).contiguous().permute(1, 0, 4, 2, 3)

    def as_batch(self, x: Tensor) -> Tensor:
        """`[N, E, C, H, W]` as the images of one batch, `[N * E, C, H, W]`, with channels last."""
        return x.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)

    def convolved_batch(self, x: Tensor) -> Tensor:
        """The batch `[B, C, H, W]` with channels last: of a single channel no one can tell whether it is."""
        return x.contiguous(memory_format=torch.channels_last)

    def join(self, first: Tensor, others: Tensor) -> Tensor:
        """More images of the same episodes, `[N, E, C, H, W]` each, together."""
        return torch.cat([x.permute(1, 0, 3, 4, 2) for x in (first, others)], dim=1).permute(1, 0, 4, 2, 3)

    def convolve(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """By one convolution where all episodes share a kernel, by matrix products elsewhere."""
        if kernel.stride(0) == 0:  # one learned kernel, expanded
            return self.convolve_alike(x, kernel[0], conv)
        return self.convolve_by_products(x, kernel, conv)

    def convolve_alike(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """All images by the same kernel `[O, C / groups, k, k]`."""
        samples = x.transpose(0, 1)
        out = _convolve(samples.flatten(0, 1), kernel, conv, conv.groups)
        out = out.contiguous(memory_format=torch.channels_last)
        return out.unflatten(0, samples.shape[:2]).transpose(0, 1)

    def convolve_by_products(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """Patches gathered, and one matrix product per episode and group.

        With hundreds of episodes a GPU does this faster than a convolution in as many small groups.
        """
        images = x.permute(1, 0, 3, 4, 2)  # [E, N, H, W, C]
        if conv.padding:
            images = F.pad(images, (0, 0, *[conv.padding_before, conv.padding] * 2))
        patches = images.unfold(2, conv.kernel, conv.stride).unfold(3, conv.kernel, conv.stride)
        places = patches.shape[:4]  # E, N, H', W'
        patches = patches.permute(0, 1, 2, 3, 5, 6, 4)  # [E, N, H', W', k, k, C]
        groups = conv.groups
        if groups > 1:  # [E, groups, N, H', W', k, k, C / groups]
            patches = patches.unflatten(6, (groups, -1)).permute(0, 6, 1, 2, 3, 4, 5, 7)
        size = conv.kernel**2 * kernel.shape[2]  # of a patch: k * k * C / groups
        rows = patches.reshape(len(kernel) * groups, -1, size)
        columns = kernel.permute(0, 3, 4, 2, 1).flatten(1, 3)  # [E, k * k * C / groups, O]
        if groups > 1:
            columns = columns.unflatten(2, (groups, -1)).transpose(1, 2).flatten(0, 1)
        out = torch.bmm(rows, columns)  # [E * groups, N * H' * W', O / groups]
        if groups > 1:
            out = out.unflatten(0, (-1, groups)).transpose(1, 2)
        return out.reshape(*places, -1).permute(1, 0, 4, 2, 3)

    def pool(self, x: Tensor, pooling: Pooling) -> Tensor:
        """2x2 pool of `[N, E, C, H, W]`."""
        samples = x.transpose(0, 1)
        return _pool(samples.flatten(0, 1), pooling).unflatten(0, samples.shape[:2]).transpose(0, 1)


def _convolve(x: Tensor, kernel: Tensor, conv: ConvSpec, groups: int) -> Tensor:
    """`[B, C, H, W] * [O, C / groups, k, k] -> [B, O, H', W']`."""
    if not conv.padded_behind:
        return F.conv2d(x, kernel, padding=conv.padding, stride=conv.stride, groups=groups)
    x = F.pad(x, [conv.padding_before, conv.padding] * 2)
    return F.conv2d(x, kernel, stride=conv.stride, groups=groups)


def _pool(x: Tensor, pooling: Pooling) -> Tensor:
    """2x2 pool of `[B, C, H, W]`."""
    return F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)


class ImagesLast(SideBySide):
    """The images of an episode lie side by side, `[E, C, H, W, N]`. For the kernels of `htgen.cnn.fused`.

    What they do not do is done by plain operations, which take activations in any layout.
    """

    episodes_are_channels = False

    def channels_last(self, images: Tensor) -> Tensor:
        """Images `[E, N, C, H, W]` as `[N, E, C, H, W]` in this layout; there is no channel that is last."""
        return images_last(images.transpose(0, 1))

    def join(self, first: Tensor, others: Tensor) -> Tensor:
        """More images of the same episodes, `[N, E, C, H, W]` each, together."""
        return images_last(torch.cat([first, others]))

    def convolve(self, x: Tensor, kernel: Tensor, conv: ConvSpec) -> Tensor:
        """As where channels lie side by side; blocks that kernels can do do not come here."""
        return images_last(super().convolve(x, kernel, conv))

    def pool(self, x: Tensor, pooling: Pooling) -> Tensor:
        """2x2 pool of `[N, E, C, H, W]`."""
        return images_last(super().pool(x, pooling))


SIDE_BY_SIDE, BY_EPISODE, IMAGES_LAST = SideBySide(), ByEpisode(), ImagesLast()

LAYOUTS: dict[str, Layout] = {"cpu": SIDE_BY_SIDE}
"""By type of device; others have `BY_EPISODE`."""


def layout_for(device: torch.device) -> Layout:
    """The layout that activations on a device have, unless kernels made for them run there."""
    return LAYOUTS.get(device.type, BY_EPISODE)


def layout_of(x: Tensor) -> Layout:
    """The layout that activations `[N, E, C, H, W]` have."""
    return IMAGES_LAST if serves(x) and is_images_last(x) else layout_for(x.device)

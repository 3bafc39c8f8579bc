"""How activations of many episodes lie in memory."""

import torch
from torch import Tensor


def episodes_side_by_side(device: torch.device) -> bool:
    """Whether activations there have the channels of all episodes of a pixel side by side in memory; see
    `channels_last`."""
    return device.type == "cpu"


def channels_last(images: Tensor) -> Tensor:
    """Images `[E, N, C, H, W]` as the executor takes them: `[N, E, C, H, W]`, with channels last in memory.

    The layout lasts through convolutions, pools and pointwise work, which then run over whole vectors
    of channels. On the CPU the channels of all episodes of a pixel lie side by side, `[N, H, W, E, C]`: what
    a convolution in groups wants, and max-pools are ten times as fast in it. Elsewhere each episode keeps to
    itself, `[E, N, H, W, C]`: what batched matrix products want.
    """
    if episodes_side_by_side(images.device):
        return images.permute(1, 3, 4, 0, 2).contiguous().permute(0, 3, 4, 1, 2)
    return by_episode(images)


def by_episode(images: Tensor) -> Tensor:
    """`[E, N, C, H, W]` to `[N, E, C, H, W]` in the layout `[E, N, H, W, C]`; see `channels_last`."""
    return images.permute(0, 1, 3, 4, 2).contiguous().permute(1, 0, 4, 2, 3)


def as_batch(x: Tensor) -> Tensor:
    """`[N, E, C, H, W]` as the images of one batch, `[N * E, C, H, W]`; on a GPU with channels last."""
    if episodes_side_by_side(x.device):
        return x.flatten(0, 1)
    return x.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)


def join(first: Tensor, others: Tensor) -> Tensor:
    """More images of the same episodes, `[N, E, C, H, W]` each, in the layout that they have."""
    if episodes_side_by_side(first.device):
        # With four dimensions torch keeps channels last.
        return torch.cat([first.flatten(1, 2), others.flatten(1, 2)]).unflatten(1, first.shape[1:3])
    return torch.cat([x.permute(1, 0, 3, 4, 2) for x in (first, others)], dim=1).permute(1, 0, 4, 2, 3)

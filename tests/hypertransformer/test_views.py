import pytest
import torch
from helpers.models import build, episodes

from htgen.hypertransformer.views import WARPS, add_views, warp


def images(side: int = 12) -> torch.Tensor:
    return torch.rand(2, 6, 1, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("shot", "copies"), [(1, 4), (2, 2), (3, 2), (4, 2), (5, 0), (9, 0)])
def test_copies_fill_up_to_about_the_wanted_views(shot, copies):
    labels = torch.arange(2).repeat(shot).expand(3, -1)
    pixels = torch.zeros(3, 2 * shot, 1, 8, 8)
    more, names, ignore = add_views(pixels, labels, None, views=5, way=2)
    assert more.shape[1] == names.shape[1] == 2 * shot * (1 + copies)
    assert torch.equal(names[:, : 2 * shot], labels)
    assert ignore is None


def test_copies_keep_label_and_ignorance_of_their_image():
    labels = torch.tensor([[0, 1, -1, 0, 1, -1]] * 2)
    ignore = torch.tensor([[False, True, False, False, False, True]] * 2)
    more, names, ignored = add_views(images(), labels, ignore, views=5, way=2)
    assert torch.equal(names, labels.repeat(1, 3))
    assert torch.equal(ignored, ignore.repeat(1, 3))
    assert torch.equal(more[:, :6], images())
    assert torch.equal(more[:, 6:12], warp(images(), (WARPS[0],)))


def test_warps_are_turns_and_scales_about_the_centre():
    x = images()
    assert torch.allclose(warp(x, ((0.0, 1.0),)), x, atol=1e-6)
    assert torch.allclose(warp(x, ((90.0, 1.0),)), torch.rot90(x, 1, dims=(-2, -1)), atol=1e-5)
    dot = torch.zeros(1, 1, 1, 21, 21)
    dot[..., 10, 18] = 1  # 8 pixels right of the centre
    smaller = warp(dot, ((0.0, 1.25),))
    assert smaller.flatten().argmax() == 10 * 21 + 16  # 8 / 1.25 = 6.4


def test_the_order_of_support_images_still_does_not_matter():
    model = build(views=5)
    support, labels, query, slots = episodes(shot=1)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        expected = model(support, labels, query, slots)
        assert torch.allclose(model(support[:, order], labels[:, order], query, slots), expected, atol=1e-5)
        assert not torch.allclose(build()(support, labels, query, slots), expected, atol=1e-3)


def test_training_sees_the_images_as_they_are():
    support, labels, query, slots = episodes(shot=1)
    with_views, without = build(views=5).train(), build().train()
    assert torch.equal(with_views(support, labels, query, slots), without(support, labels, query, slots))

import torch
import torch.nn.functional as F

from htgen.episodes.geometry import enlarge


def test_the_smooth_displacement_is_bicubic():
    coarse = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(coarse, (28, 20), mode="bicubic", align_corners=True)
    torch.testing.assert_close(enlarge(coarse, 28, 20), expected, rtol=1e-5, atol=1e-6)

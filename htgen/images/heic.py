"""HEIC images, as phones take them: read where the optional package `pillow-heif` is installed."""

from functools import cache

ENDINGS = frozenset({".heic", ".heif", ".hif"})

INSTALL = "pip install 'htgen[heic]'"

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})

_SHARED_BRANDS = frozenset({b"mif1", b"msf1"})
"""Which AVIF files may begin with too, and then they name theirs after it."""


@cache
def teach_pillow() -> bool:
    """Have Pillow read them from now on; whether it can."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def is_heic(head: bytes) -> bool:
    """Whether a file is one.

    Args:
        head: its first 32 bytes.
    """
    if head[4:8] != b"ftyp":
        return False
    return head[8:12] in _BRANDS or (head[8:12] in _SHARED_BRANDS and b"avi" not in head[12:])

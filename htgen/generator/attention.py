"""Which support images the written weights attended to."""

from copy import copy

import numpy as np

from htgen.arrays import Floats
from htgen.generator.generator import Generator
from htgen.generator.support import Support
from htgen.hypertransformer.layer_writers_numpy import ConvWriter, LogitsWriter
from htgen.hypertransformer.transformer_numpy import Attention, Transformer


def attended(generator: Generator, support: Support) -> dict[str, Floats]:
    """Layer that is written -> for each support image the share of its weights' attention, `[S]`.

    The share is the mean over weights, heads and layers of the transformer; what weights attend to each other
    is left out. With one head after another these are not causes, but they tell where a layer looked. Layers
    that are learned are not here.

    While it runs, the generator must not be used by another thread.

    Raises:
        ModelError: there are more classes than the generator knows.
    """
    model = generator.model
    writers = [
        *zip((conv.name for conv in model.spec.convs), model.convs, strict=True),
        ("logits", model.logits),
    ]
    found: dict[str, list[Floats]] = {}
    replaced = []
    for name, writer in writers:
        slices = writer.slices if isinstance(writer, ConvWriter | LogitsWriter) else None
        if slices is not None:
            found[name] = []
            replaced.append((slices, slices.transformer))
            slices.transformer = _watched(slices.transformer, found[name])
    try:
        generator.write(support)
    finally:
        for slices, transformer in replaced:
            slices.transformer = transformer
    images = len(support.labels)
    shares = {name: _by_image(seen, images) for name, seen in found.items() if seen}
    return {name: share for name, share in shares.items() if share is not None}


def _watched(transformer: Transformer, seen: list[Floats]) -> Transformer:
    """A copy whose attention is noted."""
    watched = copy(transformer)
    watched.encoder, watched.decoder = (
        [copy(layer) for layer in part] for part in (transformer.encoder, transformer.decoder)
    )
    for layer in (*watched.encoder, *watched.decoder):
        for part in ("attention", "cross"):
            attention = getattr(layer, part, None)
            if isinstance(attention, Attention):
                noted = copy(attention)
                noted.seen = seen
                setattr(layer, part, noted)
    return watched


def _by_image(seen: list[Floats], images: int) -> Floats | None:
    """Shares `[S]` of attention `[E, heads, T, U]`; the last sources are samples, all images in turn."""
    shares = []
    for weights in seen:
        sources = weights.shape[3]
        samples = sources // images * images
        if not samples:
            continue
        queries = weights[:, :, : max(1, sources - samples)] if weights.shape[2] > samples else weights
        share = queries[..., sources - samples :].mean(axis=(0, 1, 2))
        shares.append(share.reshape(-1, images).sum(axis=0))
    if not shares:
        return None
    total: Floats = np.mean(shares, axis=0)
    return total / max(float(total.sum()), 1e-9)

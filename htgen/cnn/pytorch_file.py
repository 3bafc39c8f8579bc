"""A generated CNN as a few lines of plain PyTorch, which load the CNN file without htgen."""

from collections.abc import Iterator, Sequence

from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CNN_LEAKY_SLOPE, NORM_EPSILON, CnnSpec, ConvSpec

_ACTIVATIONS = {
    "relu": "x = F.relu(x)",
    "relu6": "x = F.relu6(x)",
    "lrelu": f"x = F.leaky_relu(x, {CNN_LEAKY_SLOPE})",
}


_WIDENED = (
    "def widened(w: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:",
    '    """Kernels of 8 bits, times the scales of their output channels; biases with 32 bits."""',
    "    scales = {name: w[name + '.scale'][:, None, None, None] for name in w if name + '.scale' in w}",
    "    return {name: x * scales[name] if name in scales else x.float() for name, x in w.items()}",
    "",
    "",
)


def pytorch_text(bundle: Bundle, file_name: str, stored: Sequence[str] | None = None) -> str:
    """Python source: a function from prepared pixels to logits.

    Args:
        file_name: the CNN file, as seen from the program's folder.
        stored: the classes in the order of that file, where the bundle has another one.
    """
    order = None if stored is None else [stored.index(name) for name in bundle.classes]
    spec = bundle.spec
    load = "widened(load_file(FILE))" if bundle.has_8_bits else "load_file(FILE)"
    shape = f"[N, {spec.image_channels}, {spec.image_size}, {spec.image_size}]"
    return "\n".join(
        [
            '"""A CNN that `htgen generate` wrote, in plain PyTorch. Needs torch and safetensors."""',
            "",
            "from pathlib import Path",
            "",
            "import torch",
            "import torch.nn.functional as F",
            "from safetensors.torch import load_file",
            "",
            f"FILE = Path(__file__).parent / {file_name!a}",
            f"CLASSES = {list(bundle.classes)!a}",
            f"PREPROCESSING = {bundle.preprocessing.to_dict()!a}",
            "",
            "",
            "def logits(pixels: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:",
            f'    """Prepared images {shape}, 0 to 255 -> logits [N, {len(bundle.classes)}]."""',
            "    x = pixels / 128 - 1",
            *(f"    {line}" for line in _lines(spec, order)),
            "",
            "",
            *(_WIDENED if bundle.has_8_bits else ()),
            'if __name__ == "__main__":',
            f"    images = torch.zeros({shape.replace('N', '1')})",
            f"    print(dict(zip(CLASSES, logits(images, {load})[0].softmax(dim=0).tolist())))",
            "",
        ]
    )


def _lines(spec: CnnSpec, order: list[int] | None) -> Iterator[str]:
    for conv in spec.convs:
        for step in spec.steps(conv):
            yield _line(spec, conv, step)
        if conv.name in spec.added:
            yield f"{conv.name} = x"
    features = "x.flatten(1)" if spec.head == "flatten" else "x.mean(dim=(2, 3))"
    if spec.unit_features:
        features = f"F.normalize({features}, dim=1)"
    logits = f'F.linear({features}, w["logits.weight"], w["logits.bias"])'
    yield f"return {logits}" if order is None else f"return {logits}[:, {order}]  # as CLASSES"


def _line(spec: CnnSpec, conv: ConvSpec, step: str) -> str:
    if step == "conv":
        groups = f", groups={conv.groups}" if conv.groups > 1 else ""
        if conv.padded_behind:
            image = f"F.pad(x, {(conv.padding_before, conv.padding) * 2})"
            return f'x = F.conv2d({image}, w["{conv.name}.weight"], stride={conv.stride}{groups})'
        how = f"stride={conv.stride}, padding={conv.padding}{groups}"
        return f'x = F.conv2d(x, w["{conv.name}.weight"], {how})'
    if step == "bias":
        return f'x = x + w["{conv.name}.bias"][:, None, None]'
    if step == "add":
        return f"x = x + {conv.add}"
    if step == "activation":
        return _ACTIVATIONS[spec.activation_of(conv)]
    if step == "pool":
        return f"x = F.{'max' if conv.pooling == 'max' else 'avg'}_pool2d(x, 2)"
    mean, variance, gamma, beta = (
        f'w["{conv.name}.norm.{part}"]' for part in ("mean", "var", "weight", "bias")
    )
    if spec.norm == "batch":  # of the images at hand
        return f"x = F.batch_norm(x, None, None, {gamma}, {beta}, training=True, eps={NORM_EPSILON})"
    return f"x = F.batch_norm(x, {mean}, {variance}, {gamma}, {beta}, eps={NORM_EPSILON})"

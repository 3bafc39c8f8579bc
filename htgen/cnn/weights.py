"""The weights of CNNs by layer, and their names in files. For tensors and arrays. No torch here.

Shapes are those of E CNNs, one for each episode. Those of a single CNN, as in files, are the same without E.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeVar

from htgen.cnn.spec import CnnSpec, ConvSpec

Array = TypeVar("Array")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Moments(Generic[Array]):
    """Mean and variance `[E, C]` of a block's output, before normalisation."""

    mean: Array
    variance: Array


@dataclass(frozen=True)
class Affine(Generic[Array]):
    """Scale and shift `[E, C]` of a norm."""

    gamma: Array
    beta: Array


@dataclass(frozen=True)
class Norm(Generic[Array]):
    """A norm: scale, shift, and the support set's mean and variance, `[E, C]` each."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array

    @property
    def moments(self) -> Moments[Array]:
        """Mean and variance alone."""
        return Moments(self.mean, self.variance)

    def values(self) -> Iterator[Array]:
        """All four."""
        yield from (self.gamma, self.beta, self.mean, self.variance)


@dataclass(frozen=True)
class BlockWeights(Generic[Array]):
    """Weights of a block: kernel `[E, O, C / groups, k, k]`, bias `[E, O]` if any, norm if any."""

    kernel: Array
    bias: Array | None
    norm: Norm[Array] | None

    def map(self, change: Callable[[Array], Other]) -> "BlockWeights[Other]":
        """The same with every tensor changed."""
        bias = None if self.bias is None else change(self.bias)
        norm = None if self.norm is None else Norm(*map(change, self.norm.values()))
        return BlockWeights(change(self.kernel), bias, norm)

    def values(self) -> Iterator[Array]:
        """All that there are."""
        yield self.kernel
        if self.bias is not None:
            yield self.bias
        if self.norm is not None:
            yield from self.norm.values()


@dataclass(frozen=True)
class WrittenBlock(Generic[Array]):
    """Weights of a block before the statistics of its support set are known.

    Attributes:
        kernel, bias: as in `BlockWeights`.
        support: of the norm of support images; None for a block without a norm.
        query: of the norm of query images, if that is another one. It is the finished CNN's.
        query_kernel, query_bias: likewise.
    """

    kernel: Array
    bias: Array | None
    support: Affine[Array] | None
    query: Affine[Array] | None = None
    query_kernel: Array | None = None
    query_bias: Array | None = None

    @staticmethod
    def of_parts(parts: Mapping[str, Array]) -> "WrittenBlock[Array]":
        """Of `kernel`, `gamma`, `beta`, `bias` if any, and what is another one for queries: `query_...`."""
        support = Affine(parts["gamma"], parts["beta"]) if "gamma" in parts else None
        query = Affine(parts["query_gamma"], parts["query_beta"]) if "query_gamma" in parts else None
        return WrittenBlock(
            parts["kernel"],
            parts.get("bias"),
            support,
            query,
            parts.get("query_kernel"),
            parts.get("query_bias", parts.get("bias")),
        )

    def finished(self, stats: Moments[Array] | None) -> BlockWeights[Array]:
        """The block as it is executed and saved.

        Args:
            stats: of its support set; None for a block without a norm.
        """
        affine = self.support if self.query is None else self.query
        norm = None
        if affine is not None and stats is not None:
            norm = Norm(affine.gamma, affine.beta, stats.mean, stats.variance)
        kernel = self.kernel if self.query_kernel is None else self.query_kernel
        bias = self.bias if self.query_bias is None else self.query_bias
        return BlockWeights(kernel, bias, norm)


@dataclass(frozen=True)
class CnnWeights(Generic[Array]):
    """Whole CNNs: blocks in the order of `CnnSpec.convs`, logits weight `[E, n, F]` and bias `[E, n]`."""

    blocks: tuple[BlockWeights[Array], ...]
    logits_weight: Array
    logits_bias: Array

    def map(self, change: Callable[[Array], Other]) -> "CnnWeights[Other]":
        """The same with every tensor changed."""
        blocks = tuple(block.map(change) for block in self.blocks)
        return CnnWeights(blocks, change(self.logits_weight), change(self.logits_bias))

    @staticmethod
    def joined(
        spec: CnnSpec, parts: "Sequence[CnnWeights[Array]]", join: Callable[[list[Array]], Array]
    ) -> "CnnWeights[Array]":
        """CNNs of one description, of which each tensor is joined."""
        tensors = [part.to_tensors(spec) for part in parts]
        return CnnWeights.from_tensors(spec, {name: join([t[name] for t in tensors]) for name in tensors[0]})

    def values(self) -> Iterator[Array]:
        """All tensors."""
        for block in self.blocks:
            yield from block.values()
        yield from (self.logits_weight, self.logits_bias)

    def to_tensors(self, spec: CnnSpec) -> dict[str, Array]:
        """The tensors by their names in files."""
        return dict(zip(tensor_names(spec).values(), self.values(), strict=True))

    @staticmethod
    def from_tensors(spec: CnnSpec, tensors: Mapping[str, Array]) -> "CnnWeights[Array]":
        """The inverse of `to_tensors`.

        Raises:
            KeyError: a tensor is missing.
        """
        return tensor_names(spec).map(lambda name: tensors[name])


@lru_cache(maxsize=32)
def tensor_names(spec: CnnSpec) -> CnnWeights[str]:
    """The names that tensors have in files, each in its place.

    Raises:
        TypeError: the description cannot be hashed; `CnnSpec.faults` says what is wrong with it.
    """
    return CnnWeights(tuple(map(_names_of, spec.convs)), "logits.weight", "logits.bias")


def _names_of(conv: ConvSpec) -> BlockWeights[str]:
    norm = Norm(*(f"{conv.name}.norm.{part}" for part in ("weight", "bias", "mean", "var")))
    bias = f"{conv.name}.bias" if conv.bias else None
    return BlockWeights(f"{conv.name}.weight", bias, norm if conv.norm else None)


@lru_cache(maxsize=32)
def tensor_shapes(spec: CnnSpec, classes: int) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the tensors of one CNN.

    Raises:
        TypeError: as `tensor_names`.
    """
    logits = (classes, spec.feature_count)
    shapes = CnnWeights(tuple(map(_shapes_of, spec.convs)), logits, (classes,))
    return MappingProxyType(shapes.to_tensors(spec))  # all who ask share it


def _shapes_of(conv: ConvSpec) -> BlockWeights[tuple[int, ...]]:
    outputs: tuple[int, ...] = (conv.out_channels,)
    bias = outputs if conv.bias else None
    return BlockWeights(conv.kernel_shape, bias, Norm(*[outputs] * 4) if conv.norm else None)


def with_biases(spec: CnnSpec, tensors: Collection[str]) -> CnnSpec:
    """The description with biases where it has some, and where there are tensors of their names."""
    with_all = (replace(conv, bias=True) for conv in spec.convs)
    have = (_names_of(conv).bias in tensors for conv in with_all)
    convs = (replace(conv, bias=conv.bias or has) for conv, has in zip(spec.convs, have, strict=True))
    return replace(spec, convs=tuple(convs))

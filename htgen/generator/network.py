"""A stored generator as a module of torch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from htgen.generator.file import GeneratorFile, check
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.plan import generator_plan
from htgen.tensor_files import Arrays


def build(file: GeneratorFile) -> HyperTransformer:
    """A stored generator as a module, in evaluation mode, to be trained, evaluated or calibrated.

    Raises:
        ModelError: the tensors do not fit the description.
    """
    file, source = file.complete(), f"generator '{file.name}'"
    check(file.tensors, generator_plan(file.model).shapes, source)  # before memory is taken for them
    model = HyperTransformer(file.model)
    load_tensors(model, file.tensors, source)
    return model.eval()


def to_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    """Copies of tensors, as files hold them."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def load_tensors(model: torch.nn.Module, tensors: Arrays, source: str) -> None:
    """Copy tensors into a model of exactly these names and shapes.

    Raises:
        ModelError: names or shapes differ, or not all values are numbers.
    """
    check(tensors, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, source)
    model.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in tensors.items()})

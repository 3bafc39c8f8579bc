"""htgen: a folder of a few labelled images in, a tiny CNN out, in one forward pass.

The names below are loaded when they are first used, so that `import htgen` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from htgen.version import __version__

if TYPE_CHECKING:
    from htgen.cnn.bundle import Bundle, Prediction
    from htgen.cnn.module import GeneratedCNN, load_cnn
    from htgen.errors import ConfigError, DataError, HtgenError, ModelError, OutputError, RunError
    from htgen.generator.generator import Generator, load_generator
    from htgen.generator.self_check import LeaveOneOut

_HOMES = {
    "Bundle": "cnn.bundle",
    "ConfigError": "errors",
    "DataError": "errors",
    "GeneratedCNN": "cnn.module",
    "Generator": "generator.generator",
    "HtgenError": "errors",
    "LeaveOneOut": "generator.self_check",
    "ModelError": "errors",
    "OutputError": "errors",
    "Prediction": "cnn.bundle",
    "RunError": "errors",
    "load_cnn": "cnn.module",
    "load_generator": "generator.generator",
}

__all__ = [
    "Bundle",
    "ConfigError",
    "DataError",
    "GeneratedCNN",
    "Generator",
    "HtgenError",
    "LeaveOneOut",
    "ModelError",
    "OutputError",
    "Prediction",
    "RunError",
    "__version__",
    "load_cnn",
    "load_generator",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'htgen' has no attribute '{name}'")
    return getattr(import_module(f"htgen.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

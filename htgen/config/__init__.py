"""The typed configuration of a training run. The names below are loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from htgen.config.files import load_config
    from htgen.config.model import ModelConfig
    from htgen.config.run import Config

_HOMES = {"Config": "run", "ModelConfig": "model", "load_config": "files"}

__all__ = ["Config", "ModelConfig", "load_config"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'htgen.config' has no attribute '{name}'")
    return getattr(import_module(f"htgen.config.{_HOMES[name]}"), name)

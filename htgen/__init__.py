"""htgen: a folder of a few labelled images in, a tiny CNN out, in one forward pass.

The names below are loaded when they are first used, so that `import htgen` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from htgen.version import __version__

if TYPE_CHECKING:
    from htgen.cnn.bundle import Bundle, Prediction
    from htgen.cnn.labelled_folder import TestedImage, TestResult, test_cnn
    from htgen.cnn.module import GeneratedCNN, load_cnn
    from htgen.cnn.score import Score
    from htgen.config.files import load_config
    from htgen.errors import (
        ConfigError,
        DataError,
        HtgenError,
        ModelError,
        OutputError,
        RunError,
        SettingError,
    )
    from htgen.evaluation.augmented_as import AugmentedAs
    from htgen.evaluation.calibration import CalibrationTasks, calibrate
    from htgen.evaluation.measurement import evaluate
    from htgen.evaluation.protocol import EvaluationProtocol, EvaluationResult
    from htgen.generator.from_folder import FolderImages, GeneratedFromFolder, generate_from_folder
    from htgen.generator.generator import Generator, load_generator
    from htgen.generator.grown_folder import GrownFromFolder, grow_from_folder
    from htgen.generator.self_check import LeaveOneOut
    from htgen.generator.support import Support
    from htgen.training.launch import train

_HOMES = {
    "AugmentedAs": "evaluation.augmented_as",
    "Bundle": "cnn.bundle",
    "CalibrationTasks": "evaluation.calibration",
    "ConfigError": "errors",
    "DataError": "errors",
    "EvaluationProtocol": "evaluation.protocol",
    "EvaluationResult": "evaluation.protocol",
    "FolderImages": "generator.from_folder",
    "GeneratedCNN": "cnn.module",
    "GeneratedFromFolder": "generator.from_folder",
    "Generator": "generator.generator",
    "GrownFromFolder": "generator.grown_folder",
    "HtgenError": "errors",
    "LeaveOneOut": "generator.self_check",
    "ModelError": "errors",
    "OutputError": "errors",
    "Prediction": "cnn.bundle",
    "RunError": "errors",
    "Score": "cnn.score",
    "SettingError": "errors",
    "Support": "generator.support",
    "TestResult": "cnn.labelled_folder",
    "TestedImage": "cnn.labelled_folder",
    "calibrate": "evaluation.calibration",
    "evaluate": "evaluation.measurement",
    "generate_from_folder": "generator.from_folder",
    "grow_from_folder": "generator.grown_folder",
    "load_cnn": "cnn.module",
    "load_config": "config.files",
    "load_generator": "generator.generator",
    "test_cnn": "cnn.labelled_folder",
    "train": "training.launch",
}

__all__ = [
    "AugmentedAs",
    "Bundle",
    "CalibrationTasks",
    "ConfigError",
    "DataError",
    "EvaluationProtocol",
    "EvaluationResult",
    "FolderImages",
    "GeneratedCNN",
    "GeneratedFromFolder",
    "Generator",
    "GrownFromFolder",
    "HtgenError",
    "LeaveOneOut",
    "ModelError",
    "OutputError",
    "Prediction",
    "RunError",
    "Score",
    "SettingError",
    "Support",
    "TestResult",
    "TestedImage",
    "__version__",
    "calibrate",
    "evaluate",
    "generate_from_folder",
    "grow_from_folder",
    "load_cnn",
    "load_config",
    "load_generator",
    "test_cnn",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'htgen' has no attribute '{name}'")
    return getattr(import_module(f"htgen.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

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
    from htgen.generator.generator import Generator, load_generator
    from htgen.generator.self_check import LeaveOneOut

_HOMES = {
    "AugmentedAs": "evaluation.augmented_as",
    "Bundle": "cnn.bundle",
    "CalibrationTasks": "evaluation.calibration",
    "ConfigError": "errors",
    "DataError": "errors",
    "EvaluationProtocol": "evaluation.protocol",
    "EvaluationResult": "evaluation.protocol",
    "GeneratedCNN": "cnn.module",
    "Generator": "generator.generator",
    "HtgenError": "errors",
    "LeaveOneOut": "generator.self_check",
    "ModelError": "errors",
    "OutputError": "errors",
    "Prediction": "cnn.bundle",
    "RunError": "errors",
    "Score": "cnn.score",
    "SettingError": "errors",
    "TestResult": "cnn.labelled_folder",
    "TestedImage": "cnn.labelled_folder",
    "calibrate": "evaluation.calibration",
    "evaluate": "evaluation.measurement",
    "load_cnn": "cnn.module",
    "load_generator": "generator.generator",
    "test_cnn": "cnn.labelled_folder",
}

__all__ = [
    "AugmentedAs",
    "Bundle",
    "CalibrationTasks",
    "ConfigError",
    "DataError",
    "EvaluationProtocol",
    "EvaluationResult",
    "GeneratedCNN",
    "Generator",
    "HtgenError",
    "LeaveOneOut",
    "ModelError",
    "OutputError",
    "Prediction",
    "RunError",
    "Score",
    "SettingError",
    "TestResult",
    "TestedImage",
    "__version__",
    "calibrate",
    "evaluate",
    "load_cnn",
    "load_generator",
    "test_cnn",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'htgen' has no attribute '{name}'")
    return getattr(import_module(f"htgen.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

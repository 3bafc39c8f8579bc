"""The order of the package's folders, read from import lines alone; what starts fast reaches no torch.

Nothing is imported here: the source is parsed, so that a wrong import cannot hide behind a cache.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "htgen"

LEVELS = [
    {"cli"},
    {"app", "report"},
    {"bench"},
    {"training"},
    {"evaluation"},
    {"generator"},
    {"hypertransformer", "episodes", "compute"},
    {"config"},
    {"datasets", "cnn"},
    {"images"},
]
"""From above to below: a folder imports from lower levels alone, not from others of its own level. Single
files beside the folders come last."""

WITH_TORCH = {
    "episodes": {"except": {"shape"}},
    "compute": {"except": {"memory", "processes"}},
    "evaluation": {"except": {"augmented_as"}},
    "training": {"except": {"run_folder", "curve"}},
    "bench": {"except": {"cost", "report"}},
    "cnn": {"only": {"layout", "executor", "batch_norm", "module", "fused"}},
    "hypertransformer": {
        "only": {
            "encoder",
            "transformer",
            "joint_layer",
            "fused_layer",
            "layer_writers",
            "hypertransformer",
        }
    },
    "generator": {"only": {"network"}},
}
"""Modules that may import torch as they are loaded."""

FAST_COMMANDS = (
    "generate",
    "predict",
    "export",
    "app_page",
    "watch",
    "inspect",
    "configs",
    "prepare_data",
    "plot",
)

LONGEST_FILE, LONGEST_FUNCTION, LONGEST_CLASS = 400, 60, 250


def modules() -> dict[str, Path]:
    """Name of every module of the package -> its file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports(name: str, everywhere: bool) -> Iterator[str]:
    """Modules that a module imports: of htgen by their full name, others by their first part.

    Args:
        everywhere: inside functions too; otherwise what is imported as the module is loaded.
    """
    waiting: list[ast.AST] = [tree(name)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            if everywhere:  # what types need must follow the order too
                waiting += node.body
            waiting += node.orelse
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def level(name: str) -> int:
    """How high a module stands; single files are lowest, the package's own front highest."""
    parts = name.split(".")
    if name in ("htgen", "htgen.__main__"):
        return -1
    if (PACKAGE / parts[1]).is_dir():
        return next(number for number, folders in enumerate(LEVELS) if parts[1] in folders)
    return len(LEVELS)


def may_import_torch(name: str) -> bool:
    _, folder, *rest = (*name.split("."), "")
    rule = WITH_TORCH.get(folder)
    if rule is None or not rest[0]:
        return False
    return rest[0] not in rule["except"] if "except" in rule else rest[0] in rule["only"]


def test_every_folder_has_a_level():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set().union(*LEVELS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name):
    for other in imports(name, everywhere=True):
        if not other.startswith("htgen.") or level(name) < level(other):
            continue
        same_folder = name.split(".")[1] == other.split(".")[1]
        assert same_folder or level(name) == level(other) == len(LEVELS), f"{name} imports {other}"


def test_no_circle():
    """Neither among modules, by all imports, nor hidden behind an import inside a function."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for other in sorted(set(imports(name, everywhere=True))):
            if other in MODULES and other != name and other not in FRONTS:
                visit(other, (*path, name))
        done.add(name)

    for name in MODULES:
        if name not in FRONTS:
            visit(name, ())


FRONTS = {"htgen", *(name for name, path in MODULES.items() if path.name == "__init__.py")}
"""Names handed on for users; a circle through them is none, as no module of the package takes them."""


@pytest.mark.parametrize("name", MODULES)
def test_no_module_takes_a_name_from_a_front(name):
    """Each name is imported from the module that has it."""
    through = {other for other in imports(name, everywhere=True) if other in FRONTS}
    assert through <= WITH_NAMES_OF_THEIR_OWN, f"{name} imports {through}"


WITH_NAMES_OF_THEIR_OWN = {"htgen.cli"}
"""Fronts that are no list of others' names."""


@pytest.mark.parametrize("name", MODULES)
def test_torch_is_loaded_only_where_it_is_expected(name):
    if not may_import_torch(name):
        assert not [other for other in imports(name, everywhere=False) if other.split(".")[0] == "torch"]


@pytest.mark.parametrize("name", [name for name in MODULES if may_import_torch(name)])
def test_what_may_load_torch_does_or_leads_to_it(name):
    """An entry that is out of date would hide what comes later."""
    assert reaches_torch(name), name


@pytest.mark.parametrize("command", ["__init__", *FAST_COMMANDS])
def test_what_starts_fast_reaches_no_torch(command):
    name = "htgen.cli" if command == "__init__" else f"htgen.cli.{command}"
    assert name in MODULES
    assert not reaches_torch(name)


def reaches_torch(start: str) -> bool:
    """Whether loading a module loads torch, by the import lines that run then.

    For a command also those inside its functions: it runs them at once.
    """
    is_command = start.startswith("htgen.cli.")
    seen, waiting = {start}, [start]
    while waiting:
        name = waiting.pop()
        for other in imports(name, everywhere=name == start and is_command):
            if other.split(".")[0] == "torch":
                return True
            for part in (other, *packages_around(other)):
                if part in MODULES and part not in seen:
                    seen.add(part)
                    waiting.append(part)
    return False


def packages_around(name: str) -> Iterator[str]:
    """`a.b.c` -> `a.b`, `a`: their `__init__` runs first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_too_long_to_be_read(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            limit = LONGEST_CLASS if isinstance(node, ast.ClassDef) else LONGEST_FUNCTION
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = node.end_lineno - first + 1
            assert length <= limit, f"{name}.{node.name} has {length} lines"


@pytest.mark.parametrize("name", MODULES)
def test_names_that_begin_with_an_underscore_stay_in_their_module(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("htgen"):
            private = [alias.name for alias in node.names if alias.name[0] == "_" != alias.name[1]]
            assert private == [], f"{name} imports {private}"

"""The house rules, held by the house itself."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "src" / "afina"

FLOORS = [  # top to bottom; rooms on one floor do not know each other
    {"__main__"},
    {"cli"},
    {"demos", "migration"},
    {
        "tuners",
        "testing",
        "visualization",
        "integrations",
        "engine",
        "oracles",
        "applications",
        "spaces",
        "src",
        "as_keras_tuner",
    },
    {"dashboard"},
    {"report"},
    {"page"},
    {"study", "progress"},
    {"advice"},
    {"search"},
    {"surrogates", "store", "run", "training"},
    {"trials"},
    {"space"},
    {"errors", "backend", "alias", "html_tables"},
]
FLOOR = {room: height for height, rooms in enumerate(reversed(FLOORS)) for room in rooms}

# Keras Tuner's users know the tuners under some of these names too: doors of one room.
FACE = {"tuners", "engine", "oracles", "applications", "spaces", "src", "as_keras_tuner"}

# The package itself re-exports the tuners, so whoever imports it depends on their floor; its
# version is the one thing in it that is everybody's.
PACKAGE = "tuners"

HEAVY = {
    "IPython",
    "fsspec",
    "jax",
    "keras",
    "matplotlib",
    "pandas",
    "plotly",
    "ray",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "starlette",
    "tensorflow",
    "torch",
    "uvicorn",
}

MOST_LINES = 600
MOST_LINES_OF_A_FUNCTION = 60

FILES = sorted(ROOT.rglob("*.py"))
INSIDE = [file for file in FILES if file != ROOT / "__init__.py"]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def module_of(file: Path) -> str:
    parts = ("afina", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, *, late: bool, types: bool = False) -> Iterator[ast.AST]:
    """The nodes that run on import; with `late` those within functions too, and with `types` those
    that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        within_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if (only_for_types(child) and not types) or (within_function and not late):
            continue
        yield child
        yield from walk(child, late=late, types=types)


def imports(file: Path, *, types: bool = False) -> Iterator[str]:
    """Modules of afina, `afina.room.file` or `afina.room.name`, that a file imports, also late.

    Args:
        file: The file.
        types: Whether imports for type checkers count.
    """
    for node in walk(parsed(file), late=True, types=types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "afina")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}: imports are absolute here"
            if (node.module or "").split(".")[0] == "afina":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported_by(file: Path) -> set[str]:
    rooms = set()
    for module in imports(file, types=True):
        room = [*module.split("."), PACKAGE][1]
        if room != "__version__":
            rooms.add(room if room in FLOOR else PACKAGE)
    return rooms


def test_every_room_has_its_floor() -> None:
    assert {room_of(file) for file in INSIDE} <= set(FLOOR)


def found_in(files: Iterable[Path], look: Callable[[Path], object]) -> dict[str, object]:
    """What `look` finds, by the names of the files in which it finds something."""
    return {name_of(file): found for file in files if (found := look(file))}


def test_a_room_imports_only_from_lower_floors() -> None:
    """What two rooms share belongs on a lower floor than both."""

    def higher(file: Path) -> set[str]:
        room = room_of(file)
        own = FACE if room in FACE else {room}
        return {other for other in rooms_imported_by(file) - own if FLOOR[other] >= FLOOR[room]}

    assert not found_in(INSIDE, higher)


def reached_from(graph: dict[str, set[str]], start: str) -> set[str]:
    """All modules that a module needs, directly or through others."""
    found: set[str] = set()
    todo = [start]
    while todo:
        new = graph[todo.pop()] - found
        found |= new
        todo += new
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports within functions and imports for type checkers count: they only hide a circle."""
    file_of = {module_of(file): file for file in FILES}

    def targets(file: Path) -> set[str]:
        # `from afina.room import name` is a module of that name if there is one, else the room.
        found = set()
        for module in imports(file, types=True):
            found.add(module if module in file_of else module.rpartition(".")[0])
        return (found & set(file_of)) - {module_of(file)}

    graph = {module: targets(file) for module, file in file_of.items()}
    # The package's own names are loaded on demand, so importing it loads nothing else.
    graph["afina"] = set()
    reached = {module: reached_from(graph, module) for module in graph}
    circles = {
        frozenset({module, *(other for other in needs if module in reached[other])})
        for module, needs in reached.items()
        if module in needs
    }
    assert not circles, "these import each other"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Those of a function without its docstring."""
    assert function.end_lineno is not None
    documented = ast.get_docstring(function, clean=False) or ""
    return function.end_lineno - function.lineno + 1 - documented.count("\n")


def test_files_and_functions_are_short() -> None:
    def length(file: Path) -> int:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        return lines if lines > MOST_LINES else 0

    def long_functions(file: Path) -> dict[str, int]:
        functions = (
            node
            for node in ast.walk(parsed(file))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        lines = {node.name: lines_of(node) for node in functions}
        return {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FUNCTION}

    assert not found_in(FILES, length)
    assert not found_in(FILES, long_functions)


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_every_module_and_every_public_name_has_a_docstring() -> None:
    def without(file: Path) -> list[str]:
        tree = parsed(file)
        own = [] if ast.get_docstring(tree) else ["the module itself"]
        return own + [node.name for node in public(tree.body) if not ast.get_docstring(node)]

    assert not found_in(FILES, without)


def all_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def test_the_list_of_public_names_is_exact() -> None:
    """What `__all__` lists is there; what the file defines for others is in `__all__`."""
    listing = [file for file in FILES if all_of(parsed(file))]
    assert len(listing) > 30

    def twice(file: Path) -> list[str]:
        names = all_of(parsed(file)) or []
        return sorted(name for name in set(names) if names.count(name) > 1)

    def unlisted(file: Path) -> set[str]:
        tree = parsed(file)
        defined = {node.name for node in public(tree.body) if node in tree.body}
        return defined - set(all_of(tree) or [])

    def missing(file: Path) -> list[str]:
        module = importlib.import_module(module_of(file))
        return [name for name in all_of(parsed(file)) or [] if not hasattr(module, name)]

    assert not found_in(listing, twice)
    assert not found_in(listing, unlisted)
    assert not found_in(listing, missing)


# Keras Tuner's users know these names from `tuners`, and the rooms below have the same things
# under their own.
OF_TWO_ROOMS = {"BayesianOptimization", "Hyperband", "Trial"}


def test_no_two_classes_of_different_rooms_share_a_name() -> None:
    """A leading underscore is no difference: who reads the name thinks of the other class."""
    rooms: dict[str, set[str]] = {}
    for file in FILES:
        for node in parsed(file).body:
            if isinstance(node, ast.ClassDef):
                rooms.setdefault(node.name.lstrip("_"), set()).add(room_of(file))
    assert {name for name, homes in rooms.items() if len(homes) > 1} == OF_TWO_ROOMS


def test_no_room_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert not [name_of(file) for file in FILES if {file.stem, file.parent.name} & drawers]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["afina", "afina.cli", "afina.errors"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = set(ast.literal_eval(run_python(code)))
    assert not loaded & HEAVY


@pytest.mark.parametrize("room", ["space", "trials", "surrogates", "search"])
def test_the_rooms_of_pure_thought_load_neither_keras_nor_a_database(room: str) -> None:
    code = f"import sys, afina.{room}; print(sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = set(ast.literal_eval(run_python(code)))
    assert not loaded & (HEAVY - {"scipy"})

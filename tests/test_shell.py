"""What the package promises as a package: commands, versions, dependencies, size."""

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import sknm
import sknm.datasets
import sknm.inspection

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sknm"
EXAMPLES = ROOT / "examples"
SOURCES = sorted(PACKAGE.rglob("*.py"))

PAGES = [
    "README.md",
    ".github/CONTRIBUTING.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "doc").glob("*.md")),
]

# Which parts of sknm each part may import; parts are a file or a folder of sknm.
MAY_IMPORT = {
    "compute": {"compute"},
    "graph": {"graph", "compute"},
    "plasticity": {"plasticity", "graph", "compute", "_wording"},
    "encoding": {"encoding", "compute", "_warnings"},
    "training": {"training", "encoding", "plasticity", "graph", "compute"},
    # Of plasticity, what co-activation is: it is defined once.
    "inspection": {"inspection", "plasticity", "graph", "_wording"},
    "targets": {"targets", "training", "encoding", "checks"},
    "explanations": {
        "explanations",
        "targets",
        "training",
        "graph",
        "compute",
        "checks",
    },
}


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def commands(text):
    """Return the one-line commands that install sknm and run something."""
    return re.findall(r"^ *(python3 -m venv \.venv && .*&& .*)$", text, re.MULTILINE)


def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


def imported_modules(path):
    """Absolute names of the modules that a file imports, relative ones resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            # "from sknm import base" imports sknm.base; a name within a module
            # only adds a last part that no rule below looks at.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def part_of(module):
    """Part of sknm that a dotted name belongs to; None outside sknm."""
    names = module.split(".")
    return names[1] if names[0] == "sknm" and len(names) > 1 else None


def files_of(part):
    return [p for p in SOURCES if p.relative_to(PACKAGE).parts[0] == part]


def test_readme_names_two_commands():
    assert len(commands(read("README.md"))) == 2


def test_ci_runs_the_commands_of_the_readme():
    assert commands(read(".ci/run")) == commands(read("README.md"))


@pytest.mark.parametrize("page", [".github/CONTRIBUTING.md", "doc/install.md"])
def test_other_pages_give_the_test_command_of_the_readme(page):
    test_command = commands(read("README.md"))[1]
    assert commands(read(page)) == [test_command]


@pytest.mark.parametrize(
    "path", [".ci/run", ".github/workflows/ci.yml", ".pre-commit-config.yaml"]
)
def test_docstrings_are_checked_in_the_same_way_everywhere(path):
    check = r"python -m pytest --numprocesses=0 tests/test_docstrings\.py$"
    assert len(re.findall(check, read(path), re.MULTILINE)) == 1
    assert "numpydoc" not in read(path)


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_files_that_exist(page):
    text, folder = read(page), (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (folder / link).exists()] == []
    scripts = re.findall(r"\b(?:examples|tests|sknm)/[\w/]+\.py\b", text)
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_version_is_the_one_of_the_metadata():
    assert sknm.__version__ == version("sknm") == project()["version"]


def test_oldest_constraints_are_the_lower_bounds():
    def bounds(lines, operator):
        pairs = (line.split(operator) for line in lines if operator in line)
        return {name: tuple(map(int, v.split("."))) for name, v in pairs}

    oldest = bounds(read(".github/constraints-oldest.txt").splitlines(), "==")
    lowest = bounds(project()["dependencies"], ">=")
    assert oldest.keys() == lowest.keys()
    for name, bound in lowest.items():
        assert oldest[name][: len(bound)] == bound, name
        assert not any(oldest[name][len(bound) :]), name


def test_public_names_are_sorted_and_importable():
    assert sknm.__all__ == sorted(sknm.__all__)
    assert all(hasattr(sknm, name) for name in sknm.__all__)


def test_api_page_lists_every_public_name():
    names = {
        *sknm.__all__,
        *sknm.datasets.__all__,
        *sknm.inspection.__all__,
        "Topology",
    }
    assert names <= set(read("doc/api.rst").split())


def mapped_paths(page):
    """Paths that the map of a page names, folders as well."""
    chart = re.search(r"^```text\n(sknm/\n.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    folders = []
    for line in chart.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name]
        yield "".join(folders)


def test_the_map_names_every_file_and_no_other():
    named = list(mapped_paths(read("doc/architecture.md")))
    files = [p.relative_to(ROOT).as_posix() for p in SOURCES]
    packages = "sknm/[a-z/]+/__init__.py"
    assert {f for f in files if not re.fullmatch(packages, f)} <= {*named}
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert len({*named}) == len(named)


def test_tests_in_folders_are_named_after_what_they_test():
    for path in (ROOT / "tests").glob("*/test_*.py"):
        names = [p.stem for p in files_of(path.parent.name)]
        told = path.stem.removeprefix("test_")
        assert any(told == name or told.startswith(f"{name}_") for name in names), path


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part):
    files = files_of(part)
    assert files
    for path in files:
        for module in imported_modules(path):
            target = part_of(module)
            assert target is None or target in MAY_IMPORT[part], f"{path}: {module}"
            assert module != "sknm", f"{path} imports the whole package"


def test_nothing_imports_what_looks_at_fitted_models():
    # But for what notebooks show, which does so only when they show it.
    door = PACKAGE / "notebook.py"
    tree = ast.parse(door.read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not any("inspection" in str(node.module) for node in at_once)
    others = [p for p in SOURCES if p not in [*files_of("inspection"), door]]
    targets = {part_of(module) for path in others for module in imported_modules(path)}
    assert "graph" in targets
    assert "inspection" not in targets


@pytest.mark.parametrize("part", ["compute", "graph"])
def test_core_imports_neither_sklearn_nor_skorch(part):
    for path in files_of(part):
        for module in imported_modules(path):
            assert module.split(".")[0] not in {"sklearn", "skorch"}, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


@pytest.mark.parametrize("script", sorted(p.name for p in EXAMPLES.glob("plot_*.py")))
def test_examples_write_no_file_that_nobody_named(script):
    text = (EXAMPLES / script).read_text(encoding="utf-8")
    written = re.findall(r"(?:savefig|open|to_csv|write_\w+|save\w*)\((.*?)[,)]", text)
    assert set(written) <= {"sys.argv[1]"}


def test_import_rules_see_every_form_of_import(tmp_path, monkeypatch):
    package = tmp_path / "sknm" / "graph"
    package.mkdir(parents=True)
    path = package / "room.py"
    path.write_text(
        "import sklearn.base\n"
        "import sknm\n"
        "from sknm import base\n"
        "from .. import training\n"
        "from . import solvers\n"
        "from ..plasticity.modules import step\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert list(imported_modules(path)) == [
        "sklearn.base",
        "sknm",
        "sknm.base",
        "sknm.training",
        "sknm.graph.solvers",
        "sknm.plasticity.modules.step",
    ]

"""Who imports what: the core knows no orchestrator, and the solvers live in one process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "defiyield_core"
FORBIDDEN = ("dagster", "dbt", "defiyield_dagster")


def imported_names(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def test_no_file_of_the_core_imports_an_orchestrator() -> None:
    files = sorted(CORE.rglob("*.py"))
    assert len(files) > 40
    found = {
        f"{file.relative_to(CORE)}: {name}"
        for file in files
        for name in imported_names(file)
        if name.split(".")[0].startswith(FORBIDDEN)
    }
    assert not found


def test_with_every_module_of_the_core_loaded_no_orchestrator_is() -> None:
    code = (
        "import importlib, pkgutil, sys, defiyield_core\n"
        "for m in pkgutil.walk_packages(defiyield_core.__path__, 'defiyield_core.'):\n"
        "    importlib.import_module(m.name)\n"
        f"print([n for n in sys.modules if n.split('.')[0].startswith({FORBIDDEN})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


SOLVE = """
import {first}, {second}
import cvxpy as cp
from ortools.linear_solver import pywraplp
x = cp.Variable(2, integer=True)
problem = cp.Problem(cp.Maximize(x[0] + 2 * x[1]), [x >= 0, x[0] + x[1] <= 3.5, x[1] <= 1.5])
problem.solve(solver=cp.HIGHS)
assert abs(problem.value - 4) < 1e-6, problem.value
solver = pywraplp.Solver.CreateSolver("GLOP")
y = solver.NumVar(0, 2, "y")
solver.Maximize(y)
assert solver.Solve() == 0 and abs(y.solution_value() - 2) < 1e-9
"""


ORTOOLS = "ortools.linear_solver.pywraplp"


@pytest.mark.parametrize("order", [("cvxpy", ORTOOLS), (ORTOOLS, "cvxpy")])
def test_both_solver_families_work_in_one_process_in_either_order(order: tuple[str, str]) -> None:
    code = SOLVE.format(first=order[0], second=order[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

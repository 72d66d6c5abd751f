"""Nothing that comes from a file or over the network is unpickled; what processes of one run tell each other is."""

import ast

from tests.conftest import ROOT

# over sockets that were inherited; on a cluster, whose scheduler and workers run whatever they are sent anyway
BETWEEN_PROCESSES = {f"tasks/execution/{name}.py" for name in ("calls", "engine", "dask_cluster", "dask_worker")}
LOADERS = {"load", "loads", "Unpickler"}


def _calls(tree):
    """Each call of something with a dot, as it is written."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nobody_unpickles_but_engines_and_their_callers():
    """Lint finds them as well (S301, S302, S403), unless somebody writes `noqa`."""
    found = set()
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        tree, name = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix()
        for function, call in _calls(tree):
            module, _, last = function.rpartition(".")
            if (
                module.split(".")[-1] in {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
                and last in LOADERS
            ):
                found.add(name)
            assert "allow_pickle" not in {keyword.arg for keyword in call.keywords}, name
    assert {"tasks/execution/engine.py"} <= found <= BETWEEN_PROCESSES


def test_the_lint_rule_is_on():
    """It is among ALL, and what is left out of it is left out line by line."""
    text = (ROOT / "ruff.toml").read_text()
    assert 'select = ["ALL"]' in text
    assert "S301" not in text

"""In which order versions come out."""

import pytest

pytestmark = pytest.mark.long

# Nothing is shared but the data; 1 takes no time, and each other version many times as long. 4 is never good enough.
RECIPES = """
[recipe]
dataset = small
training_iteration = 6000
[recipe.1]
training_iteration = 20
[recipe.2]
seed = 2
[recipe.3]
seed = 3
[recipe.4]
training_iteration = 1
seed = 4
min_accuracy = 1
[training]
segment = 6000
"""


def order_of(run):
    """The versions in the order in which they were published."""
    return [int(record["parameters"]["version"]) for record in run.records() if record["task"] == "ExportVersion"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_version_that_is_asked_for_comes_out_first(run_luigi, workers):
    """With a worker to spare the second is trained meanwhile, but never the last alone."""
    run_luigi.configure(RECIPES)
    run_luigi("ExportAllVersions", "--versions=1-3", f"--workers={workers}", check=0)
    decided = 3 if workers == 1 else 1  # of 2 and 3 at once, either may end first
    assert [1, 2, 3][:decided] == order_of(run_luigi)[:decided]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_scheduler_that_knows_the_tasks_changes_no_order(run_luigi, luigid, workers):
    """Nor do tasks that failed on it, and versions that were asked for before."""
    run_luigi.configure(RECIPES)
    options = (f"--workers={workers}", "--scheduler-port", luigid().port)
    run_luigi("ExportAllVersions", "--versions=3-4", *options, local_scheduler=False, check=30)
    run_luigi("ExportAllVersions", "--versions=1-4", *options, local_scheduler=False, check=30)
    assert [3, 1, 2] == order_of(run_luigi)

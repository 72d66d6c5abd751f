"""The chain of tasks, through the real command line."""


def test_versions_appear_in_the_base_path(run_luigi, tmp_path):
    """Asking for versions gives their directories and nothing else."""
    run_luigi(
        "ExportAllVersions", "--versions", "1,2", "--dataset", "small", "--training-iteration", "50", check=0
    )
    assert ["1", "2"] == sorted(path.name for path in (tmp_path / "models" / "mnist").iterdir())

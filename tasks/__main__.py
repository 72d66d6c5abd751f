"""`python -m tasks` lists the tasks, each with an example; with arguments it is `luigi --module tasks`."""

import inspect
import signal
import sys

from luigi.cmdline import luigi_run

import tasks

EXAMPLES = {
    "ExportAllVersions": "--versions 1-3",
    "ExportVersion": "--version 4 --model cnn --training-iteration 2000",
    "TrainModel": "--model softmax --training-iteration 3000",
    "PrepareDataset": "--dataset digits",
    "DownloadDataset": "--dataset mnist",
    "VerifyVersions": "--base-path models/mnist",
    "SignVersions": "--versions 1-3 --private-key release.key",
    "RebuildVersions": "--versions 1",
    "CompareVersions": "--versions 1-3",
    "PromoteVersion": "--label stable --version 2 --server localhost:8500",
    "RollBack": "--label stable --server localhost:8500",
    "RemoveLabel": "--label canary --server localhost:8500",
    "ConfirmRollout": "--version 2 --server localhost:8500",
    "QuarantineVersion": "--version 2 --why 'wrong labels'",
    "RetireVersions": "--keep 3",
    "PushVersions": "--versions 1-3 --bucket s3://models/mnist",
    "PullVersions": "--newest 3 --bucket s3://models/mnist --base-path /srv/models/mnist",
    "WithdrawVersions": "--versions 1 --bucket s3://models/mnist",
}


def main() -> None:
    """List the tasks, or run one."""
    if arguments := sys.argv[1:]:
        luigi_run(["--module", "tasks", *arguments])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it in silence
    for name, options in EXAMPLES.items():
        about = str(inspect.getdoc(getattr(tasks, name))).splitlines()[0]
        print(about, f"    luigi --module tasks {name} {options} --local-scheduler", sep="\n")  # noqa: T201 - asked for


if __name__ == "__main__":
    main()

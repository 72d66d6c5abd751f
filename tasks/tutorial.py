"""The command line of TensorFlow Serving's MNIST tutorial, `mnist_saved_model.py`, on top of ExportVersion.

On standard output it says what the tutorial's script says; what Luigi has to tell goes to standard error.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import luigi
from luigi.configuration import get_config

from tasks.errors import InvalidParameter
from tasks.pipeline import ExportVersion
from tasks.versions.manifest import read_manifest

# The tutorial's model, whatever luigi.cfg says about recipes: its 0.01 on the sum of 50 losses is 0.5 on their mean.
TUTORIAL = {
    "dataset": "mnist",
    "model": "softmax",
    "batch_size": 50,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "schedule": "constant",
    "seed": 0,
    "min_accuracy": 0.0,
    "threads": 1,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one version; returns 0 only if it is there, and 1 if it could not be made. Wrong usage exits with 2."""
    say = partial(print, flush=True)
    parser = _parser()
    options = parser.parse_args(arguments)
    import pooch  # after the options: --help needs none of it

    config = get_config()
    for section in list(config.sections()):
        if section.partition(".")[0] == "recipe":  # of the working directory, and not even checked here
            config.remove_section(section)
    # Luigi's own way to give a task further up the chain its parameter; the configuration reads % as a reference
    archive_dir = str(Path(options.work_dir).expanduser().absolute()).replace("%", "%%")
    config.set("DownloadDataset", "archive_dir", archive_dir)
    cache = pooch.os_cache("mnist-versions")
    try:
        task = ExportVersion(
            **TUTORIAL,
            version=options.model_version,
            training_iteration=options.training_iteration,
            base_path=options.export_dir,
            work_dir=cache,
        )
    except InvalidParameter as error:
        parser.error(str(error))
    say(f"Checkpoints, arrays and records are kept in {cache}", file=sys.stderr)
    if task.complete():
        say(f"{task.output().path} is there already; nothing is trained", file=sys.stderr)
    say("Training model...")
    luigi.build([task], local_scheduler=True, workers=1, log_level="WARNING")
    manifest = read_manifest(Path(task.output().path))
    if manifest is None or not task.complete():
        return 1
    say(f"training accuracy {manifest.accuracies['test']:g}")  # on the test images, whatever the tutorial calls it
    say("Done training!")
    say("Exporting trained model to", Path(options.export_dir, str(task.version)))
    say("Done exporting!")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mnist_saved_model",
        description="Train the tutorial's softmax regression and export it as one version for TensorFlow Serving.",
        usage="mnist_saved_model [--training_iteration=x] [--model_version=y] [--work_dir=/tmp] export_dir",
        allow_abbrev=False,
    )
    parser.add_argument("--training_iteration", type=_positive, default=1000, help="iterations, above 0 (1000)")
    parser.add_argument("--model_version", type=_positive, default=1, help="version number, above 0 (1)")
    work_dir = "/tmp"  # noqa: S108 - the tutorial's default; every file in it is verified before use
    parser.add_argument("--work_dir", default=work_dir, help="where the four archives lie or are put (/tmp)")
    parser.add_argument("export_dir", type=_folder, help="the folder that TensorFlow Serving watches")
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number above 0 is")
    return number


def _folder(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a folder is needed")
    return text


if __name__ == "__main__":
    sys.exit(main())

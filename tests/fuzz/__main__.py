"""`python -m tests.fuzz --seconds 600` feeds the readers what atheris (extra `fuzz`) makes up, guided by coverage.

Each reader gets its share of the time, in a process of its own (libFuzzer ends with its process), and begins with
tests/fuzz/corpus and its good content. What raises an undocumented error, takes 10 s or 2 GB ends the run with 1, and
is kept in the working directory; what reaches new code is forgotten, but with --keep DIR.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
DEFAULT = ("idx", "manifest", "config", "log", "foreign", "records", "checksums")


def main() -> int:
    """Fuzz each reader in turn; 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for all readers together; default: 60")
    parser.add_argument("--only", nargs="+", default=DEFAULT, help=f"readers; default: {', '.join(DEFAULT)}")
    parser.add_argument("--seed", type=int, default=1, help="of what is made up; default: 1")
    parser.add_argument("--keep", type=Path, help="folder for what reaches new code")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.reader:
        fuzz(options.reader, Path.cwd() / rest[0], rest[1:])
    failed = [name for name in options.only if not start(name, options)]
    print(f"{len(options.only) - len(failed)} of {len(options.only)} readers raised documented errors alone")
    return 1 if failed else 0


def start(name: str, options: argparse.Namespace) -> bool:
    """Fuzz one reader in a process of its own; whether nothing was found."""
    from tests.fuzz.seeds import seeds

    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        found, given = options.keep / name if options.keep else Path(scratch, "found"), Path(scratch, "given")
        found.mkdir(parents=True, exist_ok=True)
        given.mkdir()
        (given / "good").write_bytes(seeds()[name])
        known = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
        seconds = max(1, options.seconds // len(options.only))
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
        command = [sys.executable, "-m", "tests.fuzz", "--reader", name, scratch, *limits, f"-seed={options.seed}"]
        result = subprocess.run(
            [*command, "-print_final_stats=1", found, given, *known],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    lines = result.stderr.splitlines()
    runs = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "?")
    coverage = next((line.split("cov: ")[1].split()[0] for line in reversed(lines) if "cov: " in line), "?")
    print(f"{name}: {runs} contents in {seconds} s, coverage {coverage}, exit code {result.returncode}", flush=True)
    if result.returncode:
        print("\n".join(lines[-60:]))
    return result.returncode == 0


def fuzz(name: str, scratch: Path, arguments: list[str]) -> None:
    """Feed one reader until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tasks", "json", "google.protobuf"]):
        from tests.fuzz.readers import READERS
    read, numbers = READERS[name], itertools.count()

    def one(content: bytes) -> None:
        folder = scratch / f"read-{next(numbers)}"
        folder.mkdir()
        try:
            read(content, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

"""A process that calls `luigi.build` for the whole time: `python -m benchmarks.soak.resident FILE PORT`.

Round by round it exports a version, verifies its tree, promotes the version and retires others, in a tree of its own
where nobody disturbs it, so that everything must succeed; every other round with the luigid at that port. It ends with
its standard input, and writes what it did into the file.
"""

from __future__ import annotations

import gc
import itertools
import json
import select
import sys
from pathlib import Path

import luigi

import tasks

VERSIONS = range(1, 13)
RUNS_OF_GARBAGE = 5


def main() -> None:
    """Build until standard input ends; then write JSON."""
    said, port = sys.argv[1:]
    runs, lost = 0, list[str]()
    for number in itertools.count():
        version = VERSIONS[number % len(VERSIONS)]
        for task in (
            tasks.ExportVersion(version=version),
            tasks.VerifyVersions(),
            tasks.PromoteVersion(label="stable", version=version, wait_seconds=0.01),
            tasks.RetireVersions(keep=1, apply=True),
        ):
            result = luigi.build(
                [task],
                detailed_summary=True,
                local_scheduler=number % 2 == 0,
                scheduler_host="127.0.0.1",
                scheduler_port=int(port),
                workers=1 + number // 2 % 2,
            )
            runs += 1
            if runs % RUNS_OF_GARBAGE == 0:
                # Each of Luigi's Workers has a queue with a pipe, and is part of a cycle: it stays open until Python
                # happens to look for garbage, so that there are from none to dozens of them at any moment.
                gc.collect()
            if not result.scheduling_succeeded or result.status.name not in ("SUCCESS", "SUCCESS_WITH_RETRY"):
                lost.append(f"{type(task).__name__}, version {version}: {result.one_line_summary}")
        if select.select([sys.stdin], [], [], 0)[0]:
            break
    Path(said).write_text(json.dumps({"seen": {"runs": runs}, "lost": lost}))


if __name__ == "__main__":
    main()

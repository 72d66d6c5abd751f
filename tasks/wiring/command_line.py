"""Command lines: what is said of a mistyped one, and those that are shown to be typed."""

import shlex
from argparse import SUPPRESS, ArgumentParser
from functools import wraps
from typing import Any, NoReturn

import luigi.interface
from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import Register

from tasks.recipes.checks import did_you_mean


def set_up() -> None:
    """Let a mistyped task or option be told in one line, where Luigi has a traceback or every option there is."""
    build_parser = CmdlineParser._build_parser  # noqa: SLF001 - all parsing goes through it, and nothing public
    made: dict[Any, ArgumentParser] = {}  # Luigi makes each three times in a run, which costs a no-op run a tenth

    @wraps(build_parser)
    def build(root_task: str | None = None, help_all: bool = False) -> ArgumentParser:  # noqa: FBT001, FBT002 - Luigi's
        if root_task and root_task not in Register.task_names():
            guess = did_you_mean(root_task, Register.task_names())
            raise SystemExit(f"There is no task {root_task}{guess} (all tasks: python -m tasks)")
        key = root_task, help_all, len(Register._reg)  # noqa: SLF001 - the tasks that there are
        if key in made:
            return made[key]
        parser: ArgumentParser = build_parser(root_task=root_task, help_all=help_all)

        def refuse(message: str) -> NoReturn:
            shown = [word for action in parser._actions if action.help != SUPPRESS for word in action.option_strings]  # noqa: SLF001
            what, _, alike = message.partition(" could match ")
            word = what.partition(": ")[2].partition("=")[0].partition(" ")[0]
            guess = did_you_mean(word, alike.split(", ") if alike else shown)
            parser.exit(2, f"{what}{guess} (all options: luigi --module tasks {root_task or 'TASK'} --help)\n")

        parser.error = refuse  # type: ignore[method-assign]
        made[key] = parser
        return parser

    CmdlineParser._build_parser = staticmethod(build)  # noqa: SLF001


def command(task: luigi.Task, family: str, *names: str, **options: Any) -> str:
    """A command line, to be typed in this folder, of a task of that family.

    It has the parameters `names` of `task`, where they are not at their defaults, and `options`.
    """
    for name, parameter in task.get_params():
        value = getattr(task, name)
        if name in names and value != parameter.normalize(parameter._default):  # noqa: SLF001 - Luigi tells it nowhere
            options[name] = parameter.serialize(value)
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items()]
    local = ["--local-scheduler"] if luigi.interface.core().local_scheduler else []
    return " ".join(["luigi --module tasks", family, *words, *local])

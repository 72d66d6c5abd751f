"""How a task is told from others where people look: its id, and its row on the scheduler's page.

Luigi shows every public parameter there, in the order of the classes, and begins a task id with the first three by
name. Here a task's own few come first, in the row followed by what differs from its default alone; the rest is hidden
from the row, and still in the command to re-run, in logs and in records.
"""

import re
from functools import cache
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import ParameterVisibility

LONGEST_WORD = 16  # in a task id, as in Luigi's own


class TaskWithRow(luigi.Task):
    """A task that says which one it is by the parameters in `shown`; without any, it looks as Luigi makes it."""

    task_id: str
    shown: tuple[str, ...] = ()  # its own few, significant parameters, in reading order

    @classmethod
    @cache
    def get_params(cls) -> list[tuple[str, luigi.Parameter]]:
        """Luigi's list, with those of `shown` at its beginning; Luigi asks some fifty times a task."""
        order = {name: place for place, name in enumerate(cls.shown)}
        return sorted(super().get_params(), key=lambda entry: order.get(entry[0], len(order)))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Luigi's hash over all significant parameters, and with it the identity of the task, stays as it is
        text, digest = self.to_str_params(), self.task_id.rpartition("_")[2]
        if self.shown and re.fullmatch("[0-9a-f]{10}", digest):
            words = [re.sub(r"\W+", "_", text.get(name, ""), flags=re.ASCII)[:LONGEST_WORD] for name in self.shown]
            self.task_id = "_".join([self.task_family, *filter(None, words), digest])

    @property
    def task_module(self) -> str:
        """The module that the command line names, which may register models and datasets: whoever re-runs needs it."""
        parser = CmdlineParser.get_instance()
        return (parser and parser.known_args.core_module) or super().task_module

    def default_of(self, parameter: luigi.Parameter) -> Any:
        """The default of a parameter in the code, whatever luigi.cfg says."""
        return parameter.normalize(parameter._default)  # noqa: SLF001 - Luigi tells it in no other way

    def row(self) -> list[str]:
        """The names of the parameters in the row."""
        # Others than significant ones stay in the scheduler as it first heard of them: they would be shown wrongly
        text = self.to_str_params(only_significant=True, only_public=True)
        params = dict(self.get_params())
        return [name for name in text if (text[name] if name in self.shown else self._differs(name, params[name]))]

    def _differs(self, name: str, parameter: luigi.Parameter) -> bool:
        try:
            return bool(getattr(self, name) != self.default_of(parameter))
        except Exception:  # noqa: BLE001 - it has no default, or none that is allowed: shown, as Luigi does
            return True

    def _get_param_visibilities(self) -> dict[str, int]:
        """Luigi's hook for what a row shows; the task id depends on each parameter's own visibility instead."""
        row = self.row() if self.shown else self.to_str_params(only_public=True)
        return {
            name: (ParameterVisibility.PUBLIC if name in row else ParameterVisibility.HIDDEN).serialize()
            for name in self.to_str_params()
        }

"""The names that a recipe can choose from; each is registered by the room that has the thing of that name.

`tasks.data.dataset` registers datasets, `tasks.model` architectures and optimizers. Whoever adds one of their own
registers it before a task is made, in a module of theirs that `luigi --module` names.
"""

from typing import Any, TypeVar

from tasks.errors import InvalidParameter

T = TypeVar("T")


class Registry(dict[str, T]):
    """Name -> thing, for one key of a recipe."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def find(self, name: str) -> T:
        """The thing of that name; raises InvalidParameter, which lists what is registered."""
        if name not in self:
            raise InvalidParameter(f"{self.key} = {name!r}: unknown; allowed are {', '.join(sorted(self))}")
        return self[name]


DATASETS: Registry[Any] = Registry("dataset")
ARCHITECTURES: Registry[Any] = Registry("model")
OPTIMIZERS: Registry[Any] = Registry("optimizer")

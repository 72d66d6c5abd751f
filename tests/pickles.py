"""A pickle that leaves a file behind when somebody opens it."""

import pickle
from pathlib import Path


class Payload:
    """What is run when it is unpickled makes `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)

    def pickled(self) -> bytes:
        return pickle.dumps(self)

    def prove(self) -> None:
        """Make sure that opening it does what a test is about to say that it has not done."""
        pickle.loads(self.pickled())
        self.path.unlink()

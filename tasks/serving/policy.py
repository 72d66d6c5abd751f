"""Which versions of a tree a server loads by a model's policy, as pure functions of the policy and the tree."""

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any


def loaded_versions(policy: Any, versions: Sequence[int]) -> set[int]:
    """Those of `versions` (oldest first) that a server loads by a ServableVersionPolicy; an empty one is `latest`."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(versions)
    if choice == "specific":
        return set(policy.specific.versions)
    newest = max(policy.latest.num_versions, 1) if choice == "latest" else 1
    return set(versions[-newest:])


def load(policy: Any, versions: Collection[int]) -> None:
    """Let a policy name exactly these versions; one that loads all of them is left as it is."""
    if policy.WhichOneof("policy_choice") != "all":
        policy.specific.versions[:] = sorted(versions)


def kept_loaded(
    came_from: Collection[int], versions: Sequence[int], count: int, is_fit: Callable[[int], bool]
) -> set[int]:
    """The fit ones of `versions` (oldest first) that are loaded without a label, too: `count`, or a few more.

    First those in `came_from`, to which labels would be rolled back: all of them, unless `count` is 0. Then the newest.
    """
    if not count:
        return set()
    back = {version for version in came_from if version in versions and is_fit(version)}
    return back | set(islice(filter(is_fit, reversed(versions)), max(0, count - len(back))))

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


def newest_fit(versions: Sequence[int], count: int, is_fit: Callable[[int], bool]) -> list[int]:
    """The newest `count` of `versions` (oldest first) that are fit; older ones take the place of those that are not."""
    return list(islice(filter(is_fit, reversed(versions)), count))

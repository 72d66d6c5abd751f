"""Which version answers requests that name neither label nor version: the highest that is loaded, whatever is labelled.

A change of labels can move it, by what it lets the servers load; so it is told before and after.
"""

from collections.abc import Collection, Mapping

from tasks.serving.rollout import Seen
from tasks.serving.servers import AVAILABLE

Loaded = Mapping[str, set[int]]  # a server's address, or "" for whoever follows the policy -> versions


def loaded_now(seen: Seen, listed: Collection[int]) -> Loaded:
    """The versions that each server has loaded; without servers, those that the policy lists."""
    found = {where: {v for v, status in told.items() if status.state == AVAILABLE} for where, told in seen.items()}
    return found or {"": set(listed)}


def loaded_then(before: Loaded, version: int, listed: Collection[int]) -> Loaded:
    """The same once `version` is loaded everywhere and the policy lists `listed`."""
    return {where: (versions | {version}) & set(listed) for where, versions in before.items()}


def tell_newest(loaded: Loaded, listed: Collection[int]) -> str:
    """The version that answers, on each server where they differ, and the one that will when it is loaded, too."""
    newest = {where: max(versions, default=0) for where, versions in loaded.items()}
    if len(set(newest.values())) == 1:
        (only,) = set(newest.values())
        told = f"version {only}" if only else "no version"
    else:
        told = ", ".join(f"version {version} at {where}" for where, version in newest.items())
    coming = max(listed, default=0)
    return f"{told}, and by {coming} where that gets loaded" if coming > max(newest.values()) else told

"""The page's first words: how the newest version does, and whether that is more than noise."""

from tasks.report.rows import TEST, Comparison, Difference

LEVEL = 0.05  # of the test that calls a difference more than noise
SMALLEST = 0.0001  # p that is told as a number


def title(found: Comparison) -> str:
    """One sentence without a full stop."""
    if found.newest is None:
        return "No version is in service"
    if found.duel is None:
        one = found.row(found.newest)
        return f"Version {one.version} {'stands alone' if one.measured else 'cannot be measured'}"
    other = f"version {found.duel.against}{' (stable)' if found.duel.against == found.stable else ''}"
    if found.duel.p > LEVEL:
        return f"Version {found.newest} and {other} cannot be told apart"
    return f"Version {found.newest} is {'better' if found.duel.accuracy > 0 else 'worse'} than {other}"


def sentences(found: Comparison) -> list[str]:
    """How many versions there are, what `stable` points at, and what the title rests on."""
    said = [f"{_count(found)}. {_stable(found)}"]
    if found.newest is None:
        return said
    newest = found.row(found.newest)
    if not newest.measured:
        why = "; ".join(newest.faults).rstrip(".") or "it could not be asked"
        return [*said, f"Version {found.newest}, the newest: {why}."]
    correct, images = newest.measured[TEST].correct, newest.measured[TEST].images
    said.append(f"Version {found.newest}, the newest, gets {correct:,} of {images:,} test images right.")
    if found.duel is not None:
        said.append(_duel(found.duel))
    return said


def is_noise(difference: Difference) -> bool:
    """Whether equals would differ by as much too often."""
    return difference.p > LEVEL


def _count(found: Comparison) -> str:
    total = len(found.rows)
    kinds = {
        "quarantined": sum(row.quarantined for row in found.rows),
        "with errors": sum(row.state == "error" for row in found.rows),
        "made elsewhere": sum(not row.recipe and row.state != "error" for row in found.rows),
    }
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return f"{total} version{'' if total == 1 else 's'}{f' ({told})' if told else ''}"


def _stable(found: Comparison) -> str:
    if found.stable is None:
        held = "" if found.reference is None else f"; each is held against version {found.reference}, before the newest"
        return f"The label stable points at none of them{held}."
    newest = ", the newest" if found.stable == found.newest else ""
    unfit = "" if found.row(found.stable).measured else ", which cannot be measured"
    return f"The label stable points at version {found.stable}{newest}{unfit}."


def _duel(duel: Difference) -> str:
    more = duel.only_here - duel.only_there
    told = "as many" if not more else f"{abs(more):,} {'more' if more > 0 else 'fewer'}"
    verdict = "no more than noise" if is_noise(duel) else "more than noise"
    return (
        f"That is {told} than version {duel.against}: it alone gets {duel.only_here:,} right, version {duel.against} "
        f"alone {duel.only_there:,}. Two equally good versions would differ by as much in {percent_of(duel.p)} of "
        f"cases, so this is {verdict} (exact McNemar, {p_value(duel.p)})."
    )


def p_value(p: float) -> str:
    """A p-value as one reads it."""
    return f"p < {SMALLEST}" if p < SMALLEST else f"p = {p:.2g}"


def percent_of(p: float) -> str:
    """The same as a share of cases."""
    return "less than 0.01 %" if p < SMALLEST else f"{100 * p:.3g} %" if p > LEVEL else f"{100 * p:.2g} %"

"""Long names where there is little room."""

from collections import Counter
from collections.abc import Sequence


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Names of at most `width` letters, that can still be told apart.

    A long name loses its middle; names that would then look alike keep the part in which they differ.

    Examples:
        >>> shortened(["age", "measurement_at_site_1_mm", "measurement_at_site_2_mm"], 13)
        ['age', 'measur…e_1_mm', 'measur…e_2_mm']
    """
    found = [_cut(name, width) for name in names]
    alike = {short for short, times in Counter(found).items() if times > 1}
    for short in alike:
        group = [i for i, one in enumerate(found) if one == short]
        if len({names[i] for i in group}) > 1:
            for i, other in zip(group, _differing([names[i] for i in group], width), strict=True):
                found[i] = other
    return found


def _cut(name: str, width: int) -> str:
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - half]}…{name[-half:]}"


def _alike(names: list[str]) -> int:
    """With how many letters all names begin."""
    return next(
        (i for i, row in enumerate(zip(*names, strict=False)) if len(set(row)) > 1), min(map(len, names))
    )


def _differing(names: list[str], width: int) -> list[str]:
    start = _alike(names)
    end = _alike([name[start:][::-1] for name in names])
    found = []
    for name in names:
        core = name[start : len(name) - end]
        if len(core) > width - 2:
            found.append("…" + _cut(core, width - 2) + "…")
            continue
        # Room is left for some of what is common: first what stands after, then what stands before.
        after = min(end, (width - 2 - len(core)) // 2)
        before = min(start, width - 2 - len(core) - after)
        last = len(name) - end + after
        found.append(
            f"{'…' if start > before else ''}{name[start - before : last]}{'…' if end > after else ''}"
        )
    if len(set(found)) < len(set(names)):
        digits = len(str(len(names)))
        return [f"{_cut(name, width - digits - 1)}~{i:0{digits}}" for i, name in enumerate(names)]
    return found

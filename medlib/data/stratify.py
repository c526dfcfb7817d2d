"""Cut data into parts that are alike: by case, or by patient, so that none is on two sides."""

from collections.abc import Hashable, Mapping

import numpy as np

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
ORDERS = 200  # random orders that are tried


def stratified_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose `count` positions so that each class keeps its share, and at least one case.

    Where a case carries several labels, its stratum is the rarest of them.

    Parameters
    ----------
    labels : ndarray
        ``(N,)`` or ``(N, K)``.
    count : int
        How many; all positions where N is no larger.
    seed : int
        Which ones.

    Returns
    -------
    ndarray
        ``(min(count, N),)`` int64, ascending.
    """
    if len(labels) <= count:
        return np.arange(len(labels))
    strata = _rarest_label(labels) if labels.ndim == 2 else labels
    values, members = np.unique(strata, return_inverse=True)
    sizes = np.bincount(members)
    rng = np.random.default_rng([seed, len(labels), count])
    order = rng.permutation(len(labels))
    chosen = [
        order[members[order] == stratum][:quota]
        for stratum, quota in zip(range(len(values)), _quotas(sizes, count), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _quotas(sizes: np.ndarray, count: int) -> np.ndarray:
    """Share `count` among strata in proportion to their sizes (largest remainder, each >= 1)."""
    share = sizes * count / sizes.sum()
    quotas = np.floor(share).astype(int)
    if count >= len(sizes):
        quotas = np.maximum(quotas, 1)
    while quotas.sum() < count:
        room = np.where(quotas < sizes, share - quotas, -np.inf)
        quotas[np.argmax(room)] += 1
    while quotas.sum() > count:
        quotas[np.argmax(np.where(quotas > 1, quotas - share, -np.inf))] -= 1
    return quotas


def _rarest_label(labels: np.ndarray) -> np.ndarray:
    """Name each row of a label matrix by its rarest label; -1 where it has none."""
    present = labels > 0
    frequency = present.sum(axis=0)
    rarity = np.where(present, frequency, len(labels) + 1)
    return np.where(present.any(axis=1), rarity.argmin(axis=1), -1)


def split_by_case(
    labels: np.ndarray, shares: Mapping[Hashable, float] = SHARES, seed: int = 0
) -> dict[Hashable, np.ndarray]:
    """Split single cases, each class in equal shares.

    Parameters
    ----------
    labels : ndarray
        ``(N,)`` or ``(N, K)`` int.
    shares : mapping
        Share of the cases for each part, summing to 1; the first takes what rounding leaves.
    seed : int
        Which cases go where.

    Returns
    -------
    dict
        Ascending rows of each part.
    """
    first, *others = shares
    left = np.arange(len(labels))
    rows: dict[Hashable, np.ndarray] = {}
    for name in reversed(others):
        chosen = stratified_rows(labels[left], round(shares[name] * len(labels)), seed)
        rows[name], left = left[chosen], np.delete(left, chosen)
    return {first: left, **rows}


def split_by_group(
    labels: np.ndarray,
    groups: np.ndarray,
    shares: Mapping[Hashable, float] = SHARES,
    seed: int = 0,
) -> dict[Hashable, np.ndarray]:
    """Split whole groups (patients) so that each part gets its share of each label.

    Groups are dealt out one by one, each to the part whose lack of labels and cases it reduces
    most (in squares of the shares, so that rare labels count as much as frequent ones); of several
    random orders the best balanced one is kept.

    Parameters
    ----------
    labels : ndarray
        ``(N, K)`` of 0 and 1: labels, or any other property to balance.
    groups : ndarray
        ``(N,)``: the group of each case.
    shares : mapping
        Share of the cases for each part, summing to 1; equal shares make folds.
    seed : int
        Which random orders are tried.

    Returns
    -------
    dict
        Ascending rows of each part; no group is in two.
    """
    names, members = np.unique(groups, return_inverse=True)
    traits = np.column_stack([labels, np.ones(len(labels), dtype=int)])
    contents = np.zeros((len(names), traits.shape[1]))
    np.add.at(contents, members, traits)
    part_of_group = _deal(contents, np.array(list(shares.values())), seed)
    return {
        name: np.flatnonzero(part_of_group[members] == part) for part, name in enumerate(shares)
    }


def _deal(contents: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Deal groups ``(G, K)`` out to parts; return the part of each group ``(G,)``.

    Several random orders are tried, large groups early, and the best balanced one is kept.
    """
    rng = np.random.default_rng(seed)
    fractions = contents / contents.sum(axis=0).clip(min=1)
    best, least = np.zeros(len(contents), dtype=int), np.inf
    for _ in range(ORDERS):
        haste = rng.exponential(size=len(contents))
        order = np.argsort(haste / (fractions.sum(axis=1) + 1e-12), kind="stable")
        part, lack = _deal_in_order(fractions, shares, order)
        if (lack**2).sum() < least:
            best, least = part, (lack**2).sum()
    return best


def _deal_in_order(
    fractions: np.ndarray, shares: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give each group to the part whose lack it reduces most; return parts and what still lacks."""
    lack = np.repeat(shares[:, None], fractions.shape[1], axis=1)
    part = np.zeros(len(fractions), dtype=int)
    for group in order:
        gain = (2 * lack * fractions[group] - fractions[group] ** 2).sum(axis=1)
        part[group] = gain.argmax()
        lack[part[group]] -= fractions[group]
    return part, lack

r"""How far a re-executed claim may move before it counts as different.

The question
------------
The published edition gives a claim c the value v. A reader runs the book again and gets w. Two
things move w although nothing is wrong:

- *numbers*: with the same seeds, other thread counts, instruction sets or hardware add floating
  point numbers in another order, and training amplifies the difference;
- *seeds*: with other seeds, another initialisation and another order of the batches.

The sampling error of the test set is no third one: both runs score the same images. It belongs into
the interval that a page shows, never into the tolerance.

The model
---------
A run of claim c under one seed (or in one numeric environment) gives x ~ Normal(mu_c, sigma_c^2).
The published value is a mean of n such draws, the re-run's a mean of m, independent, so that::

    w - v ~ Normal(0, sigma_c^2 (1/n + 1/m)).

For other seeds n and m are the numbers of seeds. For the same seeds a whole value is one draw:
n = m = 1, and no independence of the seeds within one environment is assumed.

Estimating sigma_c
------------------
Three seeds give 2 degrees of freedom, too few for a t test. Claims of one kind, metric and data
set therefore form a pool. With s_c^2 the variance of claim c on d_c degrees of freedom::

    s_pool^2 = sum(d_c s_c^2) / D,    D = sum(d_c).

If all claims of a pool had one sigma, (w - v) / (s_pool sqrt(1/n + 1/m)) would be t on D degrees of
freedom. They need not, and a pool that is wrong by a factor of 1.4 for single claims more than
triples the false alarms of a book with fifty claims. So the inequality is measured and allowed for,
with the moderated t of Smyth (2004, doi:10.2202/1544-6115.1027): suppose
d0 tau^2 / sigma_c^2 ~ chi^2 on d0 degrees of freedom. Then log s_c^2 has variance
trigamma(d_c/2) + trigamma(d0/2), and the excess of its observed variance within the pools over
trigamma(d_c/2) gives d0. One standard error is added to that excess, because an inequality that
is missed costs false alarms, while one that is imagined costs only width. The variance used is::

    s~_c^2 = (1 - w_c) s_pool^2 + w_c s_c^2,    w_c = d_c / (d0 + d_c),

on nu_c = min(d0 + d_c, Satterthwaite) degrees of freedom, where Satterthwaite's number is that of
s~_c^2 as a weighted sum of independent variances: with
a_i = w_c [i = c] + (1 - w_c) d_i / D, it is 1 / sum(a_i^2 / d_i). Equal sigmas give d0 = infinity,
and the plain pooled t is back. d0 is estimated for each kind of claim by itself: test scores are
alike, while validation values and simulations of many designs are not. A claim with one value, or
with values that do not vary, tells nothing about a pool's sigma; it takes part in no estimate and
uses s_pool on D.

The test
--------
The book has M claims that can move. Claim c differs if::

    |w - v| > h_c = t(1 - 0.05 / 2M, nu_c) s~_c sqrt(1/n + 1/m).

By Bonferroni's inequality, whatever the dependence between claims, a re-execution in which nothing
is wrong raises any alarm with probability at most 5 %, taken over editions and re-executions.
A real shift of size::

    delta_c = h_c + t(0.80, nu_c) s~_c sqrt(1/n + 1/m)

is found with probability 80 %: P(w - v + delta_c > h_c) = P(T > -t(0.80)) = 0.80, T being t on nu_c
degrees of freedom. `delta_c` is stated beside each claim. tests/test_tolerance.py simulates both
rates, also with unequal sigmas and with heavy tails.

When it cannot tell
-------------------
A tolerance on fewer than 3 degrees of freedom, or from a spread of exactly zero, is not given; the
verdict is then "cannot tell", with the reason.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medlib.errors import MedlibError
from medlib.results import published_dir, read_json, read_results, write_json

FALSE_ALARMS = 0.05
POWER = 0.80
MIN_DF = 3.0
CAUTION = 1.0  # standard errors added to the measured inequality of the standard deviations
BASE = "base"

# Environments that change the order of additions but not the work. OpenBLAS serves numpy and
# scikit-learn, MKL and oneDNN serve torch; a name unknown to a machine's libraries has no effect.
VARIANTS: dict[str, dict[str, str]] = {
    "two-threads": {
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "sse": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}


@dataclass(frozen=True)
class Sample:
    """The draws that tell how much one claim varies.

    Attributes
    ----------
    claim_id : str
        The claim.
    pool : str
        Claims with one pool share their spread.
    values : tuple of float
        One value a seed, or one a numeric environment.
    """

    claim_id: str
    pool: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """The standard deviation of one draw of a claim, or why it is unknown.

    Attributes
    ----------
    sd : float or None
        The moderated standard deviation, in the unit of the metric.
    df : float or None
        Its degrees of freedom.
    reason : str
        Why there is none; empty where there is one.
    """

    sd: float | None
    df: float | None
    reason: str = ""


def spreads(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Estimate the spread of each claim from its own draws and those of its pool.

    Parameters
    ----------
    samples : sequence of Sample
        The draws of all claims of the book.

    Returns
    -------
    dict of str to Spread
        By claim id.
    """
    pools = {name: i for i, name in enumerate(sorted({item.pool for item in samples}))}
    pool = np.array([pools[item.pool] for item in samples], dtype=int)
    variances = np.array([_variance(item.values) for item in samples])
    dfs = np.array([len(item.values) - 1.0 for item in samples])
    sd, df = moderated(variances, dfs, pool)
    return {
        item.claim_id: _spread(sd[i], df[i], dfs[pool == pool[i]].sum())
        for i, item in enumerate(samples)
    }


def moderated(
    variances: np.ndarray, dfs: np.ndarray, pool: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return moderated standard deviations and their degrees of freedom.

    Parameters
    ----------
    variances : ndarray of shape (claims,)
        Unbiased variance of each claim's draws.
    dfs : ndarray of shape (claims,)
        Degrees of freedom of each; 0 for a claim with a single draw.
    pool : ndarray of int of shape (claims,)
        Number of each claim's pool, from 0.

    Returns
    -------
    sd, df : ndarray of shape (claims,)
        NaN and 0 where a pool holds no claim that varies.

    References
    ----------
    Smyth, Linear models and empirical Bayes methods, 2004, doi:10.2202/1544-6115.1027.
    """
    varies = (dfs > 0) & (variances > 0)
    own_df = np.where(varies, dfs, 0.0)
    pools = int(pool.max(initial=-1)) + 1
    total = np.bincount(pool, own_df, pools)[pool]
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.bincount(pool, own_df * variances, pools)[pool] / total
        prior = prior_df(variances[varies], dfs[varies], pool[varies])
        weight = np.where(varies, dfs / (prior + dfs), 0.0)
        variance = (1 - weight) * pooled + weight * variances
        df = _satterthwaite(weight, own_df, total)
    df = np.where(varies, np.minimum(prior + dfs, df), df)
    return np.sqrt(variance), np.where(total > 0, df, 0.0)


def prior_df(variances: np.ndarray, dfs: np.ndarray, pool: np.ndarray) -> float:
    """Return d0, which says how equal the true variances within the pools are.

    Returns
    -------
    float
        Infinity for equal variances, 0 where no pool has two claims to compare.
    """
    from scipy.special import digamma, polygamma

    if not len(variances):
        return 0.0
    residual = np.log(variances) - digamma(dfs / 2) + np.log(dfs / 2)
    counts = np.bincount(pool)
    means = np.bincount(pool, residual) / np.maximum(counts, 1)
    freedom = len(variances) - np.count_nonzero(counts)
    if freedom == 0:
        return 0.0
    expected = polygamma(1, dfs / 2)
    error = math.sqrt(np.mean(polygamma(3, dfs / 2) + 2 * expected**2) / freedom)
    excess = np.sum((residual - means[pool]) ** 2) / freedom - np.mean(expected) + CAUTION * error
    return 2 * _inverse_trigamma(float(excess)) if excess > 1e-6 else math.inf


def margins(spread: Spread, tests: int, n: int, m: int) -> tuple[float, float] | None:
    """Return the tolerance of a claim and the shift that is found with 80 % power.

    Parameters
    ----------
    spread : Spread
        Standard deviation of one draw.
    tests : int
        Number of claims in the book that can move.
    n, m : int
        Number of draws behind the published and the new value.

    Returns
    -------
    (half_width, detects) or None
        In the unit of the metric; None where the spread is unknown.
    """
    if spread.sd is None or spread.df is None:
        return None
    half_width, detects = half_widths(np.array(spread.sd), np.array(spread.df), tests, n, m)
    return float(half_width), float(detects)


def half_widths(
    sd: np.ndarray, df: np.ndarray, tests: int, n: int, m: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return h and delta of the module's text for many claims at once, both of shape (claims,)."""
    from scipy.special import stdtrit

    scale = sd * math.sqrt(1 / n + 1 / m)
    df = np.minimum(df, 1e6)  # stdtrit needs a finite number; beyond this it is the normal one
    half_width = stdtrit(df, 1 - FALSE_ALARMS / (2 * max(tests, 1))) * scale
    return half_width, half_width + stdtrit(df, POWER) * scale


def tolerances(
    claims: Mapping[str, Mapping[str, Any]], spread: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Derive the tolerances of all claims of an edition.

    Parameters
    ----------
    claims : mapping of str to mapping
        The recorded claims of the whole book by id, as `medlib.results.record` writes them.
    spread : mapping or None
        The document of ``spread.json``; None where it was not measured.

    Returns
    -------
    dict of str to dict
        By claim id: ``tests`` (the number of claims that can move) and, for ``same_seeds`` and
        ``new_seeds``, either ``sd``, ``df``, ``half_width``, ``detects`` or ``cannot_tell``.
        Counts are exact and have none; nor have claims that rest on committed long runs.
    """
    moving = {
        key: item
        for key, item in claims.items()
        if item["kind"] != "count" and not item.get("long")
    }
    numeric = spreads(list(_numeric_samples(moving, spread)))
    seeded: dict[str, Spread] = {}
    for kind in {claim["kind"] for claim in moving.values()}:
        alike = {key: claim for key, claim in moving.items() if claim["kind"] == kind}
        seeded |= spreads([Sample(k, pool_of(c), tuple(c["values"])) for k, c in alike.items()])
    unknown = Spread(None, None, "its numeric spread was not measured (make spread)")
    result = {}
    for key, claim in moving.items():
        n = len(claim["values"])
        same = describe(numeric.get(key, unknown), len(moving), 1)
        fixed = n > 1 and len(set(claim["values"])) == 1  # seeds do not move it at all
        new = same if fixed else describe(seeded[key], len(moving), n)
        result[key] = {"tests": len(moving), "same_seeds": same, "new_seeds": new}
    return result


def describe(spread: Spread, tests: int, n: int) -> dict[str, Any]:
    """Return a spread and its margins as plain numbers of six digits, ready for JSON."""
    found = margins(spread, tests, n, n)
    if found is None:
        return {"cannot_tell": spread.reason}
    numbers = {"sd": spread.sd, "df": spread.df, "half_width": found[0], "detects": found[1]}
    return {key: float(f"{min(value, 1e6):.6g}") for key, value in numbers.items()} | {"n": n}


def pool_of(claim: Mapping[str, Any]) -> str:
    """Return the pool of a recorded claim: claims of one kind, metric and data set."""
    return f"{claim['kind']}/{claim['metric']}/{claim['data']}"


def spread_file(profile: str) -> Path:
    """Return where the measured numeric spread of a profile is committed."""
    return published_dir(profile) / "spread.json"


def measure_spread(profile: str, runs: Mapping[str, Path]) -> dict[str, Any]:
    """Compare re-runs of the same chapters with the same seeds, and commit what they differ by.

    Chapters that the re-runs do not hold keep what was measured for them before.

    Parameters
    ----------
    profile : str
        The profile that was run.
    runs : mapping of str to Path
        Results folders by name of the environment: `BASE` and at least one of `VARIANTS`.

    Returns
    -------
    dict
        The document that was written to ``results/<profile>/spread.json``:
        ``{"schema": 1, "profile": ..., "chapters": {chapter: {"environments": [...],
        "claims": {id: {"pool": ..., "values": {environment: [one a seed]}}}}}}``.

    Raises
    ------
    MedlibError
        Where the base run is missing, there is nothing to compare it with, or two runs of one
        claim used other seeds.
    """
    if BASE not in runs or len(runs) < 2:
        raise MedlibError(f"a spread needs the run {BASE!r} and at least one other, got {[*runs]}")
    documents = {name: read_results(folder) for name, folder in runs.items()}
    moved = [BASE, *(name for name in runs if name != BASE and _moved(documents, name))]
    if len(moved) < 2:
        raise MedlibError(
            "no environment moved a single claim: this machine's libraries ignore them all"
        )
    existing = read_json(spread_file(profile)) or {"chapters": {}}
    found = {
        chapter: _chapter_spread(chapter, {name: documents[name][chapter] for name in moved})
        for chapter in documents[BASE]
        if all(chapter in documents[name] for name in moved)
    }
    document = {"schema": 1, "profile": profile, "chapters": existing["chapters"] | found}
    write_json(spread_file(profile), document)
    return document


def _moved(documents: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Tell whether an environment changed any claim: if none, it did not change the arithmetic."""
    base = documents[BASE]
    return any(
        claim["values"] != base[chapter]["claims"].get(key, claim)["values"]
        for chapter, document in documents[name].items()
        if chapter in base
        for key, claim in document["claims"].items()
    )


def _chapter_spread(chapter: str, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if any(document["synthetic"] for document in runs.values()):
        raise MedlibError(f"{chapter}: a run on phantoms measures no spread; get the data first")
    claims = {}
    for key, claim in runs[BASE]["claims"].items():
        others = [document["claims"].get(key) for document in runs.values()]
        if claim["kind"] == "count" or claim.get("long") or None in others:
            continue
        if any(other["seeds"] != claim["seeds"] for other in others):
            raise MedlibError(f"{chapter}: claim {key!r} was run with other seeds: run all alike")
        values = {name: document["claims"][key]["values"] for name, document in runs.items()}
        claims[key] = {"pool": pool_of(claim), "values": values}
    return {"environments": list(runs), "claims": claims}


def _numeric_samples(
    claims: Mapping[str, Mapping[str, Any]], spread: Mapping[str, Any] | None
) -> Iterable[Sample]:
    """Yield one sample a claim: its whole values, one an environment."""
    measured: dict[str, Any] = {}
    for chapter in (spread or {"chapters": {}})["chapters"].values():
        measured |= chapter["claims"]
    for key, claim in claims.items():
        if key in measured and measured[key]["pool"] == pool_of(claim):
            runs = measured[key]["values"].values()
            yield Sample(key, pool_of(claim), tuple(math.fsum(run) / len(run) for run in runs))


def _variance(values: Sequence[float]) -> float:
    """Return the unbiased variance; exactly 0 for equal values, whatever the rounding."""
    return float(np.var(values, ddof=1)) if len(set(values)) > 1 else 0.0


def _spread(sd: float, df: float, drawn: float) -> Spread:
    if drawn == 0:
        return Spread(None, None, "one draw a claim shows no spread")
    if df == 0:
        return Spread(None, None, "the measured spread of its pool is exactly zero")
    if df < MIN_DF:
        return Spread(None, None, f"its spread rests on {df:.1f} degrees of freedom, 3 are needed")
    return Spread(float(sd), float(df))


def _satterthwaite(weight: np.ndarray, own: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the degrees of freedom of ``(1 - w) pooled + w own`` for each claim."""
    rest = (1 - weight) ** 2 * (total - own) / total**2
    mine = (weight + (1 - weight) * own / total) ** 2 / np.where(own > 0, own, 1.0)
    return 1 / (rest + np.where(own > 0, mine, 0.0))


def _inverse_trigamma(value: float) -> float:
    """Solve ``trigamma(x) = value`` by Newton's method, which converges from below for all."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(60):
        trigamma = polygamma(1, x)
        step = trigamma * (1 - trigamma / value) / polygamma(2, x)
        x += step
        if abs(step) < 1e-10 * x:
            break
    return float(x)

"""Does a better fill escape, from which size of hole on is paint found, and do detectors fail together?

Three questions about the judged fakes that need more than a share: a rank correlation and a logistic regression of
being missed on the distance of the paint, with the coverage held fixed (standard errors clustered by group); the
coverage at which AUROC crosses a target, by AUROC in a moving window of coverage; and the nearest picture that was
judged correctly. Intervals over groups of photographs. Not here: figures (``plots.error_analysis``).
"""

import warnings

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from nbsupport.config import ErrorsConfig
from nbsupport.stats import bootstrap, metrics

FEWEST = 12  # fakes; below this nothing is fitted
WINDOW = 0.3  # share of the fakes in a window of coverage
POINTS = 15  # windows

QUALITIES = ("hole_l1", "hole_ssim")


def correlation(first: np.ndarray, second: np.ndarray, groups: np.ndarray, config: ErrorsConfig) -> bootstrap.Interval:
    """Spearman's rank correlation of (N,) and (N,) with its interval over groups; None without spread."""
    # The ranks are those of the sample; drawn rows keep them, which is a hundred times faster.
    ranks = [rankdata(values) for values in (first, second)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(1)
        one, two = ((ranks[k][None] - (weights @ ranks[k] / total)[:, None]) for k in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((weights * one**2).sum(1) * (weights * two**2).sum(1))
            return np.where(spread > 0, (weights * one * two).sum(1) / spread, np.nan)

    return bootstrap.bootstrap_groups(groups, statistic, config.draws, config.seed, config.confidence)


def regression(table: pd.DataFrame, quality: str, confidence: float) -> dict[str, float | None]:
    """Log-odds of being missed for one standard deviation more of `quality`, the coverage held fixed.

    Logistic regression with standard errors clustered by group. None where all or none are missed, where the two are
    separated completely, or where there are too few fakes.
    """
    missed = (table["outcome"] == "miss").to_numpy(float)
    columns = table[[quality, "coverage"]].to_numpy(np.float64)
    empty = {"value": None, "low": None, "high": None, "p": None}
    if len(missed) < FEWEST or min(missed.sum(), len(missed) - missed.sum()) < 3 or (columns[:, 0].std() == 0):
        return empty
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    codes, count = bootstrap.codes_of(table["group"])
    if count < 3:
        return empty
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = sm.Logit(missed, sm.add_constant(scaled)).fit(
                disp=False, cov_type="cluster", cov_kwds={"groups": codes}
            )
            low, high = fitted.conf_int(alpha=1 - confidence)[1]
    except (Warning, ValueError, np.linalg.LinAlgError):  # separated, or not to be told apart
        return empty
    return {"value": float(fitted.params[1]), "low": float(low), "high": float(high), "p": float(fitted.pvalues[1])}


def escapes(table: pd.DataFrame, config: ErrorsConfig) -> list[dict[str, object]]:
    """For each detector, seed, fake arm and quality: its ``correlation`` with the probability of being called fake.

    And ``regression`` (see above). Qualities that a run lacks are left out.
    """
    records = []
    fakes = table[table["label"] == 1]
    for (detector, seed, arm), own in fakes.groupby(["detector", "seed", "arm"], sort=False):
        for quality in QUALITIES:
            if quality not in own or own[quality].isna().any():
                continue
            values = own[quality].to_numpy(np.float64)
            found = correlation(values, own["probability"].to_numpy(), own["group"].to_numpy(), config)
            fitted = regression(own, quality, config.confidence)
            records.append(
                {"detector": detector, "seed": seed, "arm": arm, "quality": quality, "pictures": len(own)}
                | {"correlation": found, "regression": fitted}
            )
    return records


def crossing(real: pd.DataFrame, fake: pd.DataFrame, config: ErrorsConfig) -> dict[str, object]:
    """The coverage from which AUROC reaches the target, by AUROC in windows of coverage against all photographs.

    The windows hold the same number of fakes each; between two windows the curve is a line; a crossing is the smallest
    coverage from which the rolling AUROC stays at the target or above to the end.

    Returns:
        ``state`` (crosses, always above, never, too few), ``value, low, high`` (coverage, None unless it crosses; ends
        count draws that are always above as the smallest coverage and those never there as the largest), ``inside``
        (share of draws that cross within the range) and ``curve``: coverage, auroc, low, high of each window.
    """
    empty = {"value": None, "low": None, "high": None, "inside": None, "curve": []}
    if len(fake) < FEWEST or len(real) < FEWEST:
        return {"state": "too few", **empty}
    fake = fake.sort_values(["coverage", "path"], kind="stable")
    size = max(6, round(WINDOW * len(fake)))
    starts = np.unique(np.linspace(0, len(fake) - size, POINTS).round().astype(int))
    both = pd.concat([real, fake])
    logits, labels = both["logit"].to_numpy(), both["label"].to_numpy()
    middles = np.array([fake["coverage"].iloc[s : s + size].mean() for s in starts])
    members = [np.r_[: len(real), len(real) + s : len(real) + s + size] for s in starts]
    codes, count = bootstrap.codes_of(both["group"])
    draws = np.vstack([np.ones((1, count)), bootstrap.group_weights(count, min(config.draws, 500), config.seed)])
    curve = np.empty((len(draws), len(starts)))
    for n, chosen in enumerate(members):
        for begin in range(0, len(draws), bootstrap.BLOCK):
            block = slice(begin, begin + bootstrap.BLOCK)
            curve[block, n] = metrics.weighted_auroc(logits[chosen], labels[chosen], draws[block][:, codes[chosen]])
    where = np.array([_first_reached(middles, row, config.target) for row in curve])
    clipped = np.nan_to_num(np.clip(where, middles[0], middles[-1]), nan=middles[-1])
    found = bootstrap.interval(float(clipped[0]), clipped[1:], config.confidence)
    state = "always above" if where[0] == -np.inf else "never" if where[0] == np.inf else "crosses"
    lines = [
        {"coverage": middle, "auroc": value["value"], "low": value["low"], "high": value["high"]}
        for middle, value in (
            (m, bootstrap.interval(float(c[0]), c[1:], config.confidence))
            for m, c in zip(middles, curve.T, strict=True)
        )
    ]
    if state != "crosses":
        found = {"value": None, "low": None, "high": None}
    return {"state": state, **found, "inside": float(np.isfinite(where[1:]).mean()), "curve": lines}


def _first_reached(coverage: np.ndarray, auroc: np.ndarray, target: float) -> float:
    """Where a curve reaches the target for good; -inf: from the start, inf: never."""
    below = np.flatnonzero(~(auroc >= target))
    if not len(below):
        return -np.inf
    last = below[-1]
    if last == len(auroc) - 1:
        return np.inf
    if coverage[last + 1] == coverage[last] or not np.isfinite(auroc[last]):
        return float(coverage[last + 1])
    share = (target - auroc[last]) / (auroc[last + 1] - auroc[last])
    return float(coverage[last] + share * (coverage[last + 1] - coverage[last]))


def shared(wrong: pd.DataFrame, groups: np.ndarray, config: ErrorsConfig) -> bootstrap.Interval:
    """Share of pictures that *every* detector judges wrongly, minus that share if they erred independently.

    wrong: (pictures, detectors) bool; groups: (pictures,).
    """
    values = wrong.to_numpy(bool).astype(np.float64)
    every = values.all(axis=1).astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(1)
        return weights @ every / total - ((weights @ values) / total[:, None]).prod(axis=1)

    return bootstrap.bootstrap_groups(groups, statistic, config.draws, config.seed, config.confidence)


def neighbours(descriptors: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """For each row of the table, the manifest row of the nearest picture of the same label that this detector judged
    correctly, another photograph's; -1 if none.

    descriptors: (P, F) float, row = ``number`` of the table. A detector's own features are not used.
    """
    found = np.full(len(table), -1, np.int64)
    right = table["outcome"].isin(["found", "passed"]).to_numpy()
    number, groups = table["number"].to_numpy(), table["group"].to_numpy()
    for rows in table.reset_index(drop=True).groupby(["detector", "seed", "arm"], sort=False).indices.values():
        good = rows[right[rows]]
        if not len(good):
            continue
        search = NearestNeighbors(n_neighbors=min(len(good), 16)).fit(descriptors[number[good]])
        near = search.kneighbors(descriptors[number[rows]], return_distance=False)  # (R, K)
        other = groups[good[near]] != groups[rows][:, None]
        first = other.argmax(axis=1)
        found[rows] = np.where(other.any(axis=1), number[good[near[np.arange(len(rows)), first]]], -1)
    return found

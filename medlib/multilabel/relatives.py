"""Borrowing between findings: what others teach about a finding that few cases know (3.17).

A finding of which few labels are known has relatives that can lend it what they know. First, the
other findings' classifiers: part of what makes a film look ill is the same for all. Second, the
other findings' known labels in the same image: where they turned out otherwise than the image alone
suggests, the unknown label is moved with them. How much is borrowed is learned from known labels.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional as F

from medlib.errors import MedlibError
from medlib.multilabel.base import UNKNOWN, Method
from medlib.multilabel.folds import out_of_fold, patient_folds
from medlib.multilabel.heads import HeadRecipe, LinearHead
from medlib.multilabel.losses import Loss, assume_negative, ignore_unknown

ALIKE = (0.0, 0.7)  # correlations of two findings' weights between which the known labels choose
EARNED = 3.0  # in log-likelihood: the known labels must be twenty times as likely
HELD = 5.0  # penalty on each weight between two findings, in known labels
TINY = 1e-4


class Relatives(Method):
    """A linear head whose findings borrow from each other where labels are unknown.

    With nothing to borrow it is the head that ignores unknown labels. Where a finding is never
    known to be absent it assumes negatives, and divides by the share of positives that are known
    (`share_of_positives`); moves cannot be learned then.

    Parameters
    ----------
    recipe : HeadRecipe, optional
        With ``batch_size=None``.
    parts : int
        A teacher predicts each patient of the training cases from those of the other parts.
    alike : sequence of float
        Candidates for the correlation of two findings' weights, see `AlikeHead`. Another than the
        first must make the known labels twenty times as likely, as a teacher predicts them.
    calibrate : bool
        Whether the teacher's log-odds are stretched and shifted to fit the known labels.
    findings, patients : bool
        Whether the image's other findings, and the same finding in the patient's other images, move
        an unknown label.
    echo : bool
        Whether the head is pulled to the teacher's opinion, moved; else from its own.
    """

    def __init__(
        self,
        recipe: HeadRecipe | None = None,
        *,
        parts: int = 3,
        alike: tuple[float, ...] = ALIKE,
        calibrate: bool = True,
        findings: bool = True,
        patients: bool = False,
        echo: bool = False,
    ) -> None:
        if parts < 2 or not alike:
            raise MedlibError(f"need at least 2 parts and one candidate, got {parts} and {alike}")
        self.recipe, self.parts, self.alike = recipe or HeadRecipe(), parts, alike
        self.calibrate, self.findings, self.patients = calibrate, findings, patients
        self.echo = echo

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> None:
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        positive_only = not (labels == 0).any(axis=0).all()
        loss = assume_negative if positive_only else ignore_unknown
        part = patient_folds(labels, groups, self.parts, seed)
        assumed = np.where(labels == UNKNOWN, 0, labels) if positive_only else labels
        taught = {}
        for degree in self.alike:
            teacher = AlikeHead(degree, loss, self.recipe)
            found = out_of_fold(teacher, features, labels, groups, fold=part).probabilities
            odds = logit(np.clip(found, TINY, 1 - TINY))
            taught[degree] = calibrated(odds, assumed) if self.calibrate else odds
        cost = {degree: log_loss(expit(odds), assumed) for degree, odds in taught.items()}
        cost[self.alike[0]] -= EARNED
        self.alike_ = min(cost, key=lambda degree: cost[degree])
        self.odds_ = taught[self.alike_]
        self.share_: np.ndarray | float = 1.0
        if positive_only:
            self.student_ = AlikeHead(self.alike_, loss, self.recipe)
            if self.calibrate:
                self.share_ = share_of_positives(expit(self.odds_), labels)
        else:
            self.move_ = self._move(self.odds_, labels, groups)
            start = self.odds_ if self.echo else None
            self.student_ = PulledHead(self.move_, self.alike_, self.recipe, start=start)
        self.student_.fit(features, labels, groups, seed)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return np.minimum(self.student_.predict_proba(features) / self.share_, 1)

    def _move(self, odds: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return how far relatives move each label's log-odds, ``(N, K)``."""
        known = labels != UNKNOWN
        surprise = np.where(known, labels - expit(odds), 0)
        others = others_of_patient(surprise, known, groups)
        self.between_, self.within_ = couplings(
            odds, labels, surprise, others, findings=self.findings, patients=self.patients
        )
        return surprise @ self.between_ + self.within_ * others


class AlikeHead(LinearHead):
    """A linear head whose findings have part of their weights in common.

    The weights of a finding are ``sqrt(1 - alike)`` times its own part plus ``sqrt(alike)`` times a
    part that all share. The penalty, which is a Gaussian prior on both parts, then is a prior under
    which two findings' weights have the correlation `alike`. At 0 this is `LinearHead`.

    Parameters
    ----------
    alike : float
        From 0 up to 1.
    loss, recipe
        As in `medlib.multilabel.Head`.
    """

    def __init__(
        self, alike: float, loss: Loss = ignore_unknown, recipe: HeadRecipe | None = None
    ) -> None:
        if not 0 <= alike < 1:
            raise MedlibError(f"alike must be a correlation from 0 up to 1, got {alike}")
        super().__init__(loss, recipe)
        self.alike = alike

    def build(self, num_features: int, labels: Tensor) -> nn.Module:
        """Return the layer; all weights start at zero."""
        return _Alike(num_features, labels.shape[1], self.alike)


class _Alike(nn.Module):
    def __init__(self, num_features: int, num_labels: int, alike: float) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(num_labels, num_features))
        self.common = nn.Parameter(torch.zeros(1, num_features))  # a row, so that it is penalised
        self.bias = nn.Parameter(torch.zeros(num_labels))
        self.alike = alike

    def forward(self, features: Tensor) -> Tensor:
        weights = (1 - self.alike) ** 0.5 * self.own + self.alike**0.5 * self.common
        return features @ weights.T + self.bias


class PulledHead(AlikeHead):
    """A head that learns the known labels, and is pulled at the unknown ones.

    The target of an unknown label is the head's own probability of the moment, its log-odds moved
    as given. Where nothing moves there is no gradient.

    Parameters
    ----------
    move : ndarray
        ``(N, K)`` of the training cases, in their order: in log-odds.
    alike, recipe
        As in `AlikeHead`; with ``batch_size=None``.
    start : ndarray, optional
        ``(N, K)``: log-odds that are moved in place of the head's own.
    """

    def __init__(
        self,
        move: np.ndarray,
        alike: float = 0.0,
        recipe: HeadRecipe | None = None,
        *,
        start: np.ndarray | None = None,
    ) -> None:
        super().__init__(alike, recipe=recipe)
        self.move, self.start = move, start

    def make_loss(self, labels: Tensor) -> Loss:
        """Return the loss, a sum over all labels divided by the number of the known ones."""
        if len(self.move) != len(labels) or self.recipe.batch_size is not None:
            raise MedlibError("a PulledHead needs a move for each case, and all in one batch")
        move = torch.as_tensor(self.move, dtype=torch.float32, device=labels.device)
        start = None if self.start is None else torch.as_tensor(self.start).to(move)
        known = labels != UNKNOWN

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            origin = logits.detach() if start is None else start
            targets = torch.where(known, labels.to(logits.dtype), (origin + move).sigmoid())
            terms = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            return terms.sum() / known.sum()

        return loss


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the log loss of the known labels, their sum."""
    known, inside = labels != UNKNOWN, np.clip(probabilities, TINY, 1 - TINY)
    return float(-np.log(np.where(labels == 1, inside, 1 - inside))[known].sum())


def calibrated(odds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return log-odds ``(N, K)`` after one stretch for all findings and a shift for each.

    Both maximise the likelihood of the known labels; a weak penalty holds the shifts of findings
    with few known labels, and the stretch, where nothing was learned (at 0 and 1).
    """
    known = labels != UNKNOWN
    rows, columns = np.nonzero(known)
    truth, given = labels[known], odds[known]
    start = np.zeros(labels.shape[1] + 1)

    def cost(guess: np.ndarray) -> tuple[float, np.ndarray]:
        stretch, shift = 1 + guess[0], guess[1:]
        found = stretch * given + shift[columns]
        error = expit(found) - truth
        value = np.logaddexp(0, found).sum() - truth @ found + (guess**2).sum() / 2
        each = np.bincount(columns, error, minlength=len(shift))
        return value, np.concatenate([[error @ given], each]) + guess

    best = minimize(cost, start, jac=True, method="L-BFGS-B").x
    return (1 + best[0]) * odds + best[1:]


def share_of_positives(teacher: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which share of a finding's positives is known (Elkan and Noto, 2008), ``(K,)``.

    If each positive had the same chance of being known, a teacher that assumes negatives learns
    this chance times the probability; the mean over the known positives, whose probability is
    nearly 1, is the chance.

    Parameters
    ----------
    teacher : ndarray
        ``(N, K)``: probability of being a known positive.
    labels : ndarray
        ``(N, K)`` of 1 and -1.
    """
    positive = labels == 1
    share = (teacher * positive).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    return np.clip(share, TINY, 1)


def others_of_patient(surprise: np.ndarray, known: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return what the patient's other images say of each label, ``(N, K)``.

    The sum of their surprises over the number of known ones plus one: of none it is zero.
    """
    number = np.unique(groups, return_inverse=True)[1].ravel()
    total, count = np.zeros((2, number.max() + 1, known.shape[1]))
    np.add.at(total, number, surprise)
    np.add.at(count, number, known)
    return (total[number] - surprise) / (count[number] - known + 1)


def couplings(
    odds: np.ndarray,
    labels: np.ndarray,
    surprise: np.ndarray,
    others: np.ndarray,
    *,
    findings: bool = True,
    patients: bool = True,
) -> tuple[np.ndarray, float]:
    """Return how much relatives count: symmetric weights ``(K, K)``, and one for the patient.

    Penalised maximum likelihood of the known labels; with few pairs of known labels the weights
    stay near zero.
    """
    known = labels != UNKNOWN
    size = labels.shape[1]
    upper = np.triu_indices(size, 1)

    def parts(guess: np.ndarray) -> tuple[np.ndarray, float]:
        between = np.zeros((size, size))
        between[upper] = guess[:-1]
        return between + between.T, float(guess[-1])

    def cost(guess: np.ndarray) -> tuple[float, np.ndarray]:
        between, within = parts(guess)
        found = odds + surprise @ between + within * others
        error = np.where(known, expit(found) - labels, 0)
        value = (known * (np.logaddexp(0, found) - labels * found)).sum()
        value += HELD / 2 * (guess[:-1] ** 2).sum() + guess[-1] ** 2 / 2
        pairs = surprise.T @ error
        slope = np.append((pairs + pairs.T)[upper], (error * others).sum())
        slope[:-1] += HELD * guess[:-1]
        slope[-1] += guess[-1]
        slope[:-1] *= findings
        slope[-1] *= patients
        return value, slope

    start = np.zeros(len(upper[0]) + 1)
    return parts(minimize(cost, start, jac=True, method="L-BFGS-B").x)

"""Completion by relatives: unknown labels filled in from the known labels around them (3.17).

An unknown label has two kinds of relatives: the other findings of the same image, and the same
finding in the other images of the same patient. A teacher says how probable each label is from the
image alone; what the relatives know beyond that corrects it; a student learns from the result.
"""

import copy

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from torch import Tensor
from torch.nn import functional as F

from medlib.errors import MedlibError
from medlib.multilabel.base import UNKNOWN, Method
from medlib.multilabel.folds import patient_folds
from medlib.multilabel.heads import HeadRecipe, LinearHead
from medlib.multilabel.losses import Loss, assume_negative, ignore_unknown

SLOPES = 5.0  # penalty on each weight between findings, in units of one known label
TINY = 1e-4


class Relatives(Method):
    """A linear head that learns from labels completed by their relatives.

    Parameters
    ----------
    recipe : HeadRecipe, optional
        Of teacher and student; with ``batch_size=None``.
    parts : int
        The teacher predicts each patient from the patients of the other parts. 0: it predicts the
        cases that it learned from.
    calibrate : bool
        Whether the teacher's log-odds are stretched and shifted to fit the known labels.
    findings, patients : bool
        Whether the other findings, and the patient's other images, have a say.
    soft : bool
        Whether the student learns from probabilities; else from 1 above `confidence`, 0 below one
        minus it, and nothing between.
    confidence : float
        For ``soft=False``.
    weight : float
        What a completed label counts, against 1 for a known one.
    """

    def __init__(
        self,
        recipe: HeadRecipe | None = None,
        *,
        parts: int = 5,
        calibrate: bool = True,
        findings: bool = True,
        patients: bool = True,
        soft: bool = True,
        confidence: float = 0.9,
        weight: float = 1.0,
    ) -> None:
        if parts == 1 or parts < 0 or not 0 <= weight <= 1:
            raise MedlibError(f"need parts 0 or >= 2 and 0 <= weight <= 1, got {parts}, {weight}")
        self.recipe, self.parts, self.calibrate = recipe or HeadRecipe(), parts, calibrate
        self.findings, self.patients = findings, patients
        self.soft, self.confidence, self.weight = soft, confidence, weight

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> None:
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        self.teacher_ = self._teacher_probabilities(features, labels, groups, seed)
        self.completed_ = self._complete(self.teacher_, labels, groups)
        targets, weights = self._lesson(labels)
        self.student_ = TargetHead(targets, weights, self.recipe)
        self.student_.fit(features, labels, groups, seed)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return self.student_.predict_proba(features)

    def _teacher_probabilities(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
    ) -> np.ndarray:
        """Return the teacher's probability of each training label, ``(N, K)``.

        Where some finding is never known to be absent, ignoring the unknown teaches nothing: the
        teacher then assumes them negative, and learns P(known positive), which ranks alike.
        """
        positive_only = not ((labels == 0).any(axis=0)).all()
        loss = assume_negative if positive_only else ignore_unknown
        teacher = LinearHead(loss, self.recipe)
        if not self.parts:
            return teacher.fit(features, labels, groups, seed).predict_proba(features)
        part = patient_folds(labels, groups, self.parts, seed)
        found = np.empty(labels.shape)
        for number in np.unique(part):
            held = part == number
            fitted = copy.deepcopy(teacher).fit(features[~held], labels[~held], None, seed)
            found[held] = fitted.predict_proba(features[held])
        return found

    def _complete(
        self, teacher: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """Return the probability of each label in view of all known ones, ``(N, K)``."""
        odds = logit(np.clip(teacher, TINY, 1 - TINY))
        self.between_, self.within_ = np.zeros((labels.shape[1],) * 2), 0.0
        if not (labels == 0).any(axis=0).all():
            return from_positives(teacher, labels) if self.calibrate else teacher
        if self.calibrate:
            odds = calibrated(odds, labels)
        known = labels != UNKNOWN
        surprise = np.where(known, labels - expit(odds), 0)
        others = others_of_patient(surprise, known, groups)
        self.between_, self.within_ = couplings(
            odds, labels, surprise, others, findings=self.findings, patients=self.patients
        )
        return expit(odds + surprise @ self.between_ + self.within_ * others)

    def _lesson(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the student learns: targets and their weights, ``(N, K)`` each."""
        known = labels != UNKNOWN
        targets = np.where(known, labels, self.completed_)
        weights = np.where(known, 1.0, self.weight)
        if not self.soft:
            unsure = np.abs(targets - 0.5) < self.confidence - 0.5
            targets, weights = targets.round(), np.where(unsure, 0.0, weights)
        return targets, weights


class TargetHead(LinearHead):
    """A linear head that learns probabilities in place of labels.

    Parameters
    ----------
    targets, weights : ndarray
        ``(N, K)`` of the training cases, in their order: what to learn, and how much it counts.
    recipe : HeadRecipe, optional
        With ``batch_size=None``.
    """

    def __init__(
        self, targets: np.ndarray, weights: np.ndarray, recipe: HeadRecipe | None = None
    ) -> None:
        super().__init__(recipe=recipe)
        self.targets, self.weights = targets, weights

    def make_loss(self, labels: Tensor) -> Loss:
        """Return the weighted cross entropy against the targets."""
        targets, weights = (
            torch.as_tensor(table, dtype=torch.float32, device=labels.device)
            for table in (self.targets, self.weights)
        )
        if len(targets) != len(labels) or self.recipe.batch_size is not None:
            raise MedlibError("a TargetHead needs a target for each case, and all in one batch")

        def loss(logits: Tensor, _: Tensor) -> Tensor:
            terms = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            return (weights * terms).sum() / weights.sum().clamp(min=TINY)

        return loss


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


def from_positives(teacher: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability of a finding where only positives are known (Elkan and Noto, 2008).

    If each positive label had the same chance c of being known, an assume-negative teacher learns
    c times the probability, and its mean over the known positives is c.

    Parameters
    ----------
    teacher : ndarray
        ``(N, K)``: probability of being a known positive.
    labels : ndarray
        ``(N, K)`` of 1 and -1.
    """
    positive = labels == 1
    chance = (teacher * positive).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    chance = np.clip(chance, TINY, 1)
    inside = np.clip(teacher, TINY, 1 - TINY)
    unknown = np.clip((1 - chance) / chance * inside / (1 - inside), TINY, 1 - TINY)
    return np.where(positive, 1.0, unknown)


def others_of_patient(
    surprise: np.ndarray, known: np.ndarray, groups: np.ndarray
) -> np.ndarray:
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
        value += SLOPES / 2 * (guess[:-1] ** 2).sum() + guess[-1] ** 2 / 2
        pairs = surprise.T @ error
        slope = np.append((pairs + pairs.T)[upper], (error * others).sum())
        slope[:-1] += SLOPES * guess[:-1]
        slope[-1] += guess[-1]
        slope[:-1] *= findings
        slope[-1] *= patients
        return value, slope

    start = np.zeros(len(upper[0]) + 1)
    return parts(minimize(cost, start, jac=True, method="L-BFGS-B").x)

"""Losses: equal to values computed by hand or by a slow loop; their gradients are right."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from medlib import losses
from medlib.recipe import Recipe, RecipeError, build_loss


def random_logits(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_masks(*shape, classes, seed=1):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


LOGITS, MASKS = random_logits(3, 3, 4, 5), random_masks(3, 4, 5, classes=3)
LABEL_LOGITS = random_logits(4, 3)
LABELS = torch.tensor([[1, 0, -1], [0, 0, 1], [-1, -1, -1], [1, -1, 0]])


# Pixels


def soft_counts(logits, masks, k):
    """Return hits, false positives and misses of class k in each image, pixel by pixel."""
    p = torch.softmax(logits, 1)[:, k]
    for n in range(len(p)):
        hit = fp = miss = 0.0
        for i in range(p.shape[1]):
            for j in range(p.shape[2]):
                inside, x = masks[n, i, j] == k, float(p[n, i, j])
                hit, fp, miss = hit + inside * x, fp + (not inside) * x, miss + inside * (1 - x)
        yield hit, fp, miss


def test_dice_and_tversky_equal_a_loop_over_pixels():
    dice, tversky = [], []
    for k in (1, 2):
        for hit, fp, miss in soft_counts(LOGITS, MASKS, k):
            dice.append(1 - (2 * hit + 1) / (2 * hit + fp + miss + 1))
            tversky.append(1 - (hit + 1) / (hit + 0.3 * fp + 0.7 * miss + 1))
    assert float(losses.dice(LOGITS, MASKS)) == pytest.approx(sum(dice) / 6)
    assert float(losses.tversky(LOGITS, MASKS)) == pytest.approx(sum(tversky) / 6)


def test_dice_by_hand():
    """Two pixels, one inside; probability one half everywhere: 2 * 0.5 / (1 + 1), smoothed."""
    logits, masks = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    assert float(losses.dice(logits, masks, smooth=0)) == pytest.approx(0.5)
    assert float(losses.dice(logits, masks)) == pytest.approx(1 - 2 / 3)
    empty = torch.tensor([[[-20.0, -20.0]]])
    sure = torch.stack([-empty, empty], dim=1)
    assert float(losses.dice(sure, torch.zeros(1, 1, 2, dtype=torch.long))) < 1e-6


def jaccard_loss(truth, wrong):
    """Return one minus the IoU of a truth and the same truth with some pixels wrong."""
    found = truth ^ wrong
    return 1 - float((truth & found).sum()) / max(1, int((truth | found).sum()))


def test_lovasz_is_the_extension_of_the_jaccard_loss():
    """Sum over levels of the errors of the Jaccard loss of the pixels above each level."""
    chances, each = torch.softmax(LOGITS, 1), []
    for n in range(len(MASKS)):
        of_classes = []
        for k in MASKS[n].unique():
            truth = MASKS[n] == k
            errors = (truth.double() - chances[n, k]).abs()
            levels = [0.0, *sorted(errors.flatten().tolist())]
            steps = [
                (high - low) * jaccard_loss(truth, errors >= high) for low, high in pairwise(levels)
            ]
            of_classes.append(sum(steps))
        each.append(sum(of_classes) / len(of_classes))
    assert float(losses.lovasz(LOGITS, MASKS)) == pytest.approx(sum(each) / len(each))


def test_lovasz_of_sure_pixels_is_one_minus_iou():
    truth = torch.tensor([[[0, 0, 1, 1]]])
    found = torch.tensor([[[0, 1, 1, 1]]])
    logits = 40.0 * functional.one_hot(found, 2).permute(0, 3, 1, 2).double()
    assert float(losses.lovasz(logits, truth)) == pytest.approx(1 - (1 / 2 + 2 / 3) / 2)


def test_dice_ce_is_the_sum():
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    both = losses.dice_ce(LOGITS, MASKS, weight)
    rows, flat = LOGITS.permute(0, 2, 3, 1).reshape(-1, 3), MASKS.flatten()
    each = -torch.log_softmax(rows, 1)[torch.arange(60), flat]
    expected = float((each * weight[flat]).sum() / weight[flat].sum())
    assert float(both - losses.dice(LOGITS, MASKS)) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dice", "tversky", "lovasz"])
def test_half_precision_is_not_summed_in_half(name):
    """A mask of 100 x 100 pixels: bfloat16 alone could not count beyond 256."""
    logits, masks = random_logits(1, 2, 100, 100).bfloat16(), random_masks(1, 100, 100, classes=2)
    function = losses.LOSSES[name].function
    assert float(function(logits, masks)) == pytest.approx(
        float(function(logits.double(), masks)), rel=1e-4
    )


# Several labels


def test_focal_by_hand():
    logits, labels = torch.tensor([[math.log(3)], [math.log(3)]]), torch.tensor([[1], [0]])
    positive = -0.25 * 0.25**2 * math.log(0.75)  # p = 3/4
    negative = -0.75 * 0.75**2 * math.log(0.25)
    loss = losses.focal(logits, labels)
    assert float(loss) == pytest.approx((positive + negative) / 2)
    plain = losses.focal(LABEL_LOGITS, LABELS, gamma=0.0, alpha=0.5)
    assert float(plain) == pytest.approx(0.5 * float(losses.bce(LABEL_LOGITS, LABELS)))


def test_asymmetric_by_hand():
    logits, labels = torch.tensor([[math.log(3)], [math.log(3)]]), torch.tensor([[1], [0]])
    positive = -0.25 * math.log(0.75)
    negative = -(0.70**4) * math.log(0.30)
    assert float(losses.asymmetric(logits, labels)) == pytest.approx((positive + negative) / 2)
    easy = torch.full((1, 1), math.log(0.04 / 0.96))  # below the margin of 0.05
    assert float(losses.asymmetric(easy, torch.zeros(1, 1))) == 0
    plain = dict(gamma_positive=0.0, gamma_negative=0.0, margin=0.0)
    assert float(losses.asymmetric(LABEL_LOGITS, LABELS, **plain)) == pytest.approx(
        float(losses.bce(LABEL_LOGITS, LABELS))
    )


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_unknown_labels_count_for_nothing(name):
    loss, known = losses.LOSSES[name].function, LABELS != -1
    alone = [
        loss(LABEL_LOGITS[i, k].reshape(1, 1), LABELS[i, k].reshape(1, 1))
        for i, k in known.nonzero().tolist()
    ]
    assert float(loss(LABEL_LOGITS, LABELS)) == pytest.approx(float(sum(alone)) / len(alone))
    logits = LABEL_LOGITS.clone().requires_grad_()
    loss(logits, LABELS).backward()
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).any()
    assert float(loss(LABEL_LOGITS, torch.full_like(LABELS, -1))) == 0


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_unknown_labels_may_be_taken_for_negative(name):
    recipe = Recipe(loss=name, unknown="negative", class_weights=(1.0, 2.0, 3.0))
    loss = build_loss(recipe, LABELS, 3)
    filled = LABELS.clamp(min=0)
    expected = losses.LOSSES[name].function(LABEL_LOGITS, filled, torch.tensor([1.0, 2.0, 3.0]))
    assert float(loss(LABEL_LOGITS, LABELS)) == pytest.approx(float(expected))


def test_balanced_weights_leave_unknown_labels_out():
    loss = build_loss(Recipe(class_weights="balanced"), LABELS, 3)
    # Weight of the positives: 1 negative to 2, 2 to none (taken for one), 1 to 1.
    weights = [1 / 2, 1, 1, 1, 1, 1 / 2, 1]  # of each known label, row by row
    assert float(loss(torch.zeros(4, 3), LABELS)) == pytest.approx(math.log(2) * sum(weights) / 7)


# Ordered classes


def test_cumulative_asks_one_question_a_step():
    logits, target = random_logits(5, 4), torch.tensor([0, 1, 2, 3, 1])
    each = []
    for p, grade in zip(torch.softmax(logits, 1), target.tolist(), strict=True):
        for k in range(3):
            above = float(p[k + 1 :].sum())
            each.append(-math.log(above if grade > k else 1 - above))
    assert float(losses.cumulative(logits, target)) == pytest.approx(sum(each) / 15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cumulative_with_two_classes_is_the_cross_entropy(smoothing):
    logits, target = random_logits(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    plain = losses.cross_entropy(logits, target, smoothing=smoothing)
    found = losses.cumulative(logits, target, smoothing=smoothing)
    assert float(found) == pytest.approx(float(plain))


def test_cumulative_minds_the_distance_and_extreme_logits():
    sure = torch.diag(torch.full((5,), 60.0))
    far, near = (float(losses.cumulative(sure[[k]], torch.tensor([0]))) for k in (4, 1))
    assert far > 3.9 * near > 0
    logits = (1e3 * random_logits(4, 5)).requires_grad_()
    loss = losses.cumulative(logits, torch.tensor([0, 4, 2, 1]))
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


# Gradients, and what a recipe may ask


def test_gradients_of_the_loss_of_ordered_classes():
    logits, target = random_logits(4, 5).requires_grad_(), torch.tensor([0, 4, 2, 1])
    assert torch.autograd.gradcheck(lambda x: losses.cumulative(x, target, 0.05), logits)


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "tversky", "lovasz", "dice_ce"])
def test_gradients_of_losses_of_masks(name):
    function = losses.LOSSES[name].function
    logits = LOGITS[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, MASKS[:2]), logits)


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_gradients_of_losses_of_labels(name):
    function = losses.LOSSES[name].function
    logits = LABEL_LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, LABELS), logits)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (dict(loss="focal"), "'focal' is not for masks: choose one of cross_entropy, dice"),
        (dict(loss="lovasz", class_weights="balanced"), "'lovasz' takes no class_weights"),
        (dict(loss="dice", label_smoothing=0.1), "'dice' takes no label_smoothing"),
        (dict(loss="tversky", loss_options={"gamma": 2}), "no option gamma: it takes alpha, beta"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(recipe, words):
    with pytest.raises(RecipeError, match=words):
        build_loss(Recipe(**recipe), MASKS, 3)


def test_names_of_losses_are_checked():
    with pytest.raises(RecipeError, match="loss must be one of .*'lovasz'.* got 'jaccard'"):
        Recipe(loss="jaccard")
    with pytest.raises(RecipeError, match="unknown must be one of"):
        Recipe(unknown="positive")
    with pytest.raises(RecipeError, match="label_share"):
        Recipe(label_share=1.5)
    options = build_loss(Recipe(loss="tversky", loss_options={"alpha": 0.5, "beta": 0.5}), MASKS, 3)
    assert float(options(LOGITS, MASKS)) == pytest.approx(
        float(losses.tversky(LOGITS, MASKS, alpha=0.5, beta=0.5))
    )

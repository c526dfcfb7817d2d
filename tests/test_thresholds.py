"""Operating points do what their rules promise, and their numbers are those worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from medlib import thresholds as th
from medlib.errors import MedlibError
from medlib.evaluate import Scores
from medlib.intervals import wilson
from medlib.thresholds import OperatingPoint

TRUTH = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
SCORE = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.35, 0.5, 0.7, 0.8, 0.9])


def table(score: np.ndarray) -> np.ndarray:
    return np.stack([1 - score, score], axis=1)


def many(cases: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random(cases) < 0.3).astype(int)
    return truth, np.round(1 / (1 + np.exp(-generator.normal(2 * truth - 1))), 3)


def made(truth: np.ndarray, score: np.ndarray, **changes: object) -> Scores:
    return replace(
        Scores("net", "toy", 0, "", truth, table(score), np.arange(len(truth))), **changes
    )


def shares(truth: np.ndarray, score: np.ndarray, cut: float) -> tuple[float, float]:
    return (score[truth == 1] >= cut).mean(), (score[truth == 0] < cut).mean()


class TestRules:
    def test_by_hand(self):
        assert th.at_sensitivity(TRUTH, SCORE, 0.8) == pytest.approx(0.45)
        assert th.at_sensitivity(TRUTH, SCORE, 1.0) == pytest.approx(0.325)
        assert th.at_specificity(TRUTH, SCORE, 0.8) == pytest.approx(0.45)
        assert th.at_specificity(TRUTH, SCORE, 1.0) == pytest.approx(0.65)
        assert th.youden(TRUTH, SCORE) == pytest.approx(0.325)

    @pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 1.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_the_target_is_met_and_no_further_cut_meets_it(self, target, seed):
        truth, score = many(150, seed)
        cut = th.at_sensitivity(truth, score, target)
        higher = np.unique(score)[np.unique(score) > cut]
        assert shares(truth, score, cut)[0] >= target
        assert all(shares(truth, score, c + 1e-9)[0] < target for c in higher)
        cut = th.at_specificity(truth, score, target)
        lower = np.unique(score)[np.unique(score) < cut]
        assert shares(truth, score, cut)[1] >= target
        assert all(shares(truth, score, c)[1] < target for c in lower)

    def test_an_assured_sensitivity_is_kept_as_often_as_promised(self):
        generator, kept = np.random.default_rng(0), []
        for _ in range(1500):  # uniform scores of positive cases: the cut is its own miss rate
            truth = np.repeat([0, 1], [20, 120])
            score = np.concatenate([-np.ones(20), generator.random(120)])
            kept.append(th.at_assured_sensitivity(truth, score, 0.9, confidence=0.9) <= 0.1)
        assert 0.9 - 0.02 <= np.mean(kept) <= 0.97

    def test_an_assured_sensitivity_takes_enough_cases(self):
        score = np.arange(100) / 100
        truth = (np.arange(100) >= 42).astype(int)  # 0.95 ** 58 > 0.05
        with pytest.raises(MedlibError, match=r"58 .* takes 59"):
            th.at_assured_sensitivity(truth, score)
        truth = (np.arange(100) >= 41).astype(int)
        assert shares(truth, score, th.at_assured_sensitivity(truth, score)) == (1, 1)
        with pytest.raises(MedlibError, match="within"):
            th.at_assured_sensitivity(truth, score, 1.0)

    def test_youden_and_costs_are_the_best_of_all_cuts(self):
        truth, score = many(200)
        cuts = np.append(np.unique(score), 2.0)
        index = [sum(shares(truth, score, c)) for c in cuts]
        assert sum(shares(truth, score, th.youden(truth, score))) == pytest.approx(max(index))

        def cost(cut: float) -> float:
            called = score >= cut
            return 7 * ((truth == 1) & ~called).sum() + 2 * ((truth == 0) & called).sum()

        assert cost(th.at_cost(truth, score, miss=7, alarm=2)) == min(map(cost, cuts))

    def test_dear_misses_lower_the_cut_and_a_rare_disease_raises_it(self):
        truth, score = many(400)
        cuts = [th.at_cost(truth, score, miss=m) for m in (0.2, 1, 5, 50)]
        assert cuts == sorted(cuts, reverse=True)
        assert cuts[0] > cuts[-1]
        assert th.at_cost(truth, score, miss=1, prevalence=0.01) > cuts[1]

    def test_bayes_threshold_is_the_best_cut_of_calibrated_scores(self):
        assert th.bayes_threshold(miss=4, alarm=1) == pytest.approx(0.2)
        generator = np.random.default_rng(1)
        p = generator.random(200_000)
        found = th.at_cost((generator.random(len(p)) < p).astype(int), p, miss=4)
        assert found == pytest.approx(0.2, abs=0.03)

    def test_cuts_lie_between_scores_so_that_rounding_moves_nobody(self):
        truth, score = many(300)
        rounded = np.array([float(f"{s + 1e-9:.6g}") for s in score])
        cut = th.youden(truth, score)
        assert ((score >= cut) == (rounded >= cut)).all()

    @pytest.mark.parametrize(
        ("truth", "score", "words"),
        [(np.ones(4), np.linspace(0, 1, 4), "one class"),
         (np.array([0, 1]), np.array([0.1, np.nan]), "NaN"),
         (np.array([0, 1]), np.zeros((2, 2)), "choose")],
    )  # fmt: skip
    def test_bad_input_is_named(self, truth, score, words):
        with pytest.raises(MedlibError, match=words):
            th.youden(truth, score)

    def test_bad_options_are_named(self):
        with pytest.raises(MedlibError, match="sensitivity lies"):
            th.at_sensitivity(TRUTH, SCORE, 95)
        with pytest.raises(MedlibError, match="costs"):
            th.at_cost(TRUTH, SCORE, miss=0)
        with pytest.raises(MedlibError, match="costs"):
            th.bayes_threshold(-1)


class TestChoose:
    def test_binary_multi_class_and_several_labels(self):
        assert th.choose(TRUTH, table(SCORE)) == pytest.approx([0.325])
        assert th.choose(TRUTH, table(SCORE), th.at_sensitivity, target=0.8) == pytest.approx(
            [0.45]
        )
        three = np.random.default_rng(0).dirichlet(np.ones(3), 60)
        labels = np.arange(60) % 3
        one = th.choose(labels, three, positive=2)
        assert one == pytest.approx([th.youden((labels == 2).astype(int), three[:, 2])])
        with pytest.raises(MedlibError, match="name the class"):
            th.choose(labels, three)
        several = np.stack([TRUTH, 1 - TRUTH], axis=1)
        both = th.choose(several, table(SCORE)[:, ::-1])
        assert both == pytest.approx([th.youden(TRUTH, SCORE), th.youden(1 - TRUTH, 1 - SCORE)])

    def test_points_of_several_labels(self):
        several = np.stack([TRUTH, 1 - TRUTH], axis=1)
        first, second = th.operating_points(several, table(SCORE)[:, ::-1], np.array([0.45, 0.95]))
        assert (first.true_positive, first.false_positive) == (4, 1)
        assert (second.true_positive, second.false_negative) == (0, 5)
        [alone] = th.operating_points(several, table(SCORE)[:, ::-1], 0.95, positive=1)
        assert alone == second
        with pytest.raises(MedlibError, match="one threshold, or 2"):
            th.operating_points(several, table(SCORE), np.zeros(3))


class TestOperatingPoint:
    point = OperatingPoint(0.5, true_positive=90, false_negative=10, false_positive=40,
                           true_negative=160)  # fmt: skip

    def test_shares_and_their_intervals(self):
        assert self.point.sensitivity == wilson(90, 100)
        assert self.point.specificity == wilson(160, 200)
        assert self.point.ppv == wilson(90, 130)
        assert self.point.npv == wilson(160, 170)
        assert self.point.prevalence == pytest.approx(1 / 3)

    def test_predictive_values_elsewhere_are_those_of_bayes(self):
        # of 1000 people 10 are ill: 9 found; 990 well: 198 false alarms, 792 cleared
        assert self.point.ppv_at(0.01).value == pytest.approx(9 / 207)
        assert self.point.npv_at(0.01).value == pytest.approx(792 / 793)
        assert self.point.ppv_at(1 / 3).value == pytest.approx(self.point.ppv.value)
        assert self.point.npv_at(1 / 3).value == pytest.approx(self.point.npv.value)

    def test_the_interval_is_that_of_the_likelihood_ratio(self):
        found = self.point.ppv_at(0.01)
        spread = math.sqrt(10 / (90 * 100) + 160 / (40 * 200))
        ratio = 0.9 / 0.2 * np.exp(np.array([-1, 1]) * 1.959964 * spread)
        odds = 0.01 / 0.99 * ratio
        assert [found.low, found.high] == pytest.approx(odds / (1 + odds), rel=1e-5)
        zero = replace(self.point, false_positive=0, true_negative=200).ppv_at(0.01)
        # one half more in every count: 90.5 of 101 found, 0.5 of 201 false alarms
        spread = math.sqrt(10.5 / (90.5 * 101) + 200.5 / (0.5 * 201))
        odds = 0.01 / 0.99 * (90.5 / 101) / (0.5 / 201) * math.exp(-1.959964 * spread)
        assert (zero.value, zero.high) == (1, 1)
        assert zero.low == pytest.approx(odds / (1 + odds), rel=1e-5)

    def test_the_interval_holds_its_level(self):
        generator, held = np.random.default_rng(0), 0
        truth = 0.8 * 0.05 / (0.8 * 0.05 + 0.3 * 0.95)
        for _ in range(600):
            a, c = generator.binomial(60, 0.8), generator.binomial(90, 0.3)
            held += truth in OperatingPoint(0.5, a, 60 - a, c, 90 - c).ppv_at(0.05)
        assert held / 600 == pytest.approx(0.95, abs=0.03)

    def test_without_a_call_nothing_is_known(self):
        empty = replace(self.point, true_positive=0, false_positive=0).ppv
        assert math.isnan(empty.value)
        assert (empty.low, empty.high) == (0, 1)
        with pytest.raises(MedlibError, match="prevalence"):
            self.point.ppv_at(5)


class TestCharacteristic:
    def test_value_is_that_of_the_point_and_the_interval_near_wilsons(self):
        truth, score = many(400)
        scores = made(truth, score)
        [point] = th.operating_points(truth, table(score), 0.4)
        for quantity in ("sensitivity", "specificity", "ppv", "npv"):
            found, exact = (
                th.operating_characteristic(scores, 0.4, quantity),
                getattr(point, quantity),
            )
            assert found.value == pytest.approx(exact.value)
            assert found.low == pytest.approx(exact.low, abs=0.02)
            assert found.high == pytest.approx(exact.high, abs=0.02)

    def test_patients_with_many_images_widen_it(self):
        truth, score = np.repeat(many(100), 6, axis=1)
        alone = th.operating_characteristic(made(truth, score), 0.4)
        grouped = made(truth, score, groups=np.repeat(np.arange(100), 6).astype(str))
        wide = th.operating_characteristic(grouped, 0.4)
        assert wide.high - wide.low > 1.8 * (alone.high - alone.low)

    def test_seeds_with_thresholds_of_their_own(self):
        truth, score = many(200)
        seeds = [made(truth, score), made(truth, np.clip(score / 2, 0, 1), seed=1)]
        found = th.operating_characteristic(seeds, [0.4, 0.2])
        assert found.value == pytest.approx(shares(truth, score, 0.4)[0])
        with pytest.raises(MedlibError, match="each of 2 seeds"):
            th.operating_characteristic(seeds, [0.4])

    def test_perfect_values_keep_an_interval(self):
        scores = made(np.repeat([0, 1], 30), np.repeat([0.1, 0.9], 30))
        for quantity in ("sensitivity", "ppv"):
            found = th.operating_characteristic(scores, 0.5, quantity)
            assert (found.value, found.high) == (1, 1)
            assert found.low == pytest.approx(wilson(30, 30).low)

    def test_nobody_called_is_an_error(self):
        scores = made(np.repeat([0, 1], 30), np.repeat([0.1, 0.9], 30))
        with pytest.raises(MedlibError, match="no case is called positive"):
            th.operating_characteristic(scores, 0.95, "ppv")

    def test_several_labels_are_averaged(self):
        labels = np.random.default_rng(0).integers(0, 2, (80, 2))
        p = np.random.default_rng(1).random((80, 2))
        scores = Scores("net", "toy", 0, "", labels, p, np.arange(80))
        for quantity in ("sensitivity", "npv"):
            points = th.operating_points(labels, p, np.array([0.3, 0.6]))
            mean = np.mean([getattr(point, quantity).value for point in points])
            found = th.operating_characteristic(scores, np.array([0.3, 0.6]), quantity)
            assert found.value == pytest.approx(mean)


class TestNetBenefit:
    def test_by_hand(self):
        # at 0.45: 4 of 10 found, 1 of 10 false alarms, weighted by the odds 0.45 / 0.55
        [found] = th.net_benefit(TRUTH, SCORE, [0.45])
        assert found == pytest.approx(4 / 10 - 1 / 10 * 0.45 / 0.55)

    def test_acting_on_all_crosses_zero_at_the_prevalence(self):
        curve = th.decision_curve(TRUTH, table(SCORE), np.array([0.2, 0.5, 0.8]))
        assert curve.everyone == pytest.approx([0.5 - 0.5 / 4, 0, 0.5 - 0.5 * 4])
        assert curve.prevalence == 0.5

    def test_for_another_prevalence(self):
        curve = th.decision_curve(TRUTH, table(SCORE), np.array([0.45]), prevalence=0.1)
        assert curve.model == pytest.approx([0.1 * 0.8 - 0.9 * 0.2 * 0.45 / 0.55])

    def test_a_perfect_model_is_worth_the_prevalence_and_useful(self):
        curve = th.decision_curve(TRUTH, table(TRUTH * 0.98 + 0.01), np.array([0.1, 0.5, 0.9]))
        assert curve.model == pytest.approx(0.5)
        assert curve.useful.all()

    def test_bad_thresholds_are_named(self):
        with pytest.raises(MedlibError, match="within"):
            th.net_benefit(TRUTH, SCORE, [1.0])

"""Figures draw the numbers they are given, refuse what may not be shown, and redraw alike."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from sklearn import metrics as sk

from medlib import evaluate, models, plots, run
from medlib.data import card, phantoms
from medlib.errors import MedlibError
from medlib.evaluate import Scores
from medlib.plots import curves, theme
from medlib.plots.decisions import confusion_counts
from medlib.plots.images import as_picture
from medlib.plots.shown import against_rest, estimate
from medlib.train import History


def scores(seed: int = 0, classes: int = 2, cases: int = 120, **changes: object) -> Scores:
    generator = np.random.default_rng(seed)
    labels = np.arange(cases) % classes
    logits = generator.normal(size=(cases, classes))
    logits[np.arange(cases), labels] += 1.2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    made = Scores("net", "breastmnist", seed, "", labels, p, np.arange(cases))
    return replace(made, **changes)


def history(seed: int, epochs: int = 8) -> History:
    generator = np.random.default_rng(seed)
    records = [
        {"epoch": e, "train_loss": 1 / (e + 1), "val_loss": 1 / (e + 1) + 0.1,
         "val_auc": 0.6 + 0.04 * e + 0.01 * generator.random(), "val_accuracy": 0.7,
         "learning_rate": 1e-3}
        for e in range(epochs)
    ]  # fmt: skip
    return History(records, best_epoch=int(generator.integers(2, epochs)), steps=10, seconds=1.0)


@pytest.fixture(scope="module")
def breast():
    return phantoms.phantom_like(card("breastmnist"))


def texts(figure: theme.Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text())


def luminance(colour: str) -> float:
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


# Machado, Oliveira and Fernandes (2009), full deuteranopia and protanopia, on linear RGB.
BLINDNESS = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
}  # fmt: skip


class TestTheme:
    @pytest.mark.parametrize("colour", [*theme.PALETTE, theme.INK, theme.MUTED])
    def test_every_colour_can_be_read_as_text_on_paper(self, colour):
        contrast = (luminance(theme.PAPER) + 0.05) / (luminance(colour) + 0.05)
        assert contrast >= 4.5

    @pytest.mark.parametrize("kind", BLINDNESS)
    def test_first_colours_stay_apart_for_colour_blind_eyes(self, kind):
        from skimage.color import rgb2lab

        rgb = np.array([mpl.colors.to_rgb(c) for c in theme.PALETTE[:4]])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
        srgb = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = rgb2lab(srgb[None])[0]
        apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
        assert min(apart) > 12

    def test_a_figure_redraws_to_the_same_bytes(self):
        first, second = (plots.confusion(scores(), ["a", "b"]) for _ in range(2))
        assert first.png() == second.png() == first.png()
        assert b"Software" not in first.png()

    def test_a_changed_figure_is_drawn_anew(self):
        figure = plots.confusion(scores(), ["a", "b"])
        before = figure.png()
        figure.axes[0].set_title("Another title")
        assert figure.png() != before

    def test_a_notebook_gets_a_picture_of_full_width(self):
        import io

        from PIL import Image

        bundle = plots.dot_interval([plots.Row("a", 0.5)], xlabel="AUC")._repr_mimebundle_()
        width, _ = Image.open(io.BytesIO(bundle["image/png"])).size
        assert width == theme.WIDTH * theme.DPI

    def test_figures_stay_out_of_pyplot(self):
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        plots.roc({"net": scores()}, interval=False)
        assert plt.get_fignums() == before

    def test_the_theme_reaches_pyplot_figures(self):
        with mpl.rc_context():
            plots.set_theme()
            assert mpl.rcParams["figure.figsize"] == [theme.WIDTH, 3.6]
            assert mpl.rcParams["axes.spines.top"] is False

    def test_the_settings_of_the_process_change_no_figure(self):
        before = plots.confusion(scores(), ["a", "b"]).png()
        with mpl.rc_context({"font.size": 20, "axes.titlelocation": "right", "axes.grid": False}):
            assert plots.confusion(scores(), ["a", "b"]).png() == before

    def test_labels_are_spread_in_order(self):
        placed = theme.spread({"a": 0.50, "b": 0.51, "c": 0.9}, 0.1)
        assert placed["b"] - placed["a"] >= 0.1 - 1e-6
        assert placed["a"] < 0.5 < placed["b"] < placed["c"]


class TestImages:
    def test_grey_pictures_share_one_scale_that_is_written(self):
        figure = plots.image_grid(np.zeros((3, 1, 8, 8), np.uint8), ["a", "b", "c"])
        limits = {image.get_clim() for axes in figure.axes[:3] for image in axes.images}
        assert limits == {(0.0, 255.0)}
        assert {"0", "255", "a", "b", "c"} <= set(texts(figure).split("\n"))

    def test_the_range_of_other_types_is_that_of_the_images(self):
        figure = plots.image_grid([np.full((4, 4), -1.5), np.full((4, 4), 2.0)], unit="HU")
        assert figure.axes[0].images[0].get_clim() == (-1.5, 2.0)
        assert "2 HU" in texts(figure)

    def test_colour_pictures_say_their_range(self):
        figure = plots.image_grid(np.zeros((2, 3, 8, 8), np.uint8))
        assert "RGB, 0 to 255" in texts(figure)

    @pytest.mark.parametrize(
        ("shape", "drawn"),
        [((5, 6), (5, 6)), ((1, 5, 6), (5, 6)), ((3, 5, 6), (5, 6, 3)), ((5, 6, 3), (5, 6, 3))],
    )
    def test_all_axis_orders_are_understood(self, shape, drawn):
        assert as_picture(np.zeros(shape)).shape == drawn

    def test_what_is_no_picture_is_refused(self):
        with pytest.raises(MedlibError, match="1 or 3 channels"):
            as_picture(np.zeros((2, 5, 6)))

    def test_examples_come_from_training_and_count_the_classes(self, breast):
        figure = plots.class_examples(breast, per_class=4)
        counts = np.bincount(breast.train.labels)
        for name, count in zip(breast.class_names, counts, strict=True):
            assert f"{name}\n{count} of {counts.sum()}" in texts(figure)
        assert "phantoms" in texts(figure)

    def test_unread_licences_keep_pictures_off_the_page(self, breast):
        kept = SimpleNamespace(
            synthetic=False, name="busi128", card=SimpleNamespace(publishable=False)
        )
        with pytest.raises(MedlibError, match="may not be shown"):
            plots.class_examples(kept)
        with pytest.raises(MedlibError, match="may not be shown"):
            plots.errors(scores(), kept)

    def test_errors_are_the_surest_ones_and_show_the_right_images(self, breast):
        index = breast.test.index
        given = scores(cases=len(index), index=index[::-1].copy())
        figure = plots.errors(given, breast, count=3)
        said, sure = given.probabilities.argmax(1), given.probabilities.max(1)
        wrong = np.flatnonzero(said != given.labels)
        worst = wrong[np.argsort(-sure[wrong])][0]
        picture = figure.axes[0].images[0].get_array()
        place = int(np.flatnonzero(index == given.index[worst])[0])
        assert np.array_equal(picture, breast.test.images[place, 0])
        assert f"with {sure[worst]:.0%}" in figure.axes[0].get_title()
        assert f"of {len(wrong)} mistakes" in texts(figure)

    def test_errors_refuse_scores_of_other_images(self, breast):
        other = scores(cases=20, index=np.arange(20) + 10**6)
        with pytest.raises(MedlibError, match="pass the data set"):
            plots.errors(other, breast)

    def test_errors_need_a_mistake(self, breast):
        right = scores(cases=4, probabilities=np.eye(2)[[0, 1, 0, 1]])
        with pytest.raises(MedlibError, match="no mistake"):
            plots.errors(right, breast)


class TestTraining:
    def test_seeds_are_thin_means_thick_and_selected_epochs_marked(self):
        runs = [history(0), history(1)]
        figure = plots.training_curves({"net": runs}, metrics=("auc",))
        lines = figure.axes[0].lines
        thick = [line for line in lines if line.get_linewidth() > 1 and len(line.get_xdata()) > 1]
        mean = np.mean([[e["val_auc"] for e in r.epochs] for r in runs], axis=0)
        assert np.allclose(thick[0].get_ydata(), mean)
        dots = {line.get_xdata()[0] for line in lines if line.get_marker() == "o"}
        assert dots == {r.best_epoch + 1 for r in runs}

    def test_training_is_dashed_and_validation_solid(self):
        figure = plots.training_curves({"net": history(0)})
        styles = [line.get_linestyle() for line in figure.axes[0].lines[:2]]
        assert styles == ["--", "-"]

    def test_epochs_without_validation_are_bridged(self):
        partly = history(0)
        del partly.epochs[3]["val_auc"]
        figure = plots.training_curves({"net": partly}, metrics=("auc",))
        assert len(figure.axes[0].lines[0].get_xdata()) == 7

    def test_learning_curves_draw_means_of_seeds(self):
        figure = plots.learning_curve({"a": {10: [0.5, 0.7], 100: [0.8]}})
        line = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"][0]
        assert np.allclose(line.get_ydata(), [0.6, 0.8])

    def test_the_chosen_parameter_is_marked(self):
        figure = plots.parameter_curve([1, 2, 3], {"val": [0.1, 0.3, 0.2]}, xlabel="d", chosen=2)
        assert "chosen: 2" in texts(figure)


class TestCurves:
    def test_roc_is_that_of_scikit_learn(self):
        given = scores()
        p = given.probabilities[:, 1]
        fpr, tpr, _ = sk.roc_curve(given.labels, p)
        ours = curves.roc_on_grid(given.labels, p, np.ones((1, 120)))[0]
        assert np.allclose(ours[1:], np.interp(curves.GRID[1:], fpr, tpr))

    def test_weights_count_cases_as_often(self):
        given = scores()
        p, generator = given.probabilities[:, 1], np.random.default_rng(0)
        rows = generator.integers(0, 120, 120)
        weights = np.bincount(rows, minlength=120)[None]
        one = np.ones((1, 120))
        for curve in (curves.roc_on_grid, curves.precision_on_grid):
            repeated = curve(given.labels[rows], p[rows], one)
            assert np.allclose(curve(given.labels, p, weights), repeated)

    def test_precision_steps_enclose_the_average_precision(self):
        given = scores()
        p = given.probabilities[:, 1]
        ours = curves.precision_on_grid(given.labels, p, np.ones((1, 120)))[0]
        average = sk.average_precision_score(given.labels, p)
        assert ours[1:].mean() == pytest.approx(average, abs=0.01)

    def test_curves_carry_the_metric_and_its_interval(self):
        many = [scores(0), scores(1)]
        figure = plots.roc({"net": many})
        interval = estimate(many, "auc")
        words = f"AUC {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
        assert words in texts(figure)
        assert interval.value == pytest.approx(np.mean([s.value("auc") for s in many]))

    def test_the_band_holds_the_curve(self):
        many = [scores(0), scores(1)]
        low, high = curves._band(many, curves.roc_on_grid, None)
        mean = curves._seed_curves(many, curves.roc_on_grid, None, np.ones((1, 120)))[:, 0].mean(0)
        assert np.mean((low - 1e-9 <= mean) & (mean <= high + 1e-9)) > 0.95
        assert (high - low).max() < 0.5

    def test_patients_widen_the_band(self):
        alone = scores(cases=120)
        patients = replace(alone, groups=np.repeat(np.arange(12), 10).astype(str))
        narrow, wide = (curves._band([s], curves.roc_on_grid, None) for s in (alone, patients))
        assert not np.allclose(narrow, wide)

    def test_one_class_can_be_drawn_against_the_rest(self):
        given = scores(classes=4)
        view = against_rest([given], 2)[0]
        auc = sk.roc_auc_score(given.labels == 2, given.probabilities[:, 2])
        assert estimate([view], "auc", 50).value == pytest.approx(auc)
        assert f"{auc:.3f}" in texts(plots.roc({"net": given}, positive=2, interval=False))

    def test_multi_label_scores_have_curves(self):
        truth = np.random.default_rng(0).integers(0, 2, (90, 3))
        p = np.clip(truth * 0.4 + np.random.default_rng(1).random((90, 3)) * 0.6, 0, 1)
        many = scores(cases=90, labels=truth, probabilities=p)
        assert "AUC 0." in texts(plots.roc({"net": many}, interval=False))

    def test_one_class_alone_has_no_curve(self):
        only = scores(labels=np.zeros(120, dtype=np.int64))
        with pytest.raises(MedlibError, match="one class"):
            plots.roc({"net": only}, interval=False)

    def test_precision_names_what_guessing_reaches(self):
        figure = plots.precision_recall({"net": scores()}, interval=False)
        assert "guessing: 0.50" in texts(figure)

    def test_no_scores_are_refused(self):
        with pytest.raises(MedlibError, match="no scores to show"):
            plots.roc({})


class TestPublishedRun:
    @pytest.fixture(autouse=True)
    def fast_run(self, monkeypatch, tmp_path):
        opened = run.Run("03-02-x", run.profile_named("fast"), (0,), "cpu", tmp_path)
        monkeypatch.setattr(run, "_active", opened)
        published = replace(scores(7), published=True)
        monkeypatch.setattr(evaluate, "shown", lambda given: [published for _ in given])

    @pytest.mark.parametrize(
        "draw",
        [
            lambda s: plots.roc({"net": s}, interval=False),
            lambda s: plots.precision_recall({"net": s}, interval=False),
            lambda s: plots.confusion(s, ["a", "b"]),
            lambda s: plots.reliability({"net": s}),
            lambda s: plots.score_histogram(s, ["a", "b"]),
        ],
        ids=["roc", "precision_recall", "confusion", "reliability", "score_histogram"],
    )
    def test_figures_draw_it_and_say_so(self, draw):
        assert "(published run)" in texts(draw(scores()))

    def test_the_numbers_are_the_published_ones(self):
        counts = confusion_counts(scores(7).labels, scores(7).probabilities)
        figure = plots.confusion(scores(), ["a", "b"])
        assert f"{counts[0, 0]}\n" in texts(figure)


class TestDecisions:
    def test_confusion_counts_and_row_shares(self):
        labels = np.array([0, 0, 0, 1])
        p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
        assert confusion_counts(labels, p).tolist() == [[2, 1], [0, 1]]
        figure = plots.confusion(scores(cases=4, labels=labels, probabilities=p), ["no", "yes"])
        assert {"2\n67%", "1\n33%", "0\n0%", "1\n100%"} <= {
            t.get_text() for t in figure.axes[0].texts
        }

    def test_seeds_are_summed_and_the_title_says_so(self):
        figure = plots.confusion([scores(0), scores(1)], ["a", "b"])
        assert "2 seeds summed" in figure.axes[0].get_title("left")

    def test_several_labels_have_no_confusion(self):
        with pytest.raises(MedlibError, match="one label a case"):
            confusion_counts(np.zeros((3, 2), int), np.zeros((3, 2)))

    def test_calibrated_scores_lie_on_the_diagonal(self):
        generator = np.random.default_rng(0)
        p = generator.random(20_000)
        labels = (generator.random(20_000) < p).astype(np.int64)
        given = scores(cases=20_000, labels=labels, probabilities=np.column_stack([1 - p, p]))
        figure = plots.reliability({"net": given})
        dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert len(dots) == 10
        for dot in dots:
            assert dot.get_ydata()[0] == pytest.approx(dot.get_xdata()[0], abs=0.04)

    def test_histograms_name_both_classes(self):
        words = texts(plots.score_histogram(scores(), ["benign", "malignant"]))
        assert {"benign", "malignant", "probability of malignant"} <= set(words.split("\n"))

    def test_rows_show_numbers_intervals_and_published_values(self):
        rows = [plots.Row("ours", 0.9, 0.85, 0.94, {"Yang et al.": 0.901}), plots.Row("b", 0.7)]
        words = texts(
            plots.dot_interval(rows, xlabel="AUC", reference=0.5, reference_label="floor")
        )
        for expected in ("0.900 (0.850 to 0.940)", "0.901 Yang et al.", "0.700", "floor", "ours"):
            assert expected in words


class TestPareto:
    POINTS = (
        plots.Point("cheap", 1, 0.6, 0.5, 0.7),
        plots.Point("beaten", 20, 0.55),
        plots.Point("as good but dearer", 100, 0.6),
        plots.Point("best", 1_000, 0.9, 0.8, 0.95),
    )

    def test_the_front_is_what_no_other_beats(self):
        assert [p.label for p in plots.pareto_front(self.POINTS)] == ["cheap", "best"]
        twins = [plots.Point("a", 1, 0.6), plots.Point("b", 1, 0.6)]
        assert plots.pareto_front(twins) == twins

    def test_every_dot_is_named_in_every_panel(self):
        figure = plots.pareto({"one": self.POINTS, "two": self.POINTS}, xlabel="cost", ylabel="AUC")
        for axes, name in zip(figure.axes, ("one", "two"), strict=True):
            assert axes.get_title(loc="left") == name
            words = {text.get_text(): text for text in axes.texts}
            assert set(words) == {p.label for p in self.POINTS}
            bold = {label for label, text in words.items() if text.get_weight() == "bold"}
            assert bold == {"cheap", "best"}

    def test_names_cover_neither_each_other_nor_leave_the_panel(self):
        rng = np.random.default_rng(0)
        crowd = [
            plots.Point(f"network {i}", 10 ** rng.uniform(5, 7), rng.uniform(0.8, 0.9))
            for i in range(14)
        ]
        figure = plots.pareto({"a": crowd}, xlabel="cost", ylabel="AUC")
        figure.png()
        (axes,) = figure.axes
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        frame = axes.get_window_extent()
        assert all(frame.x0 - 5 <= box.x0 and box.x1 <= frame.x1 + 5 for box in boxes)


class TestInside:
    @pytest.fixture
    def lenet(self):
        return models.create("lenet5", in_channels=1, num_classes=2, image_size=28)

    def test_filters_share_a_scale_around_zero(self, lenet):
        figure = plots.filters(lenet.features[0])
        low, high = figure.axes[0].images[0].get_clim()
        assert low == -high
        assert high == pytest.approx(lenet.features[0].weight.detach().abs().max().item())

    def test_what_is_no_kernel_is_refused(self):
        with pytest.raises(MedlibError, match="pass a convolution"):
            plots.filters(np.zeros((3, 3)))

    def test_feature_maps_are_the_layer_s_output(self, lenet):
        image = np.random.default_rng(0).integers(0, 255, (1, 28, 28), dtype=np.uint8)
        figure = plots.feature_maps(lenet, image, "features.0")
        drawn = [axes.images[0].get_array() for axes in figure.axes[1:7]]
        assert [d.shape for d in drawn] == [(28, 28)] * 6
        assert not lenet.features[0]._forward_hooks
        assert not np.array_equal(drawn[0], drawn[1])

    def test_unknown_layers_are_named(self, lenet):
        with pytest.raises(MedlibError, match="no layer 'conv9'"):
            plots.feature_maps(lenet, np.zeros((1, 28, 28), np.uint8), "conv9")

    def test_layers_without_maps_are_refused(self, lenet):
        with pytest.raises(MedlibError, match="choose a convolution's"):
            plots.feature_maps(lenet, np.zeros((1, 28, 28), np.uint8), "classifier.1")

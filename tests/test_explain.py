"""Maps equal what can be computed by hand, scores what can be counted, and the checks tell."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

from medlib import explain as ex
from medlib import models, plots
from medlib.data import phantoms
from medlib.errors import MedlibError
from medlib.explain import METHODS, ExplainError, explain, last_convolution
from medlib.explain.attention import attention_of
from medlib.explain.sanity import layer_groups
from medlib.explain.target import inputs_of, score_of
from medlib.plots.heatmaps import POSITIVE, SIGNED
from medlib.train import Recipe, fit, normalise, predict_proba
from tests.models.zoo import build

BINARY = {"task": "binary"}


def pictures(count: int = 3, channels: int = 1, size: int = 28, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, channels, size, size), dtype=np.uint8)


class Linear(nn.Module):
    """Logits are weighted sums of the pixels."""

    def __init__(self, channels: int = 1, size: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(channels * size * size, 2)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Tiny(nn.Module):
    """Convolution, ReLU in place, global average, linear: small enough for a hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(3, 2)
        self.fc.weight.data = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 2.0, 0.7]])

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean(dim=(2, 3)))


class Patch(nn.Module):
    """Looks at one square, rows 8 to 11 and columns 16 to 19, and at nothing else."""

    def forward(self, x):
        bright = x[:, :, 8:12, 16:20].mean(dim=(1, 2, 3))
        return torch.stack([-bright, bright], dim=1)


class TestWhatIsExplained:
    def test_inputs_are_those_of_training(self):
        images = pictures()
        expected = normalise(torch.from_numpy(images).float() / 255)
        assert torch.equal(inputs_of(images, "cpu").detach(), expected)

    @pytest.mark.parametrize("classes", [2, 4])
    def test_log_odds_are_those_of_the_probability(self, classes):
        logits = torch.randn(5, classes, generator=torch.Generator().manual_seed(0)).double()
        p = logits.softmax(dim=1)
        odds = score_of(nn.Identity(), "multi-class", "log_odds")(logits)
        assert torch.allclose(odds, torch.log(p / (1 - p)))
        if classes == 2:
            assert torch.allclose(odds[:, 1], logits[:, 1] - logits[:, 0])

    def test_probabilities_follow_the_task(self):
        logits = torch.tensor([[0.5, -1.0]])
        several = score_of(nn.Identity(), "multi-label", "probability")(logits)
        assert torch.equal(several, logits.sigmoid())
        assert torch.equal(score_of(nn.Identity(), "multi-label", "log_odds")(logits), logits)
        single = score_of(nn.Identity(), "binary", "probability")(logits)
        assert torch.equal(single, logits.softmax(dim=1))

    def test_the_target_may_be_one_or_one_each_or_the_answer(self):
        images, model = pictures(4, size=6), Linear()
        options = {"method": "saliency", **BINARY}
        zero, one = (explain(model, images, target=k, **options) for k in (0, 1))
        mixed = explain(model, images, target=np.array([0, 1, 1, 0]), **options)
        assert np.array_equal(mixed, np.stack([zero[0], one[1], one[2], zero[3]]))
        said = predict_proba(model, images, **BINARY).argmax(axis=1)
        own = explain(model, images, **options)
        assert np.array_equal(own, np.where(said[:, None, None] == 0, zero, one))

    @pytest.mark.parametrize("method", sorted(set(METHODS) - {"attention_rollout"}))
    def test_maps_are_alike_in_any_batch_and_leave_the_network_as_it_was(self, method):
        model = build("resnet_small").train()
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        images = pictures(5)
        maps = explain(model, images, method=method, target=1, **BINARY)
        parts = explain(model, images, method=method, target=1, batch_size=2, **BINARY)
        assert maps.shape == (5, 28, 28)
        assert maps.dtype == np.float32
        assert np.abs(maps - parts).max() <= 1e-4 * np.abs(maps).max()
        assert METHODS[method].signed or maps.min() >= 0
        assert model.training
        assert all(p.grad is None for p in model.parameters())
        assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    def test_guided_backprop_lets_only_positive_gradients_through_each_relu(self):
        model, images = Tiny(), pictures(2)
        maps = explain(model, images, method="guided_backprop", target=0, **BINARY)
        inputs = inputs_of(images, "cpu").detach()
        opened = (model.conv(inputs) > 0).float()
        back = opened * model.fc.weight[0].clamp(min=0)[:, None, None] / opened[0, 0].numel()
        expected = nn.functional.conv_transpose2d(
            back, model.conv.weight, stride=2, padding=1, output_padding=1
        )
        assert np.allclose(maps, expected.abs()[:, 0].detach().numpy(), atol=1e-6)
        assert model.relu.inplace
        assert not model.relu._backward_hooks
        with pytest.raises(ExplainError, match=r"how nn.ReLU runs backwards: there is none"):
            explain(Patch(), images, method="guided_backprop", **BINARY)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"method": "guess"}, "unknown method 'guess': choose one of saliency"),
            ({"windw": 3, "method": "occlusion"}, "no option windw: it takes window, stride, ba"),
            ({"layer": "fc"}, "saliency reads no layer"),
            ({"method": "grad_cam", "layer": "conv9"}, "no layer 'conv9' in the network"),
            ({"method": "attention_rollout"}, "has no attention: use another method"),
            ({"target": 2}, "whole numbers from 0 to 1"),
            ({"target": 0.5}, "whole numbers from 0 to 1"),
            ({"output": "odds"}, "choose one of logit, log_odds, probability"),
            ({"method": "occlusion", "window": 99}, "window <= 28"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changes, message):
        options = {"method": "saliency", **BINARY, **changes}
        with pytest.raises(ExplainError, match=message):
            explain(Tiny(), pictures(), **options)

    def test_other_arrays_are_refused(self):
        with pytest.raises(ExplainError, match="uint8 of shape"):
            explain(Tiny(), pictures() / 255, method="saliency", **BINARY)
        with pytest.raises(ExplainError, match="no images"):
            explain(Tiny(), pictures()[:0], method="saliency", **BINARY)
        with pytest.raises(ExplainError, match="not those that name every pixel"):
            explain(build("unet"), pictures(), method="saliency", **BINARY)


class TestGradients:
    def test_saliency_of_a_linear_network_is_its_weights(self):
        model = Linear(channels=3)
        weights = model.fc.weight.detach().numpy()[1].reshape(3, 6, 6)
        maps = explain(model, pictures(2, 3, 6), method="saliency", target=1, **BINARY)
        assert np.allclose(maps, np.abs(weights).max(axis=0))

    def test_noise_changes_nothing_where_the_gradient_is_the_same_everywhere(self):
        model, images = Linear(), pictures(2, 1, 6)
        plain = explain(model, images, method="saliency", target=0, **BINARY)
        smooth = explain(model, images, method="smooth_grad", target=0, samples=4, **BINARY)
        assert np.allclose(plain, smooth, atol=1e-6)

    def test_smooth_grad_is_the_mean_gradient_of_noisy_copies(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 2))
        image = pictures(1, 1, 6)
        smooth = explain(
            model, image, method="smooth_grad", target=1, samples=4000, noise=0.2, **BINARY
        )
        x = inputs_of(image, "cpu").detach()
        spread = 0.2 * (x.max() - x.min())
        noisy = (x + spread * torch.randn(4000, 1, 6, 6)).requires_grad_()
        model(noisy)[:, 1].sum().backward()
        assert np.allclose(smooth[0], noisy.grad.mean(dim=0)[0].abs(), atol=0.01)

    def test_the_seed_decides_the_noise(self):
        options = {"method": "smooth_grad", "samples": 4, "target": 1, **BINARY}
        model, images = build("lenet5"), pictures(2)
        state = torch.get_rng_state()
        first = explain(model, images, **options)
        assert np.array_equal(first, explain(model, images, **options))
        assert not np.array_equal(first, explain(model, images, seed=1, **options))
        assert torch.equal(state, torch.get_rng_state())

    @pytest.mark.parametrize("name", ["lenet5", "resnet18", "densenet_small"])
    @pytest.mark.parametrize("output", ["logit", "log_odds"])
    def test_integrated_gradients_are_complete(self, name, output):
        """To 1 % of the difference (plus 0.001): what 256 steps leave on kinked functions."""
        model, images = build(name), pictures()
        options = {**BINARY, "target": 1, "output": output}
        maps = explain(model, images, method="integrated_gradients", steps=256, **options)
        gap = ex.completeness_gap(model, images, maps, **options)
        difference = maps.sum(axis=(1, 2)) - gap
        assert np.all(np.abs(gap) <= 0.001 + 0.01 * np.abs(difference))
        assert np.abs(difference).min() > 0

    def test_the_baseline_of_integrated_gradients_is_an_intensity(self):
        model = Linear()
        images = np.full((1, 1, 6, 6), 255, np.uint8)
        options = {**BINARY, "method": "integrated_gradients", "target": 1}
        weights = model.fc.weight.detach().numpy()[1].reshape(6, 6)
        assert np.allclose(explain(model, images, **options)[0], 2 * weights, atol=1e-5)
        assert np.allclose(explain(model, images, baseline=1.0, **options)[0], 0)
        half = explain(model, images, baseline=0.5, **options)
        assert np.allclose(half[0], weights, atol=1e-5)


class TestOcclusion:
    @pytest.mark.parametrize("target", [0, 1])
    def test_it_finds_the_patch_that_the_network_looks_at(self, target):
        images = np.full((2, 1, 28, 28), 255, np.uint8)
        maps = explain(Patch(), images, method="occlusion", target=target, window=4, **BINARY)
        sign = 2 * target - 1
        assert (sign * maps).min() >= -1e-6
        seen = np.zeros((28, 28), bool)
        seen[8:12, 16:20] = True
        assert sign * maps[0][seen].mean() > 5 * np.abs(maps[0][~seen]).mean()
        assert np.array_equal(np.abs(maps[0]) > 1e-6, np.abs(maps[1]) > 1e-6)
        assert not np.abs(maps[0][:4]).any()

    def test_squares_side_by_side_are_as_by_hand(self):
        model, image = Linear(channels=3), pictures(1, 3, 6)
        maps = explain(
            model, image, method="occlusion", target=1, window=2, stride=2, baseline=0.0, **BINARY
        )
        before = score_of(model, "binary", "logit")(inputs_of(image, "cpu"))[0, 1].item()
        hidden = image.copy()
        hidden[:, :, 2:4, 4:6] = 0
        after = score_of(model, "binary", "logit")(inputs_of(hidden, "cpu"))[0, 1].item()
        assert np.allclose(maps[0, 2:4, 4:6], before - after, atol=1e-5)


CONVOLUTIONAL = sorted(
    name for name in models.MODELS if name not in models.SEGMENTERS and "vit" not in name
)


class TestClassActivation:
    def test_grad_cam_by_hand(self):
        model, images = Tiny().eval(), pictures(2, 1, 8)
        with torch.no_grad():
            maps = model.relu(model.conv(inputs_of(images, "cpu")))  # (2, 3, 4, 4)
        weights = model.fc.weight[1].detach() / 16  # what each place adds to the logit
        by_hand = torch.relu((weights[:, None, None] * maps).sum(dim=1))
        enlarged = nn.functional.interpolate(by_hand[:, None], size=8, mode="bilinear")[:, 0]
        found = explain(model, images, method="grad_cam", target=1, **BINARY)
        assert by_hand.max() > 0
        assert np.allclose(found, enlarged, atol=1e-6)

    def test_a_layer_that_is_changed_in_place_is_read_as_it_was(self):
        """Grad-CAM of a convolution whose output an in-place ReLU overwrites."""
        model, images = Tiny().eval(), pictures(2, 1, 8)
        found = explain(model, images, method="grad_cam", layer="conv", target=0, **BINARY)
        before = model.conv(inputs_of(images, "cpu"))
        slope = model.fc.weight[0][None, :, None, None] * (before > 0) / 16
        weights = slope.mean(dim=(2, 3), keepdim=True)
        by_hand = torch.relu((weights * before).sum(dim=1, keepdim=True))
        enlarged = nn.functional.interpolate(by_hand, size=8, mode="bilinear")[:, 0]
        assert np.allclose(found, enlarged.detach(), atol=1e-6)

    @pytest.mark.parametrize(
        "name", ["resnet18", "resnet50", "resnet_small", "googlenet", "inception_v3"]
        + ["densenet121", "densenet_small"],
    )  # fmt: skip
    def test_after_global_pooling_it_equals_grad_cam_up_to_scale(self, name):
        model, images = build(name), pictures(2)
        for target in (0, 1):
            cam = explain(model, images, method="cam", target=target, **BINARY)
            grad = explain(model, images, method="grad_cam", target=target, **BINARY)
            places, positive = coarse_positive(model, images, target)
            assert places > 1
            assert np.abs(cam).max() > 0
            assert np.allclose(places * grad, positive, atol=1e-4 * np.abs(cam).max())

    def test_cam_is_signed_evidence_whose_mean_is_the_logit(self):
        model, images = Tiny().eval(), pictures(2, 1, 8)
        cam = explain(model, images, method="cam", target=1, **BINARY)
        logit = model(inputs_of(images, "cpu"))[:, 1] - model.fc.bias[1]
        assert np.allclose(cam.mean(axis=(1, 2)), logit.detach(), atol=1e-5)

    def test_cam_refuses_networks_without_that_head(self):
        for name in ("vgg11_bn", "lenet5", "alexnet"):
            with pytest.raises(ExplainError, match="does not end in global average pooling"):
                explain(build(name), pictures(), method="cam", **BINARY)
        with pytest.raises(ExplainError, match="output='logit' only"):
            explain(Tiny(), pictures(), method="cam", output="log_odds", **BINARY)

    @pytest.mark.parametrize("name", CONVOLUTIONAL)
    def test_every_convolutional_network_has_a_last_layer(self, name):
        model = build(name)
        layer = last_convolution(model, 28)
        calls = ex.layers.watch(model, torch.zeros(1, 1, 28, 28))
        named = [call for call in calls if call.name == layer]
        assert len(named) == 1
        assert named[0].is_map
        images = pictures(2)
        maps = explain(model, images, method="grad_cam", target=0, **BINARY)
        maps += explain(model, images, method="grad_cam", target=1, **BINARY)
        assert maps.shape == (2, 28, 28)
        assert np.isfinite(maps).all()

    @pytest.mark.parametrize(
        ("name", "size", "layer"),
        [
            ("lenet5", 28, "features.5"),
            ("vgg11_bn", 28, "features.26"),
            ("vgg16", 224, "features.29"),  # relu5_3, which the paper takes
            ("alexnet", 28, "features.10"),
            ("googlenet", 28, "inception5b"),
            ("inception_v3", 28, "Mixed_7c"),
            ("resnet18", 28, "layer4"),
            ("resnet50", 224, "layer4"),
            ("densenet121", 28, "relu"),
        ],
    )
    def test_last_layers_by_name(self, name, size, layer):
        assert last_convolution(build(name, image_size=size), size) == layer

    def test_networks_without_a_last_convolution_say_what_to_do(self):
        with pytest.raises(ExplainError, match="attention_rollout"):
            last_convolution(build("vit_tiny"), 28)
        with pytest.raises(ExplainError, match="names every pixel"):
            last_convolution(build("fcn8s"), 28)
        with pytest.raises(ExplainError, match="no convolution"):
            last_convolution(Linear(), 6)


def coarse_positive(model: nn.Module, images: np.ndarray, target: int) -> tuple[int, np.ndarray]:
    """Return the class activation map as Grad-CAM shows it: positive part first, then enlarged."""
    kept: list[torch.Tensor] = []
    layer = dict(model.named_modules())[last_convolution(model, 28)]
    handle = layer.register_forward_hook(lambda *call: kept.append(call[2].detach().clone()))
    predict_proba(model, images, task="binary")
    handle.remove()
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    cam = torch.einsum("c,nchw->nhw", head.weight[target].detach(), kept[0]).relu()[:, None]
    positive = nn.functional.interpolate(cam, size=images.shape[2:], mode="bilinear")[:, 0]
    return kept[0][0, 0].numel(), positive.numpy()


class TestAttention:
    def test_rollout_by_hand(self):
        model, images = build("vit_tiny"), pictures(2)
        first, second = attention_of(model.eval(), inputs_of(images, "cpu"))
        assert first.shape == (2, 50, 50)
        assert torch.allclose(first.sum(dim=2), torch.ones(2, 50))
        eye = torch.eye(50)
        mixed = (0.5 * second + 0.5 * eye) @ (0.5 * first + 0.5 * eye)
        by_hand = mixed[:, 0, 1:].reshape(2, 1, 7, 7)
        maps = explain(model, images, method="attention_rollout", **BINARY)
        enlarged = nn.functional.interpolate(by_hand, size=28, mode="bilinear")[:, 0]
        assert np.allclose(maps, enlarged, atol=1e-6)
        assert maps.min() > 0

    def test_asking_for_attention_does_not_change_the_answer(self):
        model, images = build("vit_tiny").eval(), pictures(2)
        before = predict_proba(model, images, **BINARY)
        explain(model, images, method="attention_rollout", **BINARY)
        assert np.array_equal(before, predict_proba(model, images, **BINARY))

    def test_gradients_work_on_transformers_too(self):
        maps = explain(build("vit_tiny"), pictures(2), method="saliency", target=0, **BINARY)
        assert maps.max() > 0


def square(size: int = 10) -> np.ndarray:
    """A lesion of 2 x 2 pixels at rows 4, 5 and columns 4, 5."""
    mask = np.zeros((1, size, size), bool)
    mask[0, 4:6, 4:6] = True
    return mask


class TestScores:
    def test_pointing_game_by_hand(self):
        mask = np.repeat(square(), 3, axis=0)
        maps = np.zeros((3, 10, 10))
        maps[0, 4, 5] = 1  # in the lesion
        maps[1, 4, 8] = 1  # three pixels beside it
        maps[2, 7, 7] = 1  # two down and two right of its corner: 2.83 pixels away
        maps[2, 4, 4] = -5
        assert ex.pointing_game(maps, mask).tolist() == [1, 0, 0]
        assert ex.pointing_game(maps, mask, tolerance=2.9).tolist() == [1, 0, 1]
        assert ex.pointing_game(maps, mask, tolerance=3).tolist() == [1, 1, 1]

    def test_a_uniform_map_scores_what_chance_scores(self):
        mask, even = square(), np.ones((1, 10, 10))
        assert ex.pointing_game(even, mask) == pytest.approx(0.04)
        assert ex.energy_inside(even, mask) == pytest.approx(0.04)
        assert ex.energy_inside(0 * even, mask) == pytest.approx(0.04)
        # 10 of 100 pixels at random hit 0.4 of the 4; the union is 13.6
        assert ex.top_iou(even, mask, percent=10) == pytest.approx(0.4 / 13.6)

    def test_energy_counts_the_positive_values(self):
        mask, maps = square(), np.zeros((1, 10, 10))
        maps[0, 4, 4], maps[0, 0, 0], maps[0, 9, 9] = 3, 1, -8
        assert ex.energy_inside(maps, mask) == pytest.approx(0.75)

    def test_overlap_by_hand(self):
        mask, maps = square(), np.zeros((1, 10, 10))
        maps[0, 4, 4:8] = [9, 8, 7, 6]
        assert ex.top_iou(maps, mask, percent=4) == pytest.approx(2 / 6)
        assert ex.top_iou(maps, mask, percent=None) == pytest.approx(2 / 6)
        assert ex.top_iou(mask.astype(float), mask, percent=None) == pytest.approx(1)

    def test_a_table_holds_maps_and_baselines(self):
        images = pictures(2, size=10)
        masks = np.repeat(square(), 2, axis=0)
        table = ex.localisation({"truth": masks.astype(float)}, images, masks, percent=4)
        assert list(table.index) == ["truth", "uniform", "centre prior", "edges"]
        assert table.loc["truth", ["pointing", "energy", "iou"]].tolist() == [1, 1, 1]
        assert table.loc["uniform", "energy"] == pytest.approx(0.04)
        assert table.loc["centre prior", "pointing"] == 1
        assert table["baseline"].tolist() == [False, True, True, True]

    def test_baselines_know_only_the_image(self):
        images = np.zeros((1, 1, 9, 9), np.uint8)
        images[..., 5:] = 255
        strength = ex.edges(images)[0]
        assert set(np.flatnonzero(strength[4])) == {4, 5}
        bump = ex.centre_prior(images)[0]
        assert np.unravel_index(bump.argmax(), bump.shape) == (4, 4)
        assert np.allclose(bump, bump.T)

    @pytest.mark.parametrize(
        ("maps", "masks", "message"),
        [
            (np.ones((1, 9, 9)), square(), "bool of the same shape"),
            (np.ones((1, 10, 10)), square().astype(int), "masks int64"),
            (np.ones((1, 10, 10)), square() & False, "1 of 1 masks mark nothing"),
            (np.full((1, 10, 10), np.nan), square(), "not finite"),
        ],
    )
    def test_what_cannot_be_scored_is_refused(self, maps, masks, message):
        for score in (ex.pointing_game, ex.energy_inside, ex.top_iou):
            with pytest.raises(ExplainError, match=message):
                score(maps, masks)


class TestPerturbation:
    def truth(self):
        images = np.full((2, 1, 28, 28), 255, np.uint8)
        maps = np.zeros((2, 28, 28))
        maps[:, 8:12, 16:20] = 1
        return images, maps

    def test_deleting_what_matters_first_is_the_steepest_fall(self):
        images, maps = self.truth()
        options = {"kind": "deletion", "target": 1, "steps": 49, **BINARY}
        good = ex.perturbation_curve(Patch(), images, maps, **options)
        bad = ex.perturbation_curve(Patch(), images, -maps, **options)
        blind = ex.perturbation_curve(Patch(), images, ex.uniform(images), **options)
        full = 1 / (1 + np.exp(-2))
        assert np.allclose(good.probability[:, 0], full)
        assert np.allclose(good.probability[:, 1:], 0.5, atol=0.01)  # 16 of 784 pixels: one step
        assert np.allclose(bad.probability[:, :-1], full)
        assert np.all(good.auc < blind.auc)
        assert np.all(blind.auc < bad.auc)
        assert good.auc[0] == pytest.approx(0.5 + (full - 0.5) / 98, abs=0.01)

    def test_inserting_what_matters_first_is_the_steepest_rise(self):
        images, maps = self.truth()
        images[:, :, :8], images[:, :, 12:] = 0, 0
        options = {"kind": "insertion", "target": 1, "steps": 49, "blur": 6.0, **BINARY}
        good = ex.perturbation_curve(Patch(), images, maps, **options)
        bad = ex.perturbation_curve(Patch(), images, -maps, **options)
        assert good.probability[0, 1] == pytest.approx(1 / (1 + np.exp(-2)))
        assert np.all(good.auc > bad.auc)

    def test_it_refuses_what_does_not_fit(self):
        images, maps = self.truth()
        with pytest.raises(ExplainError, match="'deletion' or 'insertion'"):
            ex.perturbation_curve(Patch(), images, maps, kind="remove", **BINARY)
        with pytest.raises(ExplainError, match=r"maps of .* are \(N, H, W\)"):
            ex.perturbation_curve(Patch(), images, maps[:1], kind="deletion", **BINARY)


class TestSanity:
    def test_equal_maps_are_alike_and_unrelated_ones_are_not(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 3, 28, 28))
        same, other, opposite = (ex.similarity(a, x) for x in (a, b, -a))
        for values in (same.spearman, same.spearman_absolute, same.ssim):
            assert np.allclose(values, 1)
        assert np.abs(other.spearman).max() < 0.2
        assert other.ssim.max() < 0.3
        assert np.allclose(opposite.spearman, -1)
        assert np.allclose(opposite.spearman_absolute, 1)
        flat = ex.similarity(np.zeros((1, 9, 9)), a[:1, :9, :9])
        assert flat.spearman == 0

    def test_layers_are_listed_from_the_output_with_their_norms(self):
        groups = layer_groups(build("resnet_small"))
        names = list(groups)
        assert names[0] == "fc"
        assert names[-1] == "conv1"
        assert groups["conv1"] == ["conv1", "bn1"]
        model = build("resnet_small")
        own = {n for n, m in model.named_modules() if list(m.parameters(recurse=False))}
        assert {name for group in groups.values() for name in group} == own

    @pytest.mark.parametrize("name", ["vit_tiny", "resnet_small"])
    def test_one_layer_alone_changes_only_its_own_numbers(self, name):
        """Also where a layer holds numbers and other layers, as an encoder with its positions."""
        model = build(name)
        seen = []

        def look(network, images):
            now = dict(network.named_parameters())
            changed = [k for k, v in model.named_parameters() if not torch.equal(v, now[k])]
            seen.append({key.rpartition(".")[0] for key in changed})
            return ex.edges(images)

        options = {"method": look, "mode": "independent", **BINARY}
        checked = ex.randomisation(model, pictures(1), **options)
        groups = layer_groups(model)
        assert seen[0] == set()
        assert all(s <= set(groups[n]) for s, n in zip(seen[1:], checked.layers, strict=True))
        assert "encoder" not in groups or {"encoder"} in seen

    @pytest.mark.parametrize("mode", ["cascading", "independent"])
    def test_an_edge_detector_is_flagged_as_invariant(self, mode):
        checked = ex.randomisation(
            build("lenet5"), pictures(), method=lambda _, x: ex.edges(x), mode=mode, **BINARY
        )
        assert checked.invariant()
        frame = checked.frame()
        assert list(frame.index) == list(layer_groups(build("lenet5")))
        assert np.allclose(frame, 1)

    def test_maps_of_gradients_change(self, trained):
        model, images, _ = trained
        for method in ("saliency", "integrated_gradients", "occlusion"):
            layers = ["fc", "layer3", "layer2", "layer1", "bn1", "conv1"]
            options = {"method": method, "layers": layers, **BINARY}
            checked = ex.randomisation(model, images[:6], **options)
            assert not checked.invariant()
            assert checked.maps.shape == (7, 6, 28, 28)

    def test_the_network_is_left_alone_and_the_seed_decides(self, trained):
        model, images, _ = trained
        before = {k: v.clone() for k, v in model.state_dict().items()}
        options = {"method": "saliency", "layers": ["fc", "layer3"], **BINARY}
        first, again, other = (
            ex.randomisation(model, images[:2], seed=seed, **options) for seed in (0, 0, 1)
        )
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert np.array_equal(first.maps, again.maps)
        assert np.array_equal(first.maps[0], other.maps[0])
        assert not np.array_equal(first.maps[1], other.maps[1])
        assert first.layers == ("fc", "layer3")

    def test_one_layer_at_a_time_starts_from_the_trained_network(self, trained):
        model, images, _ = trained
        options = {"method": "saliency", "layers": ["fc", "conv1"], **BINARY}
        alone = ex.randomisation(model, images[:2], mode="independent", **options)
        both = ex.randomisation(model, images[:2], **options)
        assert np.array_equal(alone.maps[1], both.maps[1])
        assert not np.array_equal(alone.maps[2], both.maps[2])

    def test_shuffled_labels_keep_the_counts_and_the_test_split(self):
        data = phantoms.as_dataset(phantoms.Phantom(64), val=32, test=16)
        shuffled = ex.shuffled_labels(data)
        assert np.array_equal(np.bincount(shuffled.train.labels), np.bincount(data.train.labels))
        assert not np.array_equal(shuffled.train.labels, data.train.labels)
        assert shuffled.train.images is data.train.images
        assert shuffled.test is data.test

    def test_an_unknown_mode_is_refused(self):
        with pytest.raises(ExplainError, match="'cascading' or 'independent'"):
            ex.randomisation(Tiny(), pictures(), method="saliency", mode="all", **BINARY)


@pytest.fixture(scope="module")
def trained():
    """A small network that tells phantoms with a lesion from those without, and their lesions."""
    phantom = phantoms.Phantom(256, overlap=0.5, empty_class=0)
    data = phantoms.as_dataset(phantom, val=64, test=8)
    torch.manual_seed(0)
    model = models.create(
        "resnet_small", in_channels=1, num_classes=2, image_size=28, width=8, stem="half"
    )
    fit(model, data, Recipe(batch_size=32, learning_rate=2e-3, max_steps=64, select="last"))
    ill = data.val.labels == 1
    said = predict_proba(model, data.val.images, **BINARY)
    assert (said.argmax(axis=1) == data.val.labels).mean() > 0.85
    return model, data.val.images[ill], data.val.masks[ill]


class TestEndToEnd:
    """On phantoms the lesion is known: a network that learned to see it must point at it."""

    @pytest.mark.parametrize("method", ["smooth_grad", "grad_cam", "cam", "occlusion"])
    def test_maps_find_the_lesion_better_than_chance(self, trained, method):
        model, images, masks = trained
        maps = explain(model, images, method=method, target=1, **BINARY)
        table = ex.localisation({method: maps}, images, masks, tolerance=1)
        scores, chance = table.loc[method], table.loc["uniform"]
        assert scores["pointing"] > 0.6
        assert scores["energy"] > 1.5 * chance["energy"]
        assert scores["iou"] > 2 * chance["iou"]

    def test_a_good_map_deletes_the_answer_sooner_than_chance(self, trained):
        model, images, _ = trained
        maps = explain(model, images, method="occlusion", target=1, **BINARY)
        options = {"task": "binary", "target": 1, "steps": 14}
        for kind, sign in (("deletion", -1), ("insertion", 1)):
            good, blind = (
                ex.perturbation_curve(model, images, m, kind=kind, **options).auc.mean()
                for m in (maps, ex.uniform(images))
            )
            assert sign * (good - blind) > 0


class TestHeatmaps:
    @pytest.fixture
    def data(self):
        return phantoms.as_dataset(phantoms.Phantom(4, empty_class=0), val=4, test=2)

    def test_signed_maps_share_a_scale_around_zero(self, data):
        maps = np.zeros((2, 28, 28))
        maps[0, 3, 3], maps[1, 5, 5] = -4, 2
        figure = plots.heatmaps(data.train.images[:2], maps, dataset=data, shared=True)
        drawn = [cell.images for cell in figure.axes[:6]]
        assert [len(images) for images in drawn] == [1, 1, 1, 1, 2, 2]  # picture, map, overlay
        assert all(images[-1].get_clim() == (-4, 4) for images in drawn[2:])
        assert np.array_equal(drawn[2][0].get_array(), maps[0])
        assert drawn[4][1].get_alpha()[3, 3] == drawn[4][1].get_alpha().max()
        assert drawn[4][1].get_alpha()[0, 0] == 0

    def test_each_map_goes_to_its_own_largest_value(self, data):
        maps = np.stack([np.full((28, 28), 3.0), np.full((28, 28), 5.0)])
        figure = plots.heatmaps(data.train.images[:2], maps, dataset=data)
        assert [cell.images[0].get_clim() for cell in figure.axes[2:4]] == [(0, 3), (0, 5)]

    def test_methods_have_a_row_each_and_lesions_an_outline(self, data):
        maps = {"grad_cam": np.ones((2, 28, 28)), "occlusion": -np.ones((2, 28, 28))}
        masks = np.zeros((2, 28, 28), bool)
        masks[0, 5:9, 5:9] = True
        figure = plots.heatmaps(
            data.train.images[:2], maps, dataset=data, masks=masks, titles=["one", "two"], title="T"
        )
        words = [t.get_text() for t in figure.findobj(mpl.text.Text)]
        for expected in ("image", "grad cam", "occlusion", "one", "against", "most", "T"):
            assert expected in words
        outlined = [bool(cell.collections) for cell in figure.axes[:2]]
        assert outlined == [True, False]
        assert figure.png()[:4] == b"\x89PNG"

    def test_colours_grow_evenly_lighter(self):
        """Perceptually even: lightness rises along the one scale, and to the middle of the other.

        Blue and red differ in the scale for signs, as they do to colour-blind eyes.
        """
        grey = np.array([0.2126, 0.7152, 0.0722])
        rising = mpl.colormaps[POSITIVE](np.linspace(0, 1, 32))[:, :3] @ grey
        both = mpl.colormaps[SIGNED](np.linspace(0, 1, 33))[:, :3] @ grey
        assert np.all(np.diff(rising) > 0)
        assert np.all(np.diff(both[:17]) > 0)
        assert np.all(np.diff(both[16:]) < 0)

    def test_pictures_that_may_not_be_shown_are_refused(self, data):
        secret = replace(data, card=replace(data.card, publishable=False), synthetic=False)
        maps = np.ones((2, 28, 28))
        with pytest.raises(MedlibError, match="may not be shown"):
            plots.heatmaps(data.train.images[:2], maps, dataset=secret)
        with pytest.raises(MedlibError, match=r"maps of these pictures are \(2, 28, 28\)"):
            plots.heatmaps(data.train.images[:2], maps[:1], dataset=None)

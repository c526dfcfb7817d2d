"""Smaller and cheaper models: quantised, pruned, distilled."""

import io
import socket
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.distil import Teacher
from medlib.errors import MedlibError
from medlib.models import ModelError, create
from medlib.prune import narrowed, share_of_zeros, sparse, with_zeros
from medlib.quantise import OnnxModel, QuantiseError, quantise
from medlib.recipe import Recipe
from medlib.saved import ModelSpec, SavedModel, export_onnx
from medlib.serving import ask, serving
from medlib.speed import side_by_side
from medlib.train import fit
from tests.lying_server import running

pytestmark = pytest.mark.usefixtures("one_thread")


def network(width=6, seed=0, **options):
    """Return a residual network whose normalisation has seen something."""
    torch.manual_seed(seed)
    shape = {"in_channels": 1, "num_classes": 2, "image_size": 28}
    model = create("resnet_small", width=width, **shape, **options)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.2, 2)
            layer.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def toy():
    """Return a small phantom of BreastMNIST."""
    return phantom_like(card("breastmnist")).subset(24)


# ---------------------------------------------------------------- ONNX Runtime


@pytest.fixture
def exported(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    spec = ModelSpec("resnet_small", 1, 2, 28, "binary", ("benign", "malignant"), {"width": 6})
    saved = SavedModel(network(), spec, {})
    return saved, OnnxModel(export_onnx(saved, tmp_path / "m.onnx"))


def test_onnx_model_says_what_the_saved_one_says(exported, toy):
    saved, model = exported
    assert model.class_names == ("benign", "malignant")
    assert model.shape == (1, 28, 28)
    for count in (1, 24):
        images = toy.train.images[:count]
        expected = saved.predict_proba(images)
        np.testing.assert_allclose(model.predict_proba(images), expected, atol=1e-5)


@pytest.mark.parametrize("bad", [np.zeros((2, 1, 20, 20), np.uint8), np.zeros((2, 1, 28, 28))])
def test_onnx_model_refuses_what_it_does_not_take(exported, bad):
    with pytest.raises(QuantiseError, match="takes uint8 images"):
        exported[1].predict_proba(bad)


def test_quantised_model_is_smaller_close_and_keeps_its_classes(exported, toy, tmp_path):
    saved, model = exported
    images = toy.train.images
    for calibration, unsigned in ((images, False), (images, True), (None, False)):
        path = tmp_path / "new" / "q.onnx"
        small = quantise(model.path, path, calibration, unsigned=unsigned)
        assert small.class_names == model.class_names
        assert small.path.stat().st_size < model.path.stat().st_size
        found, expected = small.predict_proba(images), saved.predict_proba(images)
        np.testing.assert_allclose(found, expected, atol=0.03)
        assert not np.array_equal(found, expected)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)


def test_quantising_all_kinds_leaves_few_different_probabilities(exported, toy, tmp_path):
    model = exported[1]
    images = np.random.default_rng(0).integers(0, 256, (600, 1, 28, 28)).astype(np.uint8)
    few = quantise(model.path, tmp_path / "a.onnx", images, kinds=None).predict_proba(images)
    many = quantise(model.path, tmp_path / "b.onnx", images).predict_proba(images)
    assert len(np.unique(few[:, 0])) <= 256 < len(np.unique(many[:, 0]))


def test_a_server_says_what_the_model_says_and_refuses_what_is_no_picture(exported, toy):
    saved, model = exported
    image = toy.train.images[:1]
    file = io.BytesIO()
    Image.fromarray(image[0, 0]).save(file, "PNG")
    with serving(model) as address:
        assert address.startswith("http://127.0.0.1:")
        found = ask(address, file.getvalue())
        with pytest.raises(MedlibError, match="bytes"):
            ask(address, b"")
        with pytest.raises(MedlibError):
            ask(address, b"no picture")
        assert ask(address, file.getvalue()) == found
    expected = saved.predict_proba(image)[0]
    assert list(found) == ["benign", "malignant"]
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("Content-Length: \xb2", b" 413 "),
        ("Content-Length: -5", b" 413 "),
        (f"Content-Length: {'9' * 5000}", b" 413 "),
        ("Content-Length: many", b" 413 "),
        ("Accept: */*", b" 413 "),
        ("Content-Length: 500", b""),  # and then nothing comes
    ],
)
def test_a_server_outlives_requests_that_lie(exported, toy, head, said, monkeypatch, capfd):
    monkeypatch.setattr("medlib.serving.PATIENCE", 0.2)
    file = io.BytesIO()
    Image.fromarray(toy.train.images[0, 0]).save(file, "PNG")
    with serving(exported[1]) as address:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), timeout=5) as line:
            line.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n\r\n".encode("latin-1"))
            assert said in line.recv(4096)
        assert ask(address, file.getvalue())
    assert capfd.readouterr().err == ""


def test_a_server_of_something_else_is_named():
    with running() as other:
        other.put("/predict", b"")
        with pytest.raises(MedlibError, match=r"http://127\.0\.0\.1:\d+/predict did not answer as"):
            ask(other.url("/predict"), b"a picture")


def test_actions_take_turns_and_medians_are_told_apart():
    seen = []
    actions = {"a": lambda: seen.append("a"), "b": lambda: (seen.append("b"), time.sleep(0.002))}
    found = side_by_side(actions, rounds=3)
    assert "".join(seen) == "abababab"
    assert 0 <= found["a"] < 0.002 <= found["b"]


# ---------------------------------------------------------------- pruning


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_sparse_takes_the_smallest_weights_of_all_layers(share):
    model = network()
    found = with_zeros(sparse(model, share))
    assert share_of_zeros(found) == pytest.approx(share, abs=0.001)
    before, after = dict(model.named_parameters()), dict(found.named_parameters())
    pairs = [(before[name], after[name]) for name in before if before[name].ndim >= 2]
    gone = torch.cat([a[b == 0].abs() for a, b in pairs])
    left = torch.cat([b[b != 0].abs() for _, b in pairs])
    assert len(gone) == 0 or gone.max() <= left.min()
    assert all(torch.equal(a[b != 0], b[b != 0]) for a, b in pairs)
    assert share_of_zeros(model) == 0


def test_sparse_zeros_outlive_training_and_the_moving_average(toy):
    model = sparse(network(), 0.8)
    fit(model, toy, Recipe.small().capped(4), progress=False)
    images = torch.randn(3, 1, 28, 28)
    before = model(images)
    plain = with_zeros(model)
    assert share_of_zeros(plain) == pytest.approx(0.8, abs=0.01)
    assert plain.state_dict().keys() == network().state_dict().keys()
    assert torch.equal(before, plain(images))


def test_sparse_refuses_all_zeros():
    with pytest.raises(ModelError, match="share of zeros"):
        sparse(network(), 1.0)


@pytest.mark.parametrize("blocks", [1, 2])
def test_narrowed_takes_just_the_channels_that_count(blocks):
    """Channels that are switched off can go without any change; the best are found."""
    wide, narrow = network(8, blocks=blocks), network(4, seed=1, blocks=blocks)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        dead = {n: rng.permutation(n)[: n // 2] for n in (8, 16, 32)}  # one choice a stream
        for name, norm in wide.named_modules():
            if not isinstance(norm, torch.nn.BatchNorm2d):
                continue
            count = len(norm.weight)
            off = rng.permutation(count)[: count // 2] if "block.bn1" in name else dead[count]
            norm.weight[off] = 0
            norm.bias.zero_()
    narrowed(wide, narrow)
    images = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(narrow(images), wide(images), atol=1e-5, rtol=1e-5)


def test_narrowed_of_the_same_width_is_the_same():
    wide, narrow = network(4), network(4, seed=1)
    images = torch.randn(2, 1, 28, 28)
    assert not torch.equal(wide(images), narrow(images))
    torch.testing.assert_close(narrowed(wide, narrow)(images), wide(images))


def test_narrowed_refuses_other_networks():
    with pytest.raises(ModelError, match="of the same depths"):
        narrowed(network(4), network(8))
    with pytest.raises(ModelError, match="of the same depths"):
        narrowed(network(4, blocks=2), network(2))


# ---------------------------------------------------------------- distillation


def test_teacher_mixes_what_it_says_with_the_truth():
    members = [network(seed=k) for k in range(2)]
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([0, 1, 1, 0])
    said = sum(m(images).softmax(1) for m in members).detach() / 2
    found = Teacher(members, 0.75)(images, labels)
    torch.testing.assert_close(found, 0.75 * said + 0.25 * torch.eye(2)[labels])
    assert torch.equal(Teacher(members, 0.0)(images, labels), torch.eye(2)[labels])


def test_a_student_learns_from_the_teacher_and_not_from_the_labels(toy):
    class Sure(torch.nn.Module):
        """Takes all for the second class."""

        def forward(self, images):
            return torch.tensor([[-9.0, 9.0]]).expand(len(images), 2)

    student = network(4)
    recipe = Recipe.small().capped(60)
    fit(student, toy, recipe, relabel=Teacher([Sure()], 1.0), progress=False)
    images = torch.from_numpy(toy.train.images).float() / 127.5 - 1
    assert student(images).softmax(1)[:, 1].min() > 0.6


def test_relabelling_with_the_labels_changes_nothing(toy):
    plain, same = network(4), network(4)
    recipe = Recipe.small().capped(5)
    fit(plain, toy, recipe, progress=False)
    fit(same, toy, recipe, relabel=lambda images, labels: labels, progress=False)
    for a, b in zip(plain.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


def test_teacher_needs_a_network_and_a_share():
    with pytest.raises(MedlibError):
        Teacher([])
    with pytest.raises(MedlibError):
        Teacher([network()], 1.5)

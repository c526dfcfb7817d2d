"""Training: learns, repeats itself, resumes to the last bit, and says what is wrong."""

import io
import json
import math
import resource
from contextlib import redirect_stderr
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from medlib import train
from medlib.augment import Augment
from medlib.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from medlib.errors import MedlibError
from medlib.models import create
from medlib.recipe import (
    SCHEDULES,
    Recipe,
    RecipeError,
    build_loss,
    build_optimizer,
    learning_rate_at,
)
from medlib.train import TrainingError, fit, predict_proba, seed_everything


@dataclass(frozen=True)
class Part:
    images: np.ndarray
    labels: np.ndarray | None

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True)
class Toy:
    """What `fit` needs of a data set: bright squares whose place is the class."""

    train: Part
    val: Part
    num_classes: int
    task: str
    name: str = "toy"
    in_channels: int = 1
    image_size: int = 16


def part(count, num_classes, seed, *, multi=False, channels=1):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, channels, 16, 16), dtype=np.uint8)
    if multi:
        labels = rng.integers(0, 2, (count, num_classes))
    else:
        labels = rng.permutation(np.arange(count) % num_classes)
    present = labels if multi else np.eye(num_classes, dtype=int)[labels]
    for i, k in zip(*np.nonzero(present), strict=True):
        images[i, :, 3 * k : 3 * k + 5, 3 * k : 3 * k + 5] += 120
    return Part(images, labels.astype(np.int64))


def toy(num_classes=2, *, multi=False, channels=1, train=96, val=48):
    task = "multi-label" if multi else "binary" if num_classes == 2 else "multi-class"
    parts = (
        part(n, num_classes, i, multi=multi, channels=channels) for i, n in enumerate((train, val))
    )
    return Toy(*parts, num_classes, task, in_channels=channels)


def network(data, seed=0, **options):
    seed_everything(seed)
    options = {"width": 4, "stem": "half", **options}
    return create(
        "resnet_small",
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        image_size=data.image_size,
        **options,
    )


def weights(model):
    return torch.cat([v.double().flatten() for v in model.state_dict().values()])


QUICK = Recipe(
    epochs=4,
    batch_size=16,
    learning_rate=5e-3,
    augment=Augment(shift=0.05, noise=0.01, erase=0.2),
    ema=0.9,
    clip_norm=1.0,
    label_smoothing=0.05,
)


# Learning


@pytest.mark.parametrize(
    ("data", "optimizer", "schedule"),
    [
        (toy(), "adamw", "one_cycle"),
        (toy(4, channels=3), "adam", "cosine"),
        (toy(3, multi=True), "sgd", "steps"),
    ],
)
def test_learns_each_kind_of_task(data, optimizer, schedule):
    rate = 0.1 if optimizer == "sgd" else 1e-2
    recipe = Recipe(
        epochs=8, batch_size=16, learning_rate=rate, optimizer=optimizer, schedule=schedule
    )
    model = network(data, width=8)
    history = fit(model, data, recipe)
    assert history.best["val_auc"] > 0.95
    assert history.steps == 8 * 6
    assert not model.training
    probabilities = predict_proba(model, data.val.images, task=data.task)
    assert train.validation_auc(data.val.labels, probabilities) == history.best["val_auc"]


def test_history_holds_each_epoch():
    data = toy()
    history = fit(network(data), data, QUICK)
    frame = history.frame()
    expected = ["epoch", "train_loss", "learning_rate", "val_loss", "val_auc", "val_accuracy"]
    assert list(frame.columns) == expected
    assert list(frame.epoch) == [0, 1, 2, 3]
    assert frame.learning_rate.iloc[-1] < frame.learning_rate.max() <= QUICK.learning_rate
    assert frame.val_auc[history.best_epoch] == frame.val_auc.max()
    assert history.to_dict()["steps"] == 24
    assert history.seconds > 0


def test_first_step_is_the_textbook_step():
    """One plain SGD step of `fit` equals the step written out by hand."""
    data = toy(train=16)
    recipe = Recipe(
        epochs=1, batch_size=16, optimizer="sgd", schedule="constant", learning_rate=0.1,
        weight_decay=0.0, select="last",
    )  # fmt: skip
    ours, by_hand = network(data, norm=False), network(data, norm=False)
    fit(ours, data, recipe)
    images = torch.from_numpy(data.train.images).float() / 127.5 - 1
    loss = nn.functional.cross_entropy(by_hand(images), torch.from_numpy(data.train.labels))
    loss.backward()
    with torch.no_grad():
        for p in by_hand.parameters():
            p -= 0.1 * (p.grad + 0.9 * p.grad)  # Nesterov's first step looks ahead by momentum
    torch.testing.assert_close(weights(ours), weights(by_hand), atol=1e-5, rtol=0)


def test_averaged_weights_follow_the_formula():
    data = toy(train=16)
    recipe = Recipe(epochs=1, batch_size=16, ema=0.5, select="last", schedule="constant")
    averaged, last, start = network(data), network(data), weights(network(data))
    fit(averaged, data, recipe)
    fit(last, data, replace(recipe, ema=0.0))
    decay = min(0.5, 2 / 11)
    expected = decay * start + (1 - decay) * weights(last)
    counters = torch.cat(
        [torch.full((v.numel(),), not v.is_floating_point()) for v in last.state_dict().values()]
    )
    expected[counters] = weights(last)[counters]
    torch.testing.assert_close(weights(averaged), expected, atol=1e-6, rtol=0)


def test_class_weights_balance_the_loss():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    loss = build_loss(Recipe(class_weights="balanced"), labels, 2)
    torch.testing.assert_close(loss(logits, labels), (each[:3].mean() + each[3]) / 2)
    given = build_loss(Recipe(class_weights=(1.0, 3.0)), labels, 2)
    torch.testing.assert_close(given(logits, labels), loss(logits, labels))


def test_multi_label_loss_weighs_positives_and_smooths():
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [0, 1]])
    logits = torch.zeros(4, 2)
    loss = build_loss(Recipe(class_weights="balanced"), labels, 2)
    # Balanced: 3 negatives to 1 positive in the first column, 2 to 2 in the second.
    assert float(loss(logits, labels)) == pytest.approx(math.log(2) * (3 + 3 + 4) / 8)
    smooth = build_loss(Recipe(label_smoothing=0.2), labels, 2)
    sure = torch.where(labels == 1, 20.0, -20.0)
    assert float(smooth(sure, labels)) == pytest.approx(2.0, rel=1e-4)


def test_selection_prefers_area_then_loss():
    better = train.is_better
    old = {"val_auc": 0.9, "val_loss": 0.5}
    assert better({"val_auc": 0.91, "val_loss": 0.9}, old, "val_auc")
    assert better({"val_auc": 0.9, "val_loss": 0.4}, old, "val_auc")
    assert not better({"val_auc": 0.9, "val_loss": 0.5}, old, "val_auc")
    assert better({"val_auc": 0.1, "val_loss": 0.4}, old, "val_loss")
    assert better({"val_auc": 0.1, "val_loss": 0.9}, old, "last")


def test_patience_stops_and_the_best_weights_come_back():
    data = toy()
    shuffled = replace(data, val=replace(data.val, labels=1 - data.val.labels))
    recipe = replace(QUICK, epochs=30, patience=2, select="val_loss", schedule="constant")
    model = network(data)
    history = fit(model, shuffled, recipe)  # the better it learns, the worse it gets
    assert len(history.epochs) == history.best_epoch + 3 < 30
    logits = np.log(predict_proba(model, data.val.images, task="binary"))
    picked = logits[np.arange(len(logits)), shuffled.val.labels]
    smooth = -0.95 * picked.mean() - 0.05 * logits.mean()
    assert smooth == pytest.approx(history.best["val_loss"], abs=1e-5)


def test_steps_follow_epochs_minimum_and_cap():
    assert Recipe(epochs=3, batch_size=32).total_steps(100) == 9
    assert Recipe(epochs=3, batch_size=32, min_steps=100).total_steps(100) == 102
    assert Recipe(epochs=3, batch_size=32).total_steps(10) == 3
    assert Recipe(epochs=3, batch_size=32, min_steps=100).capped(6).total_steps(100) == 6
    assert Recipe(max_steps=4).capped(6).max_steps == 4
    data = toy()
    history = fit(network(data), data, QUICK.capped(7))
    assert (history.steps, len(history.epochs)) == (7, 2)


def test_a_recipe_survives_json():
    recipe = replace(Recipe.small(), class_weights=(1.0, 2.0), max_steps=5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    with pytest.raises(RecipeError, match="no field speed"):
        Recipe.from_dict({"speed": 1})


def test_published_protocol_takes_every_image_every_epoch():
    recipe = Recipe.medmnist()
    assert recipe.total_steps(546) == 100 * 5
    data = toy(train=40)
    training = train._Training(
        network(data), data, replace(recipe, batch_size=16, epochs=1), 0, "cpu"
    )
    seen = torch.cat([labels for _, labels in training.batches()])
    assert [len(labels) for _, labels in training.batches()] == [16, 16, 8]
    assert torch.equal(seen.bincount(), torch.from_numpy(data.train.labels).bincount())


def test_many_small_batches_are_prepared_as_one(monkeypatch):
    data = toy()
    recipe = replace(QUICK, augment=None)
    together, apart = network(data), network(data)
    fit(together, data, recipe)
    monkeypatch.setattr(train, "PREPARED", 1)
    fit(apart, data, recipe)
    assert torch.equal(weights(together), weights(apart))


def test_validates_every_so_many_epochs_and_at_the_end():
    data = toy()
    history = fit(network(data), data, replace(QUICK, epochs=5, validate_every=2))
    assert [e["epoch"] for e in history.epochs if "val_loss" in e] == [1, 3, 4]


# Learning rates and optimisers


def test_schedules():
    rates = {name: [learning_rate_at(i, 100, name) for i in range(100)] for name in SCHEDULES}
    assert all(0 <= r <= 1 for values in rates.values() for r in values)
    assert rates["one_cycle"].index(max(rates["one_cycle"])) == 25
    assert rates["one_cycle"][-1] < 0.001 < rates["one_cycle"][0] < 0.1
    assert rates["cosine"][50] == pytest.approx(0.5)
    assert [rates["steps"][i] for i in (0, 49, 50, 74, 75, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert set(rates["constant"]) == {1.0}


def test_cosine_equals_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(50):
        assert learning_rate_at(step, 50, "cosine") == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_decay_spares_biases_and_norms():
    decayed, spared = build_optimizer(network(toy()), Recipe(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert min(p.ndim for p in decayed["params"]) == 2
    assert max(p.ndim for p in spared["params"]) == 1


# Repeatability


def test_one_seed_one_result_whatever_the_random_state():
    data = toy()
    first, again, other = network(data), network(data), network(data)
    histories = []
    for model, seed, state in ((first, 3, 0), (again, 3, 99), (other, 4, 0)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        histories.append(fit(model, data, QUICK, seed=seed).epochs)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(first), weights(again))
    assert histories[0] == histories[1]
    assert not torch.equal(weights(first), weights(other))


class Stop(Exception):
    """Stands for a kill between two epochs."""


def stop_after(monkeypatch, epochs):
    """Let the training be killed once so many checkpoints are written."""
    written = []

    def write(path, content):
        write_checkpoint(path, content)
        written.append(path)
        if len(written) == epochs:
            raise Stop

    monkeypatch.setattr(train, "write_checkpoint", write)


def test_resuming_gives_the_same_bits(tmp_path, monkeypatch):
    data, path = toy(), tmp_path / "run" / "checkpoint.pt"
    whole, resumed = network(data), network(data)
    expected = fit(whole, data, QUICK, seed=1)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stop):
            fit(resumed, data, QUICK, seed=1, checkpoint=path)
    resumed = network(data, seed=77)  # its weights come from the checkpoint
    got = fit(resumed, data, QUICK, seed=1, checkpoint=path)
    assert torch.equal(weights(whole), weights(resumed))
    assert got.epochs == expected.epochs
    assert (got.best_epoch, got.steps) == (expected.best_epoch, expected.steps)


def test_after_each_epoch_the_network_may_be_asked():
    data, seen = toy(), []
    plain, asked = network(data), network(data)
    expected = fit(plain, data, QUICK, seed=1)

    def ask(epoch, model):
        seen.append(predict_proba(model, data.val.images, task=data.task))
        assert epoch == len(seen) - 1

    got = fit(asked, data, QUICK, seed=1, after_epoch=ask)
    assert torch.equal(weights(plain), weights(asked))
    assert len(seen) == len(got.epochs) == len(expected.epochs)
    chosen = predict_proba(asked, data.val.images, task=data.task)
    assert np.array_equal(seen[got.best_epoch], chosen)


def test_a_finished_checkpoint_is_only_loaded(tmp_path, monkeypatch):
    data, path = toy(), tmp_path / "checkpoint.pt"
    first, second = network(data), network(data, seed=5)
    expected = fit(first, data, QUICK, checkpoint=path)
    monkeypatch.setattr(train._Training, "step", None)
    got = fit(second, data, QUICK, checkpoint=path)
    assert torch.equal(weights(first), weights(second))
    assert got.epochs == expected.epochs


def test_an_interrupt_in_an_epoch_loses_that_epoch_only(tmp_path, monkeypatch):
    data, path = toy(), tmp_path / "checkpoint.pt"
    whole, model = network(data), network(data)
    fit(whole, data, QUICK)
    step, calls = train._Training.step, []

    def interrupted(self, images, labels):
        calls.append(1)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return step(self, images, labels)

    with monkeypatch.context() as patch:
        patch.setattr(train._Training, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(model, data, QUICK, checkpoint=path)
    assert len(read_checkpoint(path)["history"]["epochs"]) == 2
    fit(model, data, QUICK, checkpoint=path)
    assert torch.equal(weights(whole), weights(model))


def test_checkpoints_are_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"n": 1})

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, {"n": 2})
    assert read_checkpoint(path)["n"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_really_full_is_named_and_the_old_checkpoint_stays(tmp_path):
    """PyTorch turns the error of the disk into a RuntimeError of its own."""
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"n": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_checkpoint(path, {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert read_checkpoint(path)["n"] == 1
    assert list(tmp_path.iterdir()) == [path]


# Refusals


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_truncated_and_foreign_files_are_refused(tmp_path, content):
    data, path = toy(), tmp_path / "checkpoint.pt"
    fit(network(data), data, QUICK.capped(2), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-2000] if content is None else content)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt cannot be read .* delete it"):
        fit(network(data), data, QUICK.capped(2), checkpoint=path)


def test_a_state_dict_is_not_a_checkpoint(tmp_path):
    data, path = toy(), tmp_path / "weights.pt"
    torch.save(network(data).state_dict(), path)
    with pytest.raises(CheckpointError, match="not written by medlib's fit"):
        fit(network(data), data, QUICK, checkpoint=path)


def test_a_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "evil.pt"
    torch.save({"format": print}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("changed", "word"),
    [("recipe", "recipe"), ("seed", "seed"), ("width", "network"), ("data", "data")],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, changed, word):
    data, path = toy(), tmp_path / "checkpoint.pt"
    recipe = QUICK.capped(2)
    fit(network(data), data, recipe, checkpoint=path)
    model = network(data, width=6 if changed == "width" else 4)
    recipe = replace(recipe, ema=0.5) if changed == "recipe" else recipe
    data = toy(train=64) if changed == "data" else data
    with pytest.raises(CheckpointError, match=f"another training .*{word}: "):
        fit(model, data, recipe, seed=int(changed == "seed"), checkpoint=path)


def broken(what):
    """Return a data set with one fault, and the words that must name it."""
    data = toy()
    train, val = data.train, data.val

    def bad_train(images, labels):
        return replace(data, train=Part(images, labels))

    def bad_val(images, labels):
        return replace(data, val=Part(images, labels))

    faults = {
        "empty train": (
            bad_train(train.images[:0], train.labels[:0]),
            "train split of toy is empty",
        ),
        "empty val": (bad_val(val.images[:0], val.labels[:0]), "val split of toy is empty"),
        "channels": (
            toy(channels=3),
            "takes 1 channels, the images have 3: create it with in_channels=3",
        ),
        "float images": (bad_train(train.images / 255, train.labels), "must be uint8"),
        "too large": (
            bad_train(train.images, train.labels + 1),
            "labels from 1 to 2, but its 2 classes allow 0 to 1",
        ),
        "negative": (bad_val(val.images, val.labels - 1), "val split of toy has labels from -1"),
        "no labels": (bad_val(val.images, None), "whole-number labels of shape .48,., got none"),
        "one class": (
            bad_val(val.images, val.labels * 0),
            "single class .* choose select='val_loss' or 'last'",
        ),
        "column": (
            bad_train(train.images, train.labels[:, None]),
            "of shape .96,., got int64 .96, 1.",
        ),
    }
    return faults[what]


@pytest.mark.parametrize(
    "what",
    ["empty train", "empty val", "channels", "float images", "too large", "negative", "no labels",
     "one class", "column"],
)  # fmt: skip
def test_bad_data_is_named_before_training(what):
    data, words = broken(what)
    with pytest.raises(TrainingError, match=words):
        fit(network(toy()), data, QUICK)


def test_one_class_validation_works_with_another_selection():
    data, _ = broken("one class")
    history = fit(network(data), data, replace(QUICK, select="val_loss"))
    assert all(math.isnan(e["val_auc"]) for e in history.epochs)


def test_divergence_names_the_remedy():
    data = toy()
    recipe = Recipe(optimizer="sgd", schedule="constant", learning_rate=1e9, batch_size=16)
    with pytest.raises(
        TrainingError, match=r"became (nan|inf) .* lower the recipe's learning_rate"
    ):
        fit(network(data, norm=False), data, recipe)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "adagrad"}, "optimizer must be one of"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"select": "test_auc"}, "select must be one of"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"ema": 1.0}, r"ema must be in \[0, 1\)"),
        ({"select": "last", "patience": 3}, "patience needs a validation score"),
    ],
)
def test_senseless_recipes_are_refused(options, words):
    with pytest.raises(RecipeError, match=words):
        Recipe(**options)


def test_class_weights_of_the_wrong_length_are_refused():
    data = toy()
    with pytest.raises(RecipeError, match="'balanced' or 2 numbers"):
        fit(network(data), data, replace(QUICK, class_weights=(1.0, 2.0, 3.0)))


def test_errors_are_medlib_errors():
    assert issubclass(TrainingError, MedlibError)
    assert issubclass(CheckpointError, MedlibError)
    assert issubclass(RecipeError, MedlibError)


# Prediction


def test_predictions_do_not_depend_on_batches_and_leave_the_mode():
    data = toy()
    model = network(data).train()
    one = predict_proba(model, data.val.images, task="binary", batch_size=7)
    all_at_once = predict_proba(model, data.val.images, task="binary")
    assert model.training
    assert one.dtype == np.float64
    assert one.shape == (48, 2)
    np.testing.assert_allclose(one, all_at_once, atol=1e-6)
    np.testing.assert_allclose(one.sum(1), 1, atol=1e-12)


def test_multi_label_predictions_are_sigmoids():
    data = toy(3, multi=True)
    model = network(data).eval()
    images = torch.from_numpy(data.val.images).float() / 127.5 - 1
    expected = torch.sigmoid(model(images)).detach().numpy()
    got = predict_proba(model, data.val.images, task="multi-label")
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_predicting_wrong_channels_is_refused():
    with pytest.raises(TrainingError, match="takes 1 channels, the images have 3"):
        predict_proba(network(toy()), toy(channels=3).val.images, task="binary")


def test_validation_auc_leaves_out_labels_that_do_not_occur():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    assert train.validation_auc(labels, probabilities) == 1.0
    assert math.isnan(train.validation_auc(np.zeros(4, int), probabilities))


# Quiet, mixed precision, real data


def test_quiet_by_default_and_a_bar_where_asked(capfd, monkeypatch):
    for name in ("COLUMNS", "LINES"):  # a narrow terminal cuts the bar
        monkeypatch.setenv(name, "200")
    data = toy()
    fit(network(data), data, QUICK.capped(3))
    assert capfd.readouterr() == ("", "")
    with redirect_stderr(io.StringIO()) as shown:
        fit(network(data), data, QUICK.capped(3), progress=True)
    assert "3/3" in shown.getvalue()
    assert "val_auc" in shown.getvalue()


def test_mixed_precision_learns_too():
    data = toy()
    history = fit(
        network(data, width=8), data, Recipe(epochs=6, batch_size=16, amp=True, learning_rate=1e-2)
    )
    assert history.best["val_auc"] > 0.95


def test_seeding_reaches_every_generator():
    import random

    def draw():
        return random.random(), np.random.rand(), float(torch.rand(1))

    seed_everything(2**32 + 5)
    first = draw()
    seed_everything(2**32 + 5)
    assert draw() == first


def test_recipe_is_plain_data():
    import json

    assert json.loads(json.dumps(Recipe.small().as_dict()))["augment"]["flip_horizontal"] is True


def test_small_recipe_counts_in_steps():
    # BreastMNIST, PneumoniaMNIST, and a large set.
    assert [Recipe.small().total_steps(n) for n in (546, 4708, 89_996)] == [1003, 1029, 19_684]


def test_small_recipe_is_one_that_was_searched():
    import json

    from medlib.paths import package_file

    record = package_file("results/long/search-small.json").read_text(encoding="utf-8")
    searched = json.loads(record)["candidates"]["w24-half-1000-slow"]
    ours = Recipe.small().as_dict() | {"epochs": 1, "select": "val_auc"}  # both kept "last" too
    ours["augment"] = Recipe.small().augment
    searched["recipe"]["augment"] = Augment(**searched["recipe"]["augment"])
    assert {k: ours[k] for k in searched["recipe"]} == searched["recipe"]
    assert searched["options"] == {"width": 24, "stem": "half"}


def test_phantoms_train_and_the_test_split_stays_closed():
    from medlib.data import card
    from medlib.data.phantoms import phantom_like

    data = phantom_like(card("breastmnist")).subset(96)
    history = fit(network(data), data, QUICK.capped(6))
    assert history.steps == 6
    assert data.test.labels is None


@pytest.mark.real_images("breastmnist")
def test_small_recipe_learns_breast_ultrasound():
    from medlib.data import load

    data = load("breastmnist")
    recipe = replace(Recipe.small(), min_steps=100, select="val_auc")
    assert fit(network(data, width=8), data, recipe).best["val_auc"] > 0.6


# Wider use: accumulated gradients, unknown labels, images in a file


@pytest.mark.parametrize("drop_last", [True, False])
def test_accumulated_gradients_are_those_of_the_large_batch(drop_last):
    data = toy(train=88)
    recipe = replace(QUICK, augment=None, batch_size=32, drop_last=drop_last)
    large, parts = (network(data, norm=False) for _ in range(2))
    expected = fit(large, data, recipe)
    got = fit(parts, data, replace(recipe, batch_size=8, accumulate=4))
    assert got.steps == expected.steps == (8 if drop_last else 12)
    torch.testing.assert_close(weights(parts), weights(large), atol=1e-6, rtol=0)
    for ours, theirs in zip(got.epochs, expected.epochs, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-6)


@pytest.mark.parametrize("loss", [None, "bce", "focal", "asymmetric"])
def test_learns_several_labels_of_which_half_are_unknown(loss):
    data = toy(3, multi=True, train=160)
    hidden = np.random.default_rng(0).random(data.train.labels.shape) < 0.5
    train_part = replace(data.train, labels=np.where(hidden, -1, data.train.labels))
    val_part = replace(data.val, labels=np.where(hidden[:48], -1, data.val.labels))
    partial = replace(data, train=train_part, val=val_part)
    model = network(data, width=8)
    history = fit(model, partial, Recipe(epochs=8, batch_size=16, learning_rate=1e-2, loss=loss))
    assert history.best["val_auc"] > 0.9
    probabilities = predict_proba(model, data.val.images, task=data.task)
    known = val_part.labels >= 0
    right = ((probabilities > 0.5) == (val_part.labels == 1))[known].mean()
    assert history.best["val_accuracy"] == pytest.approx(right)
    assert train.validation_auc(data.val.labels, probabilities) > 0.9


def test_validation_auc_leaves_unknown_labels_out():
    labels = np.array([[1, 0], [0, -1], [-1, -1], [1, 0]])
    chances = np.array([[0.9, 0.5], [0.6, 0.5], [0.0, 0.5], [0.5, 0.5]])
    assert train.validation_auc(labels, chances) == 0.5  # the second label has negatives only


def test_images_may_stay_in_a_file(tmp_path):
    data = toy()
    path = tmp_path / "images.npy"
    np.save(path, data.train.images)
    mapped = np.load(path, mmap_mode="c")
    training = train._Training(
        network(data), replace(data, train=replace(data.train, images=mapped)), QUICK, 0, "cpu"
    )
    assert training.images.data_ptr() == mapped.ctypes.data  # not copied into memory
    whole, from_file = network(data), network(data)
    fit(whole, data, QUICK)
    fit(from_file, replace(data, train=replace(data.train, images=mapped)), QUICK)
    assert torch.equal(weights(whole), weights(from_file))


# Refusals of images and networks


def test_images_too_small_for_the_network_are_named():
    data = toy()
    deep = nn.Sequential(nn.Conv2d(1, 2, 9), nn.Conv2d(2, 2, 9), nn.Flatten(), nn.Linear(2, 2))
    words = "Sequential cannot take images of 16 x 16 pixels with 1 channels .*resize the images"
    with pytest.raises(TrainingError, match=words):
        fit(deep, data, QUICK)
    with pytest.raises(TrainingError, match=words):
        predict_proba(deep, data.val.images, task="binary")


def test_a_network_without_convolutions_names_wrong_channels_too():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    with pytest.raises(TrainingError, match="with 3 channels .*in_channels=3"):
        fit(flat, toy(channels=3), QUICK)


def test_a_network_with_other_classes_is_refused_before_training():
    words = r"label \(1, 3\), this ResNet gives label \(1, 2\): create a classifier with num_cl"
    with pytest.raises(TrainingError, match=words):
        fit(network(toy()), toy(3), QUICK)


def test_predicting_names_bad_images_and_damaged_weights():
    model, images = network(toy()), toy().val.images
    with pytest.raises(TrainingError, match="no images to predict"):
        predict_proba(model, images[:0], task="binary")
    with pytest.raises(TrainingError, match="must be uint8 .* got float64"):
        predict_proba(model, np.full(images.shape, np.nan), task="binary")
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="ResNet gives NaN or infinity: .* train it again"):
        predict_proba(model, images, task="binary")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (-2, "labels from -2 to .* classes allow -1 to 1"),
        (-1, "no known label at all"),
        (1, "single class"),
    ],
)
def test_bad_labels_of_several_are_named(labels, words):
    data = toy(3, multi=True)
    bad = np.full_like(data.val.labels, labels)
    with pytest.raises(TrainingError, match=words):
        fit(network(data), replace(data, val=replace(data.val, labels=bad)), QUICK)

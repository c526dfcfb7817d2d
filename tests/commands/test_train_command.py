"""``medlib train``: what it writes, how it goes on, what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_helpers import TRAIN

from medlib import cli, project, saved
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe
from medlib.train import fit, predict_proba, seed_everything


def test_the_folder_holds_model_history_and_record(trained):
    assert sorted(p.name for p in trained.iterdir()) == ["history.csv", "model.pt", "training.json"]
    record = json.loads((trained / "training.json").read_text())
    assert (record["steps"], record["seed"], record["model"]) == (20, 0, "lenet5")
    assert record["data"]["kind"] == "phantom"
    assert set(record["validation"]) == {"val_auc", "val_accuracy", "val_loss"}
    with (trained / "history.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert len(epochs) == record["epochs"]
    assert float(epochs[-1]["val_auc"]) == record["validation"]["val_auc"]
    provenance = saved.load_model(trained).provenance
    assert {**record, "recipe_values": None} == {**provenance, "recipe_values": None}


def test_it_is_the_training_of_the_library(trained):
    data = phantom_like(card("breastmnist"))
    seed_everything(0)
    model = saved.load_model(trained).spec.build()
    fit(model, data, project.recipe_named("small", max_steps=20), seed=0)
    expected = predict_proba(model, data.val.images, task=data.task)
    found = saved.load_model(trained).predict_proba(data.val.images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stopped_and_resumed_gives_the_same_weights(trained, tmp_path, medlib, monkeypatch):
    folder, epochs = tmp_path / "stopped", []

    def stop_after_an_epoch(*args, **kwargs):
        from medlib import train

        original = train._Training.save

        def save(self, path):
            original(self, path)
            epochs.append(path)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train._Training, "save", save)
            return fit(*args, **kwargs)

    monkeypatch.setattr(project, "fit", stop_after_an_epoch)
    done = medlib(*TRAIN, "--steps", "20", "--out", folder, "--json")
    assert (done.code, done.out) == (130, "")
    assert "--resume" in done.err
    assert len(epochs) == 1
    monkeypatch.undo()
    refused = medlib(*TRAIN, "--steps", "20", "--out", folder)
    assert refused.code == 2
    assert "add --resume" in refused.err
    other = medlib(*TRAIN, "--steps", "21", "--out", folder, "--resume")
    assert other.code == 2
    assert "another training" in other.err
    done = medlib(*TRAIN, "--steps", "20", "--out", folder, "--resume", "--json")
    assert done.code == 0
    assert done.json["model_file"] == str(folder / "model.pt")
    assert not (folder / "checkpoint.pt").exists()
    assert saved.load_model(folder).digest == saved.load_model(trained).digest


def test_a_finished_training_is_never_overwritten(trained, medlib):
    before = (trained / "model.pt").read_bytes()
    assert "already holds a trained model" in medlib(*TRAIN, "--out", trained).err
    again = medlib(*TRAIN, "--steps", "20", "--out", trained, "--resume")
    assert again.code == 0
    assert "medlib evaluate" in again.out
    other = medlib(*TRAIN, "--steps", "20", "--seed", "1", "--out", trained, "--resume")
    assert "differs in seed" in other.err
    assert (trained / "model.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("brestmnist",), "unknown data set 'brestmnist': did you mean 'breastmnist'?"),
        (("zzzzz",), "unknown data set 'zzzzz': choose one of bloodmnist"),
        (("./pictures",), "your own pictures are real"),
        (("wisconsin",), "wisconsin is a table"),
        (("breastmnist", "--model", "resnet81"), "did you mean 'resnet18'?"),
        (("breastmnist", "--model", "unet"), "unet names pixels"),
        (("breastmnist", "--recipe", "smal"), "did you mean 'small'?"),
        (("breastmnist", "--option", "width"), "--option takes NAME=VALUE"),
        (("breastmnist", "--model", "lenet5", "--option", "size=3"), "has no option size"),
        (("breastmnist", "--option", 'width="x"'), "resnet_small cannot be built"),
        (("breastmnist", "--device", "tpu"), "unknown device 'tpu'"),
    ],
)
def test_mistakes_get_one_line_and_code_2(tmp_path, medlib, arguments, said):
    done = medlib("train", *arguments, "--phantom", "--out", tmp_path / "new")
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "new" / "model.pt").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, medlib):
    (tmp_path / "file").write_text("in the way")
    assert "is a file" in medlib(*TRAIN, "--out", tmp_path / "file").err
    done = medlib(*TRAIN, "--out", tmp_path / "file" / "below")
    assert done.code == 2
    assert "cannot write to" in done.err


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_numbers_are_checked_by_the_parser(value, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*TRAIN, "--epochs", value, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_recipes_are_the_library_s_shortened_where_asked():
    assert project.recipe_named("small") == Recipe.small()
    assert project.recipe_named("medmnist") == Recipe.medmnist()
    assert project.recipe_named("small", epochs=2).total_steps(320) == 20


def test_data_that_are_not_here_are_named_with_a_remedy(tmp_path, monkeypatch, medlib):
    monkeypatch.setenv("MEDLIB_MIRROR", "")
    monkeypatch.setenv("MEDLIB_CACHE", str(tmp_path / "cache"))
    done = medlib("train", "chestmnist", "--out", tmp_path / "new")
    assert done.code == 2
    assert "medlib data get chestmnist" in done.err


@pytest.mark.real_images
def test_a_short_training_on_real_images_learns_something(tmp_path, medlib):
    done = medlib("train", "breastmnist", "--steps", "60", "--out", tmp_path / "run", "--json")
    assert done.code == 0
    assert done.json["data"] == {
        "kind": "card",
        "name": "breastmnist",
        "digest": card("breastmnist").digests["md5"],
        "train": 546,
        "val": 78,
    }
    assert done.json["validation"]["val_auc"] > 0.6
    assert isinstance(saved.load_model(tmp_path / "run").module, torch.nn.Module)
    assert Path(done.json["model_file"]).is_file()

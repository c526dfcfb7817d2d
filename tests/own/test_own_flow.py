"""From a folder to a report: what is written, that it agrees, and that it is done once."""

import csv
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from own_helpers import SHORT, blob, folders, save, table

from medlib.data.own import own_dataset
from medlib.own import flow
from medlib.own.report import NO_DEVICE
from medlib.probes import Probe
from medlib.saved import load_model

WRITTEN = {
    *("report.html", "model.pt", "model.onnx", "cases.csv", "test-predictions.csv"),
    *("summary.json", "test-access.json", "model-test", "from-scratch", "pretrained-features"),
}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a page loads, and its pictures without words."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.silent, self.tags = [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.loaded += [found[k] for k in ("src", "href", "srcset", "data") if k in found]
        self.silent += tag == "img" and not found.get("alt")


def test_everything_is_written_and_the_better_way_is_tested(finished):
    out = finished / "out"
    assert {path.name for path in out.iterdir()} == WRITTEN
    summary = json.loads((out / "summary.json").read_text())
    candidates = summary["candidates"]
    assert candidates.keys() == {"scratch", "features"}
    best = max(one["validation_auc"] for one in candidates.values())
    assert candidates[summary["chosen"]]["validation_auc"] == best
    assert summary["parts"] == {"train": 36, "val": 12, "test": 12}
    assert summary["test"]["metrics"]["auc"]["value"] > 0.8
    assert len(json.loads((out / "test-access.json").read_text())["looks"]) == 1


@pytest.mark.parametrize("way", ["out", "out/from-scratch", "out/pretrained-features"])
def test_predict_gives_the_same_scores(finished, medlib, way):
    """The chosen model's scores are those of the report; each way's model reads files alike."""
    predicted = finished / "scores.csv"
    assert medlib("predict", finished / way, finished / "pictures", "--csv", predicted).code == 0
    model = load_model(finished / way)
    new = {r["file"].split("pictures/")[1]: r for r in rows_of(predicted)}
    if way == "out":
        for row in rows_of(finished / "out" / "test-predictions.csv"):
            for name in model.class_names:
                assert float(new[row["file"]][name]) == pytest.approx(float(row[name]), abs=2e-6)
    assert len(new) == 60


def test_onnx_gives_the_same_scores(finished):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(finished / "out" / "model.onnx")
    model = load_model(finished / "out")
    images = np.stack([blob(bool(k % 2), k, model.size)[None] for k in range(5)])
    found = session.run(None, {"images": images})[0]
    np.testing.assert_allclose(found, model.predict_proba(images), atol=1e-4)


def test_the_report_stands_alone_and_says_what_it_must(finished):
    text = (finished / "out" / "report.html").read_text()
    page = Page(text)
    assert page.loaded
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert page.silent == 0
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http-equiv", "")
    assert str(finished.parent) not in text
    for words in (NO_DEVICE, "95 % interval", "Model card", "Confusion", "Calibration",
                  "no patient is named", "validation AUC"):  # fmt: skip
        assert words in text


def test_no_file_holds_the_path_of_the_pictures_folder(finished):
    for path in (finished / "out").rglob("*"):
        if path.is_file() and path.suffix in {".html", ".csv", ".json"}:
            assert "/own0/" not in path.read_text(), path.name


def test_cases_name_each_file_once_with_its_part(finished):
    rows = rows_of(finished / "out" / "cases.csv")
    assert len({row["file"] for row in rows}) == 60
    test = {row["file"] for row in rows if row["part"] == "test"}
    assert {r["file"] for r in rows_of(finished / "out" / "test-predictions.csv")} == test


def test_a_finished_folder_is_never_overwritten(finished, medlib):
    before = (finished / "out" / "report.html").read_bytes()
    for more in ((), ("--resume",)):
        done = medlib("train", finished / "pictures", "--out", finished / "out", *SHORT, *more)
        assert done.code == 2
        assert "already holds a finished training" in done.err
    assert (finished / "out" / "report.html").read_bytes() == before


def test_a_training_that_was_stopped_goes_on_without_a_second_look(finished, medlib):
    (finished / "out" / "report.html").unlink()
    before = (finished / "out" / "test-predictions.csv").read_text()
    refused = medlib("train", finished / "pictures", "--out", finished / "out", *SHORT)
    assert "already holds a trained model" in refused.err
    resumed = (finished / "pictures", "--out", finished / "out", *SHORT, "--resume")
    assert medlib("train", *resumed).code == 0
    assert (finished / "out" / "report.html").exists()
    assert (finished / "out" / "test-predictions.csv").read_text() == before
    looks = json.loads((finished / "out" / "test-access.json").read_text())["looks"]
    assert len(looks) == 1


def test_other_pictures_do_not_go_on_with_a_training(finished, medlib):
    (finished / "out" / "report.html").unlink()
    save(blob(True, 99), finished / "pictures" / "benign" / "new.png")
    resumed = (finished / "pictures", "--out", finished / "out", *SHORT, "--resume")
    done = medlib("train", *resumed)
    assert done.code == 2
    assert "differs in data" in done.err


def test_the_test_labels_are_sealed_before_anything_is_learned(tmp_path, monkeypatch):
    seen = []

    def stop(sets, out, options, say):
        seen.extend(sets.values())
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "_trained", stop)
    with pytest.raises(KeyboardInterrupt):
        flow.train_on_own(folders(tmp_path / "p", 10), tmp_path / "out", flow.Options())
    assert [data.test.labels for data in seen] == [None]
    assert seen[0].source["kind"] == "memory"
    assert "labels" not in seen[0].source


def test_evaluate_points_to_the_report(finished, medlib):
    done = medlib("evaluate", finished / "out")
    assert done.code == 2
    assert "the test was made once" in done.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--out", "pictures/out"), "would be taken for a class"),
        ((), "say where to save"),
        (("--out", "x", "--phantom"), "your own pictures are real"),
        (("--out", "x", "--positive", "nobody"), "--positive takes one of two classes"),
        (("--out", "pictures/benign/000.png/below"), "would be taken"),
    ],
)
def test_mistakes_get_one_line(tmp_path, monkeypatch, medlib, more, said):
    folders(tmp_path / "pictures", 3)
    monkeypatch.chdir(tmp_path)
    done = medlib("train", "./pictures", *more)
    assert done.code == 2
    assert said in done.err


def test_own_options_mean_nothing_for_a_card(tmp_path, medlib):
    done = medlib("train", "breastmnist", "--audit")
    assert done.code == 2
    assert "./breastmnist" in done.err
    assert "say where to save" in medlib("train", "breastmnist", "--phantom").err


def test_only_looking_trains_nothing(tmp_path, medlib):
    root = folders(tmp_path / "p", 5)
    (root / "benign" / "bad.png").write_text("x")
    done = medlib("train", root, "--audit")
    assert done.code == 1
    assert "benign" in done.out
    assert "left out: benign/bad.png" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert json.loads(medlib("train", root, "--audit", "--json").out)["classes"] == {
        "benign": 5,
        "malignant": 5,
    }


def test_the_report_does_not_count_nameless_pictures_as_patients(tmp_path, medlib):
    folders(tmp_path / "p", 30)
    lines = [[f"{c}/{i:03d}.png", c, f"anna-{i}" if i < 9 else ""]
             for c in ("benign", "malignant") for i in range(30)]  # fmt: skip
    path = table(tmp_path / "p", ["path", "label", "patient"], lines)
    assert medlib("train", path, "--audit").out.count("9 (42 pictures name none)") == 1
    arguments = ("--out", tmp_path / "out", *SHORT, "--way", "scratch")
    assert medlib("train", path, *arguments).code == 0
    text = (tmp_path / "out" / "report.html").read_text()
    assert "of 9 patients and, 42 of them, of unknown ones" in text
    assert "42 pictures name no patient and were split one by one" in text
    assert "test pictures of" not in text


def test_the_command_runs_as_a_module():
    words = [sys.executable, "-m", "medlib", "train", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "your own pictures" in done.stdout


# ---------------------------------------------------------------- several findings, more classes


def test_several_findings_by_patient_from_scratch_and_features(tmp_path, medlib):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        big, dark = rng.integers(0, 2, 2)
        pixels = blob(bool(big), i) // np.uint8(1 + dark)
        save(pixels, tmp_path / "set" / f"{i}.png")
        findings = [n for n, there in (("big", big), ("dark", dark)) if there]
        rows.append([f"{i}.png", ";".join(findings), f"anna-{i // 2}"])
    path = table(tmp_path / "set", ["path", "labels", "patient"], rows)
    out = tmp_path / "out"
    done = medlib("train", path, "--out", out, *SHORT, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["task"] == "multi-label"
    assert summary["audit"]["patients"] == 30
    text = (out / "report.html").read_text()
    assert "whole patients" in text
    assert "missed" in text
    assert "anna" not in text + (out / "cases.csv").read_text() + done.out + done.err
    parts = {}
    for row in rows_of(out / "cases.csv"):
        parts.setdefault(row["patient"], set()).add(row["part"])
    assert all(len(part) == 1 for part in parts.values())


def test_three_classes_on_features_of_padded_colour_pictures(tmp_path, medlib):
    for k, name in enumerate(("a", "b", "c")):
        for i in range(12):
            wide = np.zeros((30, 44, 3), np.uint8)
            wide[:, :30, k] = blob(bool(i % 2), 100 * k + i, 30)
            save(wide, tmp_path / "set" / name / f"{i}.png")
    out = tmp_path / "out"
    arguments = ("--out", out, "--way", "features", "--fit", "pad", "--json")
    done = medlib("train", tmp_path / "set", *arguments)
    assert done.code == 0, done.err
    assert json.loads(done.out)["task"] == "multi-class"
    predicted = tmp_path / "scores.csv"
    assert medlib("predict", out, tmp_path / "set", "--csv", predicted).code == 0
    new = {r["file"].split("set/")[1]: r for r in rows_of(predicted)}
    for row in rows_of(out / "test-predictions.csv"):
        for name in "abc":
            assert float(new[row["file"]][name]) == pytest.approx(float(row[name]), abs=2e-6)


# ---------------------------------------------------------------- the probe as a network


@pytest.mark.parametrize("outputs", ["two", "three", "several"])
def test_a_probe_as_a_network_says_what_the_probe_says(outputs):
    from medlib.pretrained import pretrained

    rng = np.random.default_rng(0)
    images = np.stack([blob(bool(i % 2), i, 32)[None] for i in range(18)])
    labels = {"two": np.arange(18) % 2, "three": np.arange(18) % 3,
              "several": rng.integers(0, 2, (18, 3))}[outputs]  # fmt: skip
    rows = {"train": np.arange(12), "val": np.arange(12, 15), "test": np.arange(15, 18)}
    classes = ("x", "y", "z")[: labels.max() + 1 if labels.ndim == 1 else 3]
    data = own_dataset(images, labels, rows, title="t", classes=classes)
    probe = Probe(pretrained(), "logistic", grid=(0.01,), image_size=32).fit(data)
    network = probe.as_network(1)
    from medlib.train import predict_proba

    found = predict_proba(network, images, task=data.task)
    np.testing.assert_allclose(found, probe.predict_proba(images), atol=1e-5)


def test_without_the_export_packages_the_report_says_so(tmp_path, medlib, monkeypatch):
    from medlib.saved import SavedModelError

    def refuse(saved, path):
        raise SavedModelError("ONNX needs more packages: pip install 'medlib[export]'")

    monkeypatch.setattr(flow, "export_onnx", refuse)
    root = folders(tmp_path / "p", 8)
    done = medlib("train", root, "--out", tmp_path / "out", "--way", "scratch", *SHORT)
    assert done.code == 0, done.err
    assert "No ONNX file was written" in (tmp_path / "out" / "report.html").read_text()
    shutil.rmtree(tmp_path / "out")

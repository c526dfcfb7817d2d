"""Long runs: killed and resumed they give the same bytes, and look at a test split once."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from book.workflow import long, long_jobs, long_models, long_validate
from book.workflow.long_architectures import (
    MASK_RECIPE,
    SEEDS,
    SETS,
    STOCK,
    ablation_jobs,
    architecture_jobs,
    mask_jobs,
    stock_jobs,
)
from book.workflow.long_classical import DESCRIPTORS, GRIDS, fitted
from book.workflow.long_jobs import (
    BASELINES,
    CHOSEN,
    RECIPES,
    AtFullSize,
    Baseline,
    Combination,
    Training,
)
from book.workflow.long_table import JOBS
from medlib import paths, results
from medlib import run as run_module
from medlib.augment import Augment
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.errors import MedlibError, TestSplitUsed
from medlib.evaluate import evaluate_once
from medlib.long_runs import long_records
from medlib.predict import predict_masks
from medlib.publish import NotPublishable
from medlib.publish_long import publish_long
from medlib.recipe import Recipe
from medlib.verify import rescore, verify

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(epochs=6, batch_size=16, augment=Augment(flip_horizontal=True, shift=0.08))
TINY = {"width": 4, "blocks": (1,)}
FIRST = Training("tiny", "breastmnist", 0, 0.1, "04-08-benchmark", RECIPE, "resnet_small", TINY)
SECOND = replace(FIRST, seed=1)
BOTH = Combination("tiny-average", "breastmnist", 0, 0.1, members=(FIRST, SECOND), over_views=True)
SCRIPT = """
import sys, time
sys.path[:0] = [{tests!r}]
from test_long import FIRST, tiny_set
from book.workflow import long
from medlib import train
step = train._Training.save
def slow(self, path):
    step(self, path)
    time.sleep({pause})
train._Training.save = slow
long.work(FIRST, tiny_set(), "a-commit")
"""


def tiny_set():
    """Return a small phantom of BreastMNIST."""
    return phantom_like(card("breastmnist")).subset(64)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Let the long runs write below a temporary folder."""
    monkeypatch.setenv("MEDLIB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(run_module, "_active", None)
    monkeypatch.setattr(results, "published_dir", lambda profile: tmp_path / "edition" / profile)
    return tmp_path / "build" / "long"


def script(pause=0.0):
    return [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parent), pause=pause)]


def scores_file(build):
    return build / "scores" / FIRST.chapter / f"{FIRST.id}__phantom.csv"


def test_killed_and_resumed_it_gives_the_same_bytes(build, tmp_path, monkeypatch):
    process = subprocess.Popen(
        script(pause=30), cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    checkpoint = build / "jobs" / FIRST.id / "checkpoint.pt"
    until = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not scores_file(build).exists()
    monkeypatch.setattr(long.data, "data_status", lambda names: dict.fromkeys(names, "here"))
    assert long.state(FIRST) == "begun"

    record = long.work(FIRST, tiny_set(), "a-commit")
    assert len(record["stamp"]["sessions"]) == 2
    assert [epoch["epoch"] for epoch in record["history"]["epochs"]] == list(range(6))
    assert long.state(FIRST) == "done"
    assert not checkpoint.exists()

    monkeypatch.setenv("MEDLIB_BUILD", str(tmp_path / "other"))
    whole = long.work(FIRST, tiny_set(), "a-commit")
    assert len(whole["stamp"]["sessions"]) == 1
    assert scores_file(tmp_path / "other" / "long").read_bytes() == scores_file(build).read_bytes()


def accesses(build):
    path = build / "results" / f"{FIRST.chapter}.json"
    return json.loads(path.read_text())["accesses"]


def test_the_test_split_is_looked_at_once_over_all_processes(build, monkeypatch):
    record = long.work(FIRST, tiny_set(), None)
    assert record["scores"] == scores_file(build).name
    monkeypatch.setattr(long_jobs, "evaluate_once", lambda *a, **k: pytest.fail("a second look"))
    assert long.work(FIRST, tiny_set(), None) == record
    long.record_file(FIRST).unlink()  # killed between scores and record
    again = long.work(FIRST, tiny_set(), None)
    assert again["validation"] == record["validation"]
    run_module.resume(FIRST.chapter, seed=0)  # as another process would
    with pytest.raises(TestSplitUsed, match="already scored"):
        evaluate_once(lambda images: 1 / 0, tiny_set(), model_id=FIRST.model_id, seed=0)
    assert len(accesses(build)) == 1


def test_a_look_that_left_no_scores_is_finished_and_stays_one_look(build):
    long.work(FIRST, tiny_set(), None)
    before = scores_file(build).read_bytes()
    for path in (scores_file(build), long.record_file(FIRST)):
        path.unlink()  # as if killed between the log and the file
    long.work(FIRST, tiny_set(), None)
    assert scores_file(build).read_bytes() == before
    assert len(accesses(build)) == 1


def test_a_second_job_keeps_the_log_of_the_first(build):
    long.work(FIRST, tiny_set(), None)
    long.work(SECOND, tiny_set(), None)
    assert [look["seed"] for look in accesses(build)] == [0, 1]


def test_two_processes_cannot_work_on_one_job(build):
    with (
        long.exclusive(long.folder() / FIRST.id / "lock"),
        pytest.raises(MedlibError, match="at work in another process"),
    ):
        long.work(FIRST, tiny_set(), None)


def test_a_combination_averages_its_members_over_views(build):
    dataset = tiny_set()
    models = [
        long_models.Network(job.trained(dataset, long.folder())[0], "binary")
        for job in (FIRST, SECOND)
    ]
    views = long_models.views(RECIPE.augment)
    images = dataset.val.images
    expected = np.mean([m.predict_proba(v(images)) for m in models for v in views], axis=0)
    made, details = BOTH.predictor(dataset, long.folder())
    np.testing.assert_allclose(made.predict_proba(images), expected, atol=1e-12)
    assert details["members"] == [FIRST.id, SECOND.id]


def test_a_probe_counts_as_much_as_all_networks(build, monkeypatch):
    def grey_values(self, images):
        return images.reshape(len(images), -1)[:, ::97].astype(float)

    monkeypatch.setattr(long_models.Probe, "features", grey_values)
    dataset = tiny_set()
    job = replace(BOTH, over_views=False, probe_size=112)
    made, details = job.predictor(dataset, long.folder())
    images = dataset.val.images
    networks = replace(job, probe_size=None).predictor(dataset, long.folder())[0]
    probe = long_models.Probe(112).fit(dataset.train)
    expected = (networks.predict_proba(images) + probe.predict_proba(images)) / 2
    np.testing.assert_allclose(made.predict_proba(images), expected, atol=1e-12)
    assert details["probe"]["image_size"] == 112
    alone = replace(job, members=()).predictor(dataset, long.folder())[0]
    np.testing.assert_allclose(alone.predict_proba(images), probe.predict_proba(images))


def test_views_are_flips_turns_and_shifts_of_the_augmentation():
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 28, 28), dtype=np.uint8)
    few = long_models.views(Augment())
    assert len(few) == 1
    assert np.array_equal(few[0](images), images)
    some = long_models.views(Augment(flip_horizontal=True, shift=0.08))
    assert len({view(images).tobytes() for view in some}) == 10
    assert np.array_equal(some[1](images), images[..., ::-1])
    around = Augment(flip_horizontal=True, flip_vertical=True, rotation=180)
    assert len({view(images).tobytes() for view in long_models.views(around)}) == 8


def test_a_shift_repeats_the_border():
    images = np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3)
    assert long_models.shifted(images, 1, 0)[0, 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert long_models.shifted(images, 0, -1)[0, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]


def test_cheapest_first_and_members_before_their_combination(monkeypatch, build):
    monkeypatch.setattr(long.data, "data_status", lambda names: dict.fromkeys(names, "here"))
    dear = replace(FIRST, model_id="dear", minutes=9.0)
    assert long.pending([dear, BOTH, SECOND, FIRST]) == [FIRST, SECOND, dear]
    for job in (FIRST, SECOND):
        long.work(job, tiny_set(), None)
    assert long.pending([dear, BOTH, SECOND, FIRST]) == [BOTH, dear]
    assert "done" in "\n".join(long.table([FIRST]))


class ScriptedRunner(long.Runner):
    """A runner whose processes train the tiny job, slowly, and never end by themselves."""

    def _process(self, job):
        return subprocess.Popen(script(pause=1.5), cwd=ROOT)


def test_the_runner_stops_behind_a_checkpoint_when_its_time_is_over(build, monkeypatch):
    monkeypatch.setattr(long.data, "data_status", lambda names: dict.fromkeys(names, "here"))
    runner = ScriptedRunner([FIRST], workers=1, minutes=0.05)
    assert runner.run() == 0
    assert long.state(FIRST) == "begun"
    assert ScriptedRunner([FIRST], workers=1, minutes=5).run() == 0
    assert long.state(FIRST) == "done"


class BrokenRunner(long.Runner):
    """A runner whose processes fail."""

    def _process(self, job):
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])


def test_a_failed_job_is_named_and_not_tried_again(build, monkeypatch, capsys):
    monkeypatch.setattr(long.data, "data_status", lambda names: dict.fromkeys(names, "here"))
    assert BrokenRunner([FIRST], workers=2, minutes=1).run() == 1
    assert f"failed: {FIRST.id}" in capsys.readouterr().out


def test_nothing_is_scored_before_the_sources_are_committed(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "medlib").mkdir()
    (tmp_path / "medlib" / "recipe.py").write_text("a = 1\n")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    assert long.frozen_commit() is None
    git("init", "-q")
    with pytest.raises(MedlibError, match="not committed: medlib"):
        long.frozen_commit()
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "x")
    assert len(long.frozen_commit()) == 40


def real_run(build):
    """Make the finished phantom job look like one on real images."""
    long.work(FIRST, tiny_set(), None)
    record = json.loads(long.record_file(FIRST).read_text())
    record |= {"synthetic": False, "scores": f"{FIRST.id}.csv"}
    results.write_json(long.record_file(FIRST), record)
    text = scores_file(build).read_text().replace("phantom_index", "index")
    results.write_text(scores_file(build).with_name(f"{FIRST.id}.csv"), text)


def test_publishing_adds_and_verify_scores_again(build, tmp_path):
    real_run(build)
    edition = tmp_path / "edition" / "long"
    results.write_json(edition / "search.json", {"rows": []})
    publish_long()
    before = {path: path.read_bytes() for path in edition.rglob("*") if path.is_file()}
    assert (edition / "search.json") in before
    assert (edition / "jobs" / f"{FIRST.id}.json") in before
    assert rescore(edition) == (1, [])
    assert verify("cpu", published=tmp_path / "edition" / "cpu").rescored == 1
    publish_long()
    assert {path: path.read_bytes() for path in edition.rglob("*") if path.is_file()} == before
    assert long.state(FIRST) == "published"

    target = edition / "scores" / FIRST.chapter / f"{FIRST.id}.csv"
    target.write_text(target.read_text().replace(",1,", ",0,", 1))
    assert rescore(edition)[1]
    with pytest.raises(NotPublishable, match="other scores are published under this name"):
        publish_long()


def test_phantoms_are_never_published(build, tmp_path):
    long.work(FIRST, tiny_set(), None)
    with pytest.raises(NotPublishable, match="ran on phantoms"):
        publish_long()
    assert not (tmp_path / "edition").exists()


def test_the_table_of_jobs_is_what_was_announced():
    assert len({job.id for job in JOBS}) == len(JOBS)
    here = [job for job in JOBS if job.device == "cpu"]
    ours = [job for job in here if job.model_id == "resnet-small"]
    assert {(job.data, job.seed) for job in ours} == {(d, s) for d in RECIPES for s in range(5)}
    published = [job for job in here if job.model_id == "resnet18"]
    assert len(published) == 7
    assert all(job.recipe == replace(Recipe.medmnist(), amp=True) for job in published)


def test_every_architecture_stands_under_one_budget():
    arms = [job for job in architecture_jobs()]
    assert {job.data for job in arms} == set(SETS)
    assert all(job.recipe == Recipe.small() for job in (*arms, *ablation_jobs()))
    assert {seed for seed in SEEDS} == {job.seed for job in arms}
    assert len(list(ablation_jobs())) == 8 * len(SETS) * len(SEEDS)
    budgets = {(job.recipe.min_steps, job.recipe.batch_size) for job in mask_jobs() if has(job)}
    assert budgets == {(MASK_RECIPE.min_steps, MASK_RECIPE.batch_size)}


def has(job):
    """Tell whether a job trains."""
    return isinstance(job, Training)


@pytest.mark.parametrize("model_id", ["fcn8s", "unet-two-heads", "plain", "fcn8s-pooled"])
def test_jobs_on_masks_learn_and_are_judged(model_id, build, monkeypatch):
    dataset = phantom_like(card("busi128")).subset(24)
    job = next(job for job in mask_jobs() if job.model_id == model_id and has(job))
    record = long.work(replace(job, recipe=job.recipe.capped(2)), dataset, None)
    assert record["synthetic"]
    judged = {"dice", "lesion_dice"} if job.variant else {"auc", "accuracy"}
    assert set(record["validation"]) == judged
    assert (record["variant"] == "masks") == (model_id == "fcn8s")


def test_two_heads_are_looked_at_through_both_doors(build):
    dataset = phantom_like(card("busi128")).subset(24)
    label, mask = (job for job in mask_jobs() if job.model_id == "unet-two-heads" and not job.seed)
    label = replace(label, recipe=label.recipe.capped(2))
    assert mask.needs[0].id == label.id
    long.work(label, dataset, None)
    long.work(replace(mask, member=label), dataset, None)
    looks = results.read_json(build / "results" / f"{label.chapter}.json")["accesses"]
    assert sorted(look["variant"] for look in looks) == ["", "masks"]


def test_maps_of_a_classifier_are_judged_as_masks(build):
    dataset = phantom_like(card("busi128")).subset(24)
    label, mask = (job for job in mask_jobs() if job.model_id == "fcn8s-pooled" and not job.seed)
    label = replace(label, recipe=label.recipe.capped(2))
    assert mask.needs[0].id == label.id
    mask = replace(mask, member=label)
    record = long.work(mask, dataset, None)
    assert (record["variant"], record["members"]) == ("masks", [label.id])
    assert set(record["pointing"]) == {"maps", "mean_mask"}
    model = mask.predictor(dataset, long.folder())[0]
    assert model.threshold == record["threshold"]
    assert mask.validate(model, dataset) == record["validation"]


def test_records_of_masks_are_read_by_their_variant(build, tmp_path):
    jobs = tmp_path / "edition" / "long" / "jobs"
    results.write_json(jobs / "unet__busi128__seed0__masks.json", {"seed": 0})
    assert long_records("unet", "busi128", "masks") == [{"seed": 0}]
    with pytest.raises(MedlibError, match="no long run has a record"):
        long_records("unet", "busi128")


def test_masks_that_no_image_changes_are_jobs(build):
    dataset = phantom_like(card("busi128")).subset(24)
    empty, usual = (job for job in mask_jobs() if job.model_id in {"empty-mask", "mean-mask"})
    record = long.work(empty, dataset, None)
    assert record["validation"]["lesion_dice"] == 0
    assert record["validation"]["dice"] == pytest.approx((dataset.val.labels == 0).mean())
    record = long.work(usual, dataset, None)
    assert record["validation"]["dice"] >= 0
    masks = predict_masks(usual.predictor(dataset, long.folder())[0], dataset.val.images)
    assert (masks == masks[0]).all()
    assert np.array_equal(masks[0], dataset.train.masks.mean(0) > record["threshold"])


def test_masks_are_found_then_their_signs_classified(build):
    dataset = phantom_like(card("busi128")).subset(40)
    job = next(job for job in mask_jobs() if job.model_id == "segnet-shapes")
    (member,) = job.needs
    assert (member.model_id, member.data, member.seed) == ("segnet", "busi128", job.seed)
    job = replace(job, member=replace(member, recipe=member.recipe.capped(2)))
    record = long.work(job, dataset, None)
    fits = record["fits"]
    judged = {kind: fits[kind]["validation"]["found"]["auc"] for kind in ("found", "true")}
    assert judged[record["fitted_on"]] == max(judged.values())
    assert record["validation"]["auc"] == pytest.approx(max(judged.values()), abs=1e-5)
    assert set(fits["true"]["weights"]) == set(dataset.class_names)
    assert len(record["cases"]["dice"]) == len(dataset.val)
    untouched = [row for row in record["worsened"] if row["pixels"] == 0]
    assert all(row["lesion_dice"] == 1 for row in untouched)
    assert untouched[0]["auc"] == fits["true"]["validation"]["true"]["auc"]
    (look,) = results.read_json(build / "results" / f"{job.chapter}.json")["accesses"]
    assert (look["model_id"], look["variant"]) == ("segnet-shapes", "")


@pytest.mark.parametrize("family", GRIDS)
@pytest.mark.parametrize("name", ["breastmnist", "retinamnist"])
def test_a_classifier_without_a_network_is_chosen_on_training_images(family, name):
    train = phantom_like(card(name)).subset(80).train
    model, chosen = fitted(family, train.images, train.labels, seed=0)
    found = model.predict_proba(train.images)
    assert found.shape == (len(train), train.labels.max() + 1)
    assert chosen.descriptor in DESCRIPTORS
    assert 0 <= chosen.auc <= 1


@pytest.mark.parametrize("name", BASELINES)
def test_trivial_baselines_are_jobs(name, build):
    job = Baseline(name, "breastmnist", 0, 0.1, "03-10-side-by-side")
    record = long.work(job, tiny_set(), None)
    assert record["validation"]["auc"] == 0.5 or name != "constant"


def test_the_jobs_use_what_validation_decided():
    record = json.loads((ROOT / "results" / "long" / long_validate.RECORD).read_text())
    assert {k: long_validate.RECIPES[v] for k, v in record["recipe_of"].items()} == RECIPES
    assert record["chosen"] == CHOSEN
    assert record["recipes"]["small"]["min_steps"] == Recipe.small().min_steps


def test_validation_never_sees_a_test_image():
    dataset = phantom_like(card("breastmnist")).subset(60)
    fold, held_out = long_validate.fold(dataset, 0)
    seen = {image.tobytes() for image in [*dataset.train.images, *dataset.val.images]}
    parts = [fold.train.images, fold.val.images, held_out.images]
    used = [image.tobytes() for part in parts for image in part]
    assert sorted(set(used)) == sorted(seen)
    assert len(used) == len(dataset.train) + len(dataset.val)


def test_the_summary_compares_on_the_same_splits():
    single = {"auc": 0.8, "accuracy": 0.7}
    better = {"auc": 0.9, "accuracy": 0.8}
    rows = [
        {"data": "d", "recipe": "small", "repeat": r, "single": single, "seeds": better}
        for r in range(2)
    ]
    lines = {line["candidate"]: line for line in long_validate.summary(rows)}
    assert lines["seeds"]["gain"] == pytest.approx(0.1)
    assert lines["single"]["gain"] == 0


def test_stock_sizes_wait_for_a_gpu(build, monkeypatch):
    jobs = list(stock_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == len(STOCK) * len(SETS) * len(SEEDS)
    monkeypatch.setattr(long, "has_gpu", lambda: False)
    assert {long.state(job) for job in jobs} == {"no GPU"}
    assert long.pending(jobs) == []
    monkeypatch.setattr(long, "has_gpu", lambda: True)
    assert "no GPU" not in {long.state(job) for job in jobs}


@pytest.mark.parametrize(
    "network", ["resnet18", *(pytest.param(n, marks=pytest.mark.proofs) for n in STOCK[:4])]
)
def test_stock_sizes_take_the_same_way_on_a_cpu(network, build, monkeypatch):
    monkeypatch.setattr(AtFullSize, "device", "cpu")
    job = next(job for job in stock_jobs() if job.network == network)
    images = phantom_like(card(job.data).at_size(job.image_size)).subset(8)
    assert images.train.images.shape[-1] == 224
    capped = replace(job, recipe=replace(job.recipe.capped(1), batch_size=4))
    record = long.work(capped, images, None)
    assert set(record["validation"]) == {"auc", "accuracy"}

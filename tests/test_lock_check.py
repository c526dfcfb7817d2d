"""The lock check: each kind of violation, planted, is found; legal code and the clean tree pass."""

import ast
import textwrap

import pytest

from book.workflow import lock_check
from book.workflow.lock_graph import Graph
from book.workflow.lock_names import code_of_chapter, read_unit

HEAD = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A chapter

```{code-cell}
:tags: [parameters]

profile = "cpu"
```

```{code-cell}
import medlib
import numpy as np
from medlib import create, evaluate_once, fit, record, show
from medlib.evaluate import read_scores, shown
from medlib.train import Recipe

run = medlib.begin("03-05-resnet", profile=profile)
breast = run.load("breastmnist")
```

"""
TRAINED = """
recipe = run.recipe(Recipe.small())
model = create("lenet5", in_channels=1, num_classes=2, image_size=28)
fit(model, breast, recipe)
scores = evaluate_once(model, breast, model_id="lenet5", seed=0)
"""


@pytest.fixture(scope="module")
def rules():
    """Return the rules with the call graph of the real medlib."""
    paths = sorted((lock_check.ROOT / "medlib").rglob("*.py"))
    return lock_check.Rules(Graph(read_unit(path, lock_check.ROOT) for path in paths))


@pytest.fixture
def chapter(tmp_path, rules):
    """Return a function that checks code as a chapter's last cell."""

    def check(code, name="03-05-resnet"):
        path = tmp_path / "notebooks" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{HEAD}```{{code-cell}}\n{textwrap.dedent(code).strip()}\n```\n")
        return sorted(set(rules.check(read_unit(path, tmp_path))))

    return check


def rules_of(findings):
    return {finding.rule for finding in findings}


# ---------------------------------------------------------------- the lock, in chapters

LOCK = {
    "module": "import medlib.data.locked",
    "from": "from medlib.data import locked",
    "from alias": "from medlib.data import locked as x\nx.read_test_labels(breast)",
    "function": "from medlib.data.locked import read_test_labels as f",
    "dotted": "medlib.data.locked.read_test_labels(breast)",
    "package alias": "import medlib.data as d\nd.locked",
    "second alias": "import medlib.data as d\ne = d\ny = e.locked",
    "masks": "medlib.data.locked.read_test_masks(breast)",
    "getattr": "import medlib.data as d\ngetattr(d, 'locked')",
    "getattr in pieces": "import medlib.data as d\ngetattr(d, 'loc' + 'ked')",
    "getattr joined": "import medlib.data as d\ngetattr(d, ''.join(['lock', 'ed']))",
    "getattr by name": "import medlib.data as d\nname = 'locked'\ngetattr(d, name)",
    "getattr reversed": "import medlib.data as d\ngetattr(d, 'dekcol'[::-1])",
    "getattr formatted": "import medlib.data as d\nk = 'ked'\ngetattr(d, f'loc{k}')",
    "getattr through a list": "import medlib.data as d\ngetattr([d][0], 'loc' + 'ked')",
    "attribute of something unknown": "def f(d):\n    return d.locked.read_test_labels(breast)",
    "vars": "import medlib.data as d\nvars(d)['locked']",
    "dict": "import medlib.data as d\nd.__dict__['locked']",
    "sys.modules": "import sys\nsys.modules['medlib.data.locked']",
    "tuple of modules": "import medlib.data as d\na, b = d.locked, 1",
    "conditional": "import medlib.data as d\nx = d.locked if profile else None",
    "the door's inside": "medlib.evaluate._evaluate(None, breast, None)",
    "inside the door of masks": "medlib.evaluate._evaluate_masks(None, breast, None)",
    "phantom answers": "medlib.data.phantoms.answers_like(breast.card, 'test', 0)",
    "whole table": "medlib.data.loading.wisconsin_table(breast.card)",
    "whole arrays": "medlib.data.archive.read_arrays('x.npz')",
    "array name": "name = 'test_labels'",
    "array name in pieces": "name = 'test' + '_labels'",
}


@pytest.mark.parametrize("code", LOCK.values(), ids=LOCK)
def test_the_lock_is_found_in_a_chapter(chapter, code):
    assert "lock" in rules_of(chapter(code))


def test_showing_the_source_of_the_lock_is_legal(chapter):
    assert not chapter("show(medlib.data.locked.read_test_labels)\nshow(medlib.evaluate._evaluate)")
    own = "def show(x):\n    return x\nshow(medlib.data.locked.read_test_labels)(breast)"
    assert "lock" in rules_of(chapter(own))
    assert "lock" in rules_of(chapter("show(medlib.data.locked.read_test_labels(breast))"))


# ---------------------------------------------------------------- data past the library

DATA = {
    "np.load": "np.load('breastmnist.npz')",
    "np.load alias": "from numpy import load as get\nget(breast.source['path'])",
    "np.load kept": "reader = np.load\nreader('x')",
    "memmap": "np.memmap('x')",
    "zip": "import zipfile\nzipfile.ZipFile('x')",
    "zip from": "from zipfile import ZipFile",
    "pickle": "import pickle\npickle.load(None)",
    "medmnist": "from medmnist import BreastMNIST\nBreastMNIST(split='test')",
    "medmnist dotted": "import medmnist\nmedmnist.BreastMNIST(split='test')",
    "medmnist evaluator": "from medmnist import Evaluator",
    "medmnist getattr": "import medmnist\ngetattr(medmnist, 'BreastMNIST')",
    "wisconsin": "from sklearn.datasets import load_breast_cancer",
    "wisconsin dotted": "import sklearn.datasets as s\ns.load_breast_cancer()",
    "openml": "from sklearn.datasets import fetch_openml",
}


@pytest.mark.parametrize("code", DATA.values(), ids=DATA)
def test_data_read_past_the_library_is_found(chapter, code):
    assert "data" in rules_of(chapter(code))


def test_the_registry_of_medmnist_and_made_data_are_legal(chapter):
    assert not chapter(
        """
        import medmnist
        from medmnist import INFO
        from sklearn.datasets import make_moons
        len(medmnist.INFO), medmnist.__version__, make_moons(10)
        """
    )


# ---------------------------------------------------------------- what cannot be followed

DYNAMIC = {
    "exec": "exec('x = 1')",
    "eval": "eval('1')",
    "compile": "compile('1', '', 'eval')",
    "import function": "__import__('medlib' + profile)",
    "importlib": "import importlib\nimportlib.import_module('js' + 'on')",
    "importlib alias": "from importlib import import_module as f\nf(profile)",
    "getattr": "getattr(breast, run.chapter)",
    "getattr by an argument": "n = 'x'\ndef f(n):\n    return getattr(breast, n)",
    "globals": "globals()['breast']",
    "modules": "import sys\nsys.modules[profile]",
    "star": "from medlib.data import *",
    "shell": "!cat .cache/medlib/breastmnist.npz",
    "magic": "%run other.py",
    "subprocess": "import subprocess\nsubprocess.run(['python'])",
    "os.system": "import os\nos.system('x')",
    "attrgetter": "from operator import attrgetter\nattrgetter('locked')(breast)",
}


@pytest.mark.parametrize("code", DYNAMIC.values(), ids=DYNAMIC)
def test_what_cannot_be_followed_is_found(chapter, code):
    assert "dynamic" in rules_of(chapter(code))


def test_methods_called_eval_and_compile_are_legal(chapter):
    assert not chapter("import re\nimport torch\nre.compile('x')\ntorch.nn.Flatten().eval()")


# ---------------------------------------------------------------- audits

AUDITS = [
    "from medlib.evaluate import evaluate_audit",
    "medlib.evaluate.evaluate_audit(model, breast, reason='r', model_id='m', seed=0)",
    "getattr(medlib.evaluate, 'evaluate' + '_audit')",
    "import medlib.evaluate as e\naudit = e.evaluate_audit",
]


@pytest.mark.parametrize("code", AUDITS)
def test_an_audit_belongs_to_its_chapters(chapter, code):
    assert rules_of(chapter(code)) == {"audit"}
    assert not chapter(code, "02-03-splits-and-leakage")
    assert not chapter(code, "04-08-benchmark")


# ---------------------------------------------------------------- score files

FILES = {
    "read_scores": "read_scores('x')",
    "read_scores alias": "from medlib.evaluate import read_scores as r\nr('x')",
    "text": "open('results/cpu/03-05-resnet.json')",
    "build": "run.build / 'scores'",
    "name": "p = '_build/cpu/x'",
    "path of scores": TRAINED + "import pandas as pd\npd.read_csv(scores.path)",
    "source": "open(breast.source['path'], 'rb')",
    "npz": "x = '.cache/medlib/breastmnist.npz'",
}


@pytest.mark.parametrize("code", FILES.values(), ids=FILES)
def test_files_of_scores_are_found(chapter, code):
    assert "scores" in rules_of(chapter(code))


def test_stored_scores_may_be_shown(chapter):
    assert not chapter("table = shown([read_scores(p) for p in run.published('resnet18')])")


# ---------------------------------------------------------------- flows

FLOWS = {
    "value": "auc = scores.value('auc')\nfit(model, breast, auc)",
    "keyword": "fit(model, breast, recipe=scores.value('auc'))",
    "probabilities": "from sklearn.svm import SVC\nSVC().fit(scores.probabilities, scores.labels)",
    "receiver": "best = scores.value('auc')\nfrom sklearn.svm import SVC\nSVC(C=best).fit([], [])",
    "recipe": "Recipe(learning_rate=scores.value('auc'))",
    "threshold": "choose_threshold(scores.labels, scores.probabilities)",
    "select": "select_best({'a': scores})",
    "calibrate": "fit_temperature(scores.probabilities, scores.labels)",
    "through a list": "rows = []\nrows.append(scores)\nfit(model, breast, rows[0])",
    "through a dict": "rows = {}\nrows['a'] = scores\nfor k, v in rows.items():\n    tune(v)",
    "through an object": "class A: pass\na = A()\na.b = scores\nfit(model, breast, a)",
    "comprehension": "values = [s.value('auc') for s in [scores]]\nchoose_epoch(max(values))",
    "best of a dict": (
        "found = {'a': scores}\nbest = max(found, key=lambda k: found[k].value('auc'))\n"
        "fit(create(best), breast, recipe)"
    ),
    "sorted items": (
        "found = {0.1: scores}\n"
        "best, _ = sorted(found.items(), key=lambda kv: kv[1].value('auc'))[0]\n"
        "fit(model, breast, Recipe(learning_rate=best))"
    ),
    "argmax": "k = int(np.argmax([scores.value('auc')]))\nfit(model, breast, [recipe][k])",
    "branch": "if scores.value('auc') > 0.9:\n    fit(model, breast, recipe)",
    "else": "if scores.value('auc') > 0.9:\n    pass\nelse:\n    fit(model, breast, recipe)",
    "value from a branch": (
        "rate = 0.1\nif scores.value('auc') > 0.9:\n    rate = 0.2\n"
        "fit(model, breast, Recipe(learning_rate=rate))"
    ),
    "conditional expression": "fit(model, breast, recipe if scores.value('auc') > 0.9 else None)",
    "while": "while scores.value('auc') < 0.9:\n    fit(model, breast, recipe)",
    "early end of a loop": (
        "for epoch in range(9):\n    fit(model, breast, recipe)\n"
        "    s = evaluate_once(model, breast, model_id='m', seed=epoch)\n"
        "    if s.value('auc') > 0.9:\n        break"
    ),
    "best so far": (
        "best, rate = 0, 0\nfor r in [0.1, 0.2]:\n    fit(model, breast, Recipe(learning_rate=r))\n"
        "    s = evaluate_once(model, breast, model_id='m', seed=0)\n"
        "    if s.value('auc') > best:\n        best, rate = s.value('auc'), r\n"
        "fit(model, breast, Recipe(learning_rate=rate))"
    ),
    "second round of a loop": (
        "last = None\nfor r in [0.1, 0.2]:\n    fit(model, breast, last)\n"
        "    last = evaluate_once(model, breast, model_id='m', seed=0)"
    ),
    "helper returns": "def auc(s):\n    return s.value('auc')\nfit(model, breast, auc(scores))",
    "helper evaluates": (
        "def test():\n    return evaluate_once(model, breast, model_id='m', seed=0)\n"
        "fit(model, breast, test())"
    ),
    "helper trains": "def train(r):\n    fit(model, breast, r)\ntrain(scores.value('auc'))",
    "helper of a helper": (
        "def a(s):\n    return b(s)\n"
        "def b(s):\n    return s.value('auc')\nfit(model, breast, a(scores))"
    ),
    "helper reads a global": (
        "def train():\n    fit(model, breast, auc)\nauc = scores.value('auc')\ntrain()"
    ),
    "helper writes a global": (
        "rate = 0\ndef keep(s):\n    global rate\n    rate = s.value('auc')\nkeep(scores)\n"
        "fit(model, breast, rate)"
    ),
    "helper fills a list": (
        "def keep(rows, s):\n    rows.append(s)\n"
        "rows = []\nkeep(rows, scores)\nfit(model, breast, rows)"
    ),
    "helper returns a pair": (
        "def both():\n"
        "    s = evaluate_once(model, breast, model_id='m', seed=0)\n    return model, s\n"
        "_, s = both()\nfit(model, breast, s)"
    ),
    "early return": (
        "def train(s):\n    if s.value('auc') > 0.9:\n"
        "        return\n    fit(model, breast, recipe)\n"
        "train(scores)"
    ),
    "lambda": "auc = lambda s: s.value('auc')\nfit(model, breast, auc(scores))",
    "lambda trains": "go = lambda r: fit(model, breast, r)\ngo(scores)",
    "alias of fit": "train = fit\ntrain(model, breast, scores)",
    "masks": (
        "from medlib import evaluate_masks_once\n"
        "made = evaluate_masks_once(model, breast, model_id='m', seed=0)\n"
        "best_of(made.value('dice'))"
    ),
    "alias of the door": "look = evaluate_once\ns = look(model, breast)\nfit(model, breast, s)",
    "partial": "from functools import partial\npartial(fit, model, breast)(scores)",
    "map": "list(map(lambda s: fit(model, breast, s), [scores]))",
    "handed over": "list(map(fit, [scores]))",
    "class": (
        "class T:\n    def __init__(self, s):\n        self.s = s\n"
        "    def go(self):\n        fit(model, breast, self.s)\nT(scores).go()"
    ),
    "method": (
        "class T:\n    def auc(self, s):\n        return s.value('auc')\n"
        "fit(model, breast, T().auc(scores))"
    ),
    "generator": (
        "def values():\n    yield scores.value('auc')\n"
        "for v in values():\n    fit(model, breast, v)"
    ),
    "walrus": "fit(model, breast, (auc := scores.value('auc')))",
    "walrus later": "print(auc := scores.value('auc'))\nfit(model, breast, auc)",
    "with": "with scores as s:\n    fit(model, breast, s)",
    "try": "try:\n    s = scores\nexcept ValueError:\n    s = None\nfit(model, breast, s)",
    "match": "match scores.value('auc'):\n    case x if x > 0.9:\n        fit(model, breast, x)",
    "augmented": "total = 0\ntotal += scores.value('auc')\nfit(model, breast, total)",
    "starred": "fit(*[model, breast, scores])",
    "keywords": "options = {'recipe': scores}\nfit(model, breast, **options)",
    "setattr": "class A: pass\na = A()\nsetattr(a, 'b', scores)\nfit(model, breast, a)",
    "unbound append": "rows = []\nlist.append(rows, scores)\nfit(model, breast, rows)",
    "shown": "fit(model, breast, shown([scores])[0])",
    "long runs": "choose_epoch(medlib.long_scores('03-10-x', 'vgg', 'toy')[0].value('auc'))",
    "recorded": "r = record('x', scores=[scores])\nfit(model, breast, r.value)",
    "zip": "for r, s in zip([1, 2], [scores, scores]):\n    fit(model, breast, s)",
    "hand-made step": (
        "import torch\nloss = torch.tensor(scores.probabilities).sum()\nloss.backward()"
    ),
    "grid search": (
        "from sklearn.model_selection import GridSearchCV\nGridSearchCV(None, {'C': [scores]})"
    ),
}


@pytest.mark.parametrize("code", FLOWS.values(), ids=FLOWS)
def test_a_flow_into_training_or_choosing_is_found(chapter, code):
    assert rules_of(chapter(TRAINED + code)) == {"flow"}


LEGAL = {
    "nothing": "",
    "table": "medlib.tables.score_table([scores])\nprint(scores.value('auc'), len(scores.labels))",
    "plots": (
        "medlib.plots.roc({'LeNet-5': shown([scores])})\n"
        "from matplotlib import pyplot as plt\n"
        "figure, axes = plt.subplots()\naxes.plot(scores.probabilities)\nplt.show()"
    ),
    "record": "record('x', scores=[scores])\nrun.measure('seconds', 1.0, unit='s')",
    "several models in a loop": """
results = {}
for name in ("lenet5", "alexnet"):
    for s in run.seeds:
        model = create(name, in_channels=1, num_classes=2, image_size=28)
        fit(model, breast, recipe, seed=s)
        results.setdefault(name, []).append(evaluate_once(model, breast, model_id=name, seed=s))
record("x", scores=results["lenet5"])
for name, found in results.items():
    print(name, np.mean([s.value("auc") for s in found]))
""",
    "one function trains and tests": """
def train_and_test(name, s):
    model = create(name, in_channels=1, num_classes=2, image_size=28)
    history = fit(model, breast, recipe, seed=s)
    return history, evaluate_once(model, breast, model_id=name, seed=s)

found = [train_and_test("lenet5", s) for s in run.seeds]
found += [train_and_test("alexnet", s) for s in run.seeds]
""",
    "a name used again": "scores = [0.5]\nfit(model, breast, Recipe(learning_rate=scores[0]))",
    "validation": """
p = medlib.predict_proba(model, breast.val.images, task="binary")
threshold = choose_threshold(breast.val.labels, p)
fit_temperature(p, breast.val.labels)
best = max([0.1, 0.2], key=lambda r: float(np.mean(p)))
fit(model, breast, Recipe(learning_rate=best))
""",
    "decisions at a threshold from validation": """
threshold = choose_threshold(breast.val.labels, breast.val.images)
found = scores.probabilities[:, 1] > threshold
print(found.mean(), scores.probabilities.argmax(axis=1))
""",
    "what a model is called": (
        "for s in [scores]:\n    fit(create(s.model_id), breast, recipe, seed=s.seed)"
    ),
    "a pair kept apart": """
def both():
    return model, evaluate_once(model, breast, model_id="m", seed=0)

again, s = both()
fit(again, breast, recipe)
""",
    "zip with seeds": (
        "for k, s in zip(run.seeds, [scores]):\n    fit(model, breast, recipe, seed=k)"
    ),
    "sanity check": "assert scores.value('auc') > 0.4\nfit(model, breast, recipe)",
    "conditional text": "word = 'good' if scores.value('auc') > 0.9 else 'poor'\nprint(word)",
    "intervals": (
        "from medlib.intervals import bootstrap, paired_difference\nbootstrap(scores, 'auc', 100)\n"
        "print(paired_difference(scores, scores, 'auc', 100))"
    ),
    "phantoms": "from medlib.data import phantoms\nx = phantoms.phantom_like(breast.card)",
    "files of a figure": (
        "from pathlib import Path\nPath('notes.txt').read_text()\nopen('a.png', 'rb')"
    ),
}


@pytest.mark.parametrize("code", LEGAL.values(), ids=LEGAL)
def test_legal_code_passes(chapter, code):
    assert chapter(TRAINED + code) == []


# ---------------------------------------------------------------- in the library

LIBRARY = {
    "medlib/__init__.py": "",
    "medlib/data/__init__.py": "from medlib.data.loading import load\n",
    "medlib/data/loading.py": (
        "import numpy as np\ndef load(name):\n    return np.load(name)['train_images']\n"
        "def everything(name):\n    return np.load(name)\n"
    ),
    "medlib/data/locked.py": (
        "def read_test_labels(data):\n    return data\ndef seal(x):\n    return x\n"
    ),
    "medlib/evaluate.py": (
        "def _evaluate(model, data):\n    from medlib.data import locked\n"
        "    return locked.read_test_labels(data)\n"
        "def evaluate_once(model, data):\n    return _evaluate(model, data)\n"
        "def evaluate_audit(model, data):\n    return _evaluate(model, data)\n"
        "def read_scores(path):\n    return path\n"
    ),
    "medlib/plots.py": "def roc(scores):\n    return scores\n",
    "notebooks/03-05-resnet.md": HEAD,
}


@pytest.fixture
def repository(tmp_path):
    """Return a function that writes a small repository, with files changed or added."""

    def write(**files):
        for name, text in {**LIBRARY, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def found_in(root):
    return {(f.path, f.rule) for f in lock_check.check(root)}


def test_the_small_repository_is_clean(repository):
    assert lock_check.check(repository()) == []


PLANTS = {
    "direct": (
        "from medlib.data import locked\ndef peek(d):\n    return locked.read_test_labels(d)\n"
    ),
    "inside": (
        "def peek(d):\n    import medlib.data.locked as k\n    return k.read_test_labels(d)\n"
    ),
    "relative": "from .data import locked\ndef peek(d):\n    return locked.read_test_labels(d)\n",
    "table of functions": (
        "from medlib.data import locked\nDOORS = {'a': locked.read_test_labels}\n"
    ),
    "the door's inside": "from medlib.evaluate import _evaluate\n",
    "whole files": "from medlib.data.loading import everything\n",
    "getattr": "import medlib.data as d\ndef peek(x):\n    return getattr(d, x)\n",
    "fixed import": "import importlib\nimportlib.import_module('medlib.data.locked')\n",
    "free import": "import importlib\ndef f(x):\n    return importlib.import_module(x)\n",
    "eval": "def f(x):\n    return eval(x)\n",
    "np.load": "import numpy as np\ndef f(x):\n    return np.load(x)\n",
    "medmnist": "import medmnist\ndef f():\n    return medmnist.BreastMNIST(split='test')\n",
    "audit": (
        "from medlib.evaluate import evaluate_audit\n"
        "def f(m, d):\n    return evaluate_audit(m, d)\n"
    ),
    "flow": (
        "from medlib.evaluate import evaluate_once\ndef f(m, d):\n"
        "    s = evaluate_once(m, d)\n    m.fit(s)\n"
    ),
    "text": "NAME = 'test_labels'\n",
}


@pytest.mark.parametrize("code", PLANTS.values(), ids=PLANTS)
@pytest.mark.parametrize("path", ["medlib/helpers.py", "book/workflow/helpers.py"])
def test_a_planted_helper_is_found(repository, code, path):
    if path.startswith("book"):
        code = code.replace("from .data", "from medlib.data")
    assert path in {place for place, _ in found_in(repository(**{path: code}))}


def test_a_helper_inside_the_data_package_is_found(repository):
    code = "from medlib.data import locked\ndef peek(d):\n    return locked.read_test_labels(d)\n"
    assert found_in(repository(**{"medlib/data/peek.py": code})) == {
        ("medlib/data/peek.py", "lock")
    }


def test_sealing_inside_the_data_package_is_legal(repository):
    code = "from medlib.data import locked\ndef own(d):\n    return locked.seal(d)\n"
    assert not found_in(repository(**{"medlib/data/own.py": code}))


def test_a_chain_of_helpers_is_followed_to_the_chapter(repository):
    """Every link is named, and the finding prints the whole way."""
    one = "from medlib.data.loading import everything\ndef one(n):\n    return everything(n)\n"
    two = "import medlib.one as m\ndef two(n):\n    return m.one(n)\n"
    three = (
        "from medlib.two import two as t\nclass Three:\n    def go(self, n):\n        return t(n)\n"
    )
    use = HEAD + "```{code-cell}\nfrom medlib.three import Three\nThree().go('x')\n```\n"
    root = repository(
        **{
            "medlib/one.py": one,
            "medlib/two.py": two,
            "medlib/three.py": three,
            "notebooks/03-05-resnet.md": use,
        }
    )
    found = lock_check.check(root)
    assert {f.path for f in found} == {
        "medlib/one.py",
        "medlib/two.py",
        "medlib/three.py",
        "notebooks/03-05-resnet.md",
    }
    last = next(f for f in found if f.path.startswith("notebooks"))
    way = "medlib.two.two -> medlib.one.one -> medlib.data.loading.everything -> numpy.load"
    assert way in last.why


def test_a_helper_of_the_library_that_tests_is_a_source_in_a_chapter(repository):
    helper = (
        "from medlib.evaluate import evaluate_once\n"
        "def look(m, d):\n    return evaluate_once(m, d)\n"
    )
    use = (
        HEAD + "```{code-cell}\nfrom medlib.look import look\nfit(None, breast, look(1, 2))\n```\n"
    )
    root = repository(**{"medlib/look.py": helper, "notebooks/03-05-resnet.md": use})
    assert found_in(root) == {("notebooks/03-05-resnet.md", "flow")}


# ---------------------------------------------------------------- files, command


def test_lines_are_those_of_the_file(chapter):
    finding = chapter("x = 1\n\nmedlib.data.locked")[0]
    assert finding.line == HEAD.count("\n") + 4
    assert str(finding).startswith(f"notebooks/03-05-resnet.md:{finding.line}: names medlib.data")
    assert "instead: score the model with medlib.evaluate_once" in str(finding)


CELLS = """
```{code-cell} ipython3
:tags: [hide-input]

one = 1
```

~~~{code-cell}
---
tags: [x]
---
two = 2
~~~

````{code-cell}
three = '''
```
'''
````

```python
not_run = medlib.data.locked
```

```{code-cell}
%matplotlib inline
four = 4
```
"""


def test_code_cells_are_read_as_jupytext_reads_them():
    jupytext = pytest.importorskip("jupytext")
    code, magics = code_of_chapter(HEAD + CELLS)
    notebook = jupytext.reads(HEAD + CELLS, fmt="md:myst")
    theirs = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    theirs = theirs.replace("%matplotlib inline", "")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(theirs))
    assert magics == [HEAD.count("\n") + CELLS.split("%matplotlib")[0].count("\n") + 1]


def test_the_real_chapters_are_read_as_jupytext_reads_them():
    jupytext = pytest.importorskip("jupytext")
    chapters = sorted((lock_check.ROOT / "notebooks").glob("*.md"))
    for path in chapters:
        cells = jupytext.read(path, fmt="md:myst").cells
        theirs = "\n".join(c.source for c in cells if c.cell_type == "code")
        ours = read_unit(path, lock_check.ROOT)
        assert ast.dump(ours.tree) == ast.dump(ast.parse(theirs)), path.name


def test_code_that_does_not_parse_is_a_finding(repository):
    broken = HEAD + "```{code-cell}\nx = (\n```\n"
    assert ("notebooks/03-05-resnet.md", "unreadable") in found_in(
        repository(**{"notebooks/03-05-resnet.md": broken})
    )


def test_the_command_prints_and_fails(repository, capsys):
    assert lock_check.main(["--root", str(repository())]) == 0
    root = repository(**{"medlib/helpers.py": PLANTS["direct"]})
    assert lock_check.main(["--root", str(root)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed
    assert all(line.startswith("medlib/helpers.py:") for line in printed)


def test_the_tree_is_clean():
    found = lock_check.check(lock_check.ROOT)
    assert [str(finding) for finding in found] == []


def test_every_exception_is_listed_and_exists(rules):
    """Appendix E prints them; a name that is gone must leave the list."""
    listed = lock_check.exceptions()
    assert {entry["what"] for entry in listed[:2]} == {"chapter 02-03", "chapter 04-08"}
    assert lock_check.AUDITORS.keys() == {"book.workflow.long_audit"} < {e["what"] for e in listed}
    assert all(entry["why"] for entry in listed)
    for name in lock_check.ALLOWED | lock_check.DOORS:
        assert name in rules.graph.edges, name

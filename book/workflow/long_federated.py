"""What the long runs of chapter 5.3 compute: sites that share a network, and private training.

All simulated: the sites are parts of one training split. Test images are looked at through
`evaluate_once` alone. Five sites, three seeds. The network is `resnet_small` of width 8, with
batch or group normalisation; plain gradient descent, batches of 32, no augmentation, learning rate
0.3 falling along a cosine. In every arm 600 batches are taken: in a federation 15 rounds of 8 steps
at each of five sites, pooled 600 steps one after the other, alone 120 steps, the same number of
passes over a site's own images. "Wide" is pooled with one step of 160 images in place of five
of 32: as many images, and as few steps one after the other as in a federation.

Settings on PneumoniaMNIST; every id begins with ``fed-``:

- ``pooled-*``: all images in one place. ``alone-K``: site K of ``iid``, by itself (group
  normalisation).
- ``iid-*``: images dealt to sites at random. ``iid-group-1`` and ``iid-group-40``: the same
  number of steps with an average after every step, or after 40.
- ``class-*``: shares of the classes drawn from a Dirichlet distribution with concentration 0.3,
  drawn anew for each seed; ``class-prox`` adds FedProx's term, weight 0.1.
- ``scan-*`` (variant ``scanners``): dealt at random, each site with a scanner of its own, and test
  image i (its place modulo five) as scanner i shows it. ``scan-own`` keeps batch normalisation
  at the sites (FedBN) and each image is judged by its own site's network; ``scan-alone`` is what
  sites get by themselves, each judging its own images. One AUC is computed over the answers of
  all sites, so that networks of different sites must agree about what is likely; the mean of the
  AUCs within the sites stands beside it, untested.

malaria50: whole patients dealt to five sites (24 patients each), group normalisation: pooled,
federated (``patients-group``), and alone at each site.

Privacy: LeNet-5 on PneumoniaMNIST, 200 steps of 128 images on average: ``private-none`` (neither
clipped nor noisy), ``private-clip`` (clipped at 1), and with the noise that costs an epsilon of 8,
2 and 0.5 at delta 1e-5 (the unit is an image). A clipped gradient is short and a noisy one wants
small steps, so each arm has a learning rate of its own (`RATES`).

Choices were made with one seed (100) on validation scores of some of these arms: the rate 0.3 of
federations among 0.03, 0.1 and 0.3; of the private arms 0.5 for ``none`` and for 0.5 and 3 for 8
among 0.5, 1.5 and (not ``none``) 3; the arms between were not tried and got 3 (``clip``) and 1.5
(2). What such a search tells about the images is not in the epsilon. No test score of any arm had
been seen.

Endpoint: test AUC, paired differences (`medlib.intervals.compare`; patients are resampled on
malaria50), Holm's correction within each family below, level 5 %. The smallest difference that
matters: 0.02 on PneumoniaMNIST, 0.01 on malaria50.

Families and expectations:

A. *Is it worth it?* group normalisation. (1) iid-group minus alone (mean of the five sites) is
   above 0; (2) iid-group minus pooled-group is below 0 on validation, but within 0.02 on test;
   (3) iid-group minus pooled-wide: no difference, what is lost is the number of steps one after
   the other; (4) malaria: patients-group minus alone above 0.01; (5) patients-group minus
   pooled-group within 0.01.
B. *Sites that differ.* (1) class-group minus iid-group below 0, (2) class-batch minus iid-batch
   below 0 and by more than with groups; (3) class-prox minus class-group: no difference;
   (4) scan-batch minus scan-pooled below 0; (5) scan-own minus scan-batch above 0;
   (6) scan-group minus scan-batch above 0; (7) scan-batch minus scan-alone above 0.
C. *How often to talk.* (1) iid-group-40 minus iid-group-1 and (2) class-group-40 minus
   class-group-1: the second is below 0; forty times the bytes buy less than 0.02 in the first.
D. *What privacy costs.* (1) clip, (2) 8, (3) 2, (4) 0.5, each minus none: the loss grows from one
   to the next, is below 0.02 at epsilon 8 and above 0.02 at epsilon 0.5.

Added after the validation scores of all these arms had been read, and before any test score: on
malaria50 the networks with group normalisation had hardly begun to learn (validation AUC 0.60 to
0.73, pooled 0.70 to 0.98), so that family A says nothing there. A second set of arms trains longer
and with batch normalisation, ``fed-patients-batch``, ``fed-pooled-batch`` and ``fed-alone-batch-K``
on malaria50: 30 rounds of 8 steps, pooled 1,200 steps. One seed (100) of the first and of one site
alone was tried on validation patients: 0.974 and 0.952.

E. *Malaria, trained long enough.* (1) together minus alone above 0.01; (2) together minus pooled
   within 0.01.

This second set was run later: by then the test scores of the first set had been read, and told on
the page. The plan above was not changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from book.workflow.long_jobs import Job
from book.workflow.long_models import Network, Predictor, new_network
from medlib import federated, metrics
from medlib.data import Dataset, Split
from medlib.federated import Plan, Scanner
from medlib.private import PrivatePlan, train_privately

CHAPTER = "05-03-federated"
SITES, SEEDS = 5, range(3)
CONCENTRATION, DELTA = 0.3, 1e-5
PLAN = Plan(rounds=15, local_steps=8, learning_rate=0.3)
SCANNERS = (
    Scanner(),
    Scanner(gain=0.5),  # too dark
    Scanner(gain=0.6, offset=0.35),  # bright and flat
    Scanner(blur=1.0),
    Scanner(noise=0.12),
)
PRIVATE = PrivatePlan(steps=200, expected_batch=128)
# the noise that costs each epsilon (`medlib.private.noise_for`, 4,708 images)
NOISES = {"8": 0.674, "2": 1.202, "0.5": 3.164}
RATES = {"none": 0.5, "clip": 3.0, "8": 3.0, "2": 1.5, "0.5": 0.5}
CURVE = 600  # validation images at most, by which rounds are watched


def together(sites: list[Split]) -> Split:
    """Return the images of all sites as one split."""
    images, labels, index = (
        np.concatenate([getattr(site, name) for site in sites])
        for name in ("images", "labels", "index")
    )
    return Split(images=images, labels=labels, index=index)


@dataclass(frozen=True)
class AtScanners:
    """Image i goes through scanner i and its site's network, counted modulo the sites."""

    networks: tuple[Predictor, ...]

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``, in the order of the images."""
        found: np.ndarray | None = None
        for k, (network, scanner) in enumerate(zip(self.networks, SCANNERS, strict=True)):
            mine = federated.scan(images[k::SITES], scanner, seed=1_000 + k)
            if len(mine):
                said = network.predict_proba(mine)
                found = np.empty((len(images), said.shape[1])) if found is None else found
                found[k::SITES] = said
        assert found is not None
        return found


@dataclass(frozen=True)
class Federated(Job):
    """Networks trained at sites, together or alone, or on all images in one place.

    Attributes
    ----------
    dealt : {"iid", "class", "patients", "scanners"}
        Who has which images.
    plan : Plan
        Rounds and steps at each site.
    norm : {"group", "batch"}
        Normalisation of the network.
    pooled : bool
        Whether all images are brought together; five times the steps, one after the other, unless
        the plan's batch is larger than 32.
    site : int or None
        The only site that trains.
    own : bool
        Whether normalisation stays at the sites.
    alone : bool
        Whether each site trains by itself, and judges its own images.
    """

    dealt: str = "iid"
    plan: Plan = PLAN
    norm: str = "group"
    pooled: bool = False
    site: int | None = None
    own: bool = False
    alone: bool = False

    @property
    def variant(self) -> str:  # type: ignore[override]
        """What the test images went through."""
        return "scanners" if self.dealt == "scanners" else ""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train; see `Job.predictor`."""
        sites = self.sites(dataset)
        chosen = sites if self.site is None else [sites[self.site]]
        details: dict[str, Any] = {"sites": [described(site) for site in chosen]}
        if self.alone:
            networks = [self.trained(dataset, [site], {}) for site in sites]
        else:
            found = [together(sites)] if self.pooled else chosen
            networks = self.shared(dataset, found, details)
        details |= {"plan": vars(self.plan), "norm": self.norm, "dealt": self.dealt}
        predictors = tuple(Network(network, dataset.task) for network in networks)
        if self.dealt != "scanners":
            return predictors[0], details
        return AtScanners(predictors if len(predictors) > 1 else predictors * SITES), details

    def sites(self, dataset: Dataset) -> list[Split]:
        """Return the images of each site."""
        train = dataset.train
        if self.dealt == "patients":
            return federated.deal_by_patient(train, SITES, seed=self.seed)
        if self.dealt == "class":
            return federated.deal_by_class(train, SITES, CONCENTRATION, seed=self.seed)
        sites = federated.deal(train, SITES, seed=self.seed)
        return sites if self.dealt == "iid" else federated.with_scanners(sites, SCANNERS)

    def shared(
        self, dataset: Dataset, sites: list[Split], details: dict[str, Any]
    ) -> list[nn.Module]:
        """Return the network that the sites share, or one a site where they keep something."""
        model = self.untrained(dataset)
        keep = federated.norm_tensors(model) if self.own else []
        result = self._run(model, dataset, sites, keep, details)
        if not keep:
            return [model]
        networks = []
        for own in result.own:
            network = self.untrained(dataset)
            network.load_state_dict({**model.state_dict(), **own})
            networks.append(network.eval())
        return networks

    def trained(self, dataset: Dataset, sites: list[Split], details: dict[str, Any]) -> nn.Module:
        """Return a network of its own, trained at some sites."""
        model = self.untrained(dataset)
        self._run(model, dataset, sites, [], details)
        return model

    def untrained(self, dataset: Dataset) -> nn.Module:
        """Return the network as the server sends it in the first round."""
        model = new_network("resnet_small", {"width": 8}, dataset, self.seed)
        return federated.with_group_norm(model) if self.norm == "group" else model

    def _run(
        self,
        model: nn.Module,
        dataset: Dataset,
        sites: list[Split],
        keep: list[str],
        details: dict[str, Any],
    ) -> federated.Federation:
        plan, every = self.plan, max(1, self.plan.rounds // 5)
        if self.pooled and plan.batch_size == PLAN.batch_size:
            plan = replace(plan, local_steps=plan.local_steps * SITES)
        step = -(-len(dataset.val) // CURVE)
        watched = dataset.val.take(np.arange(0, len(dataset.val), step))
        curve: list[dict[str, float]] = []

        def watch(number: int, network: nn.Module) -> None:
            if (number + 1) % every == 0 and self.dealt != "scanners":
                found = Network(network, dataset.task).predict_proba(watched.images)
                auc = metrics.auc(watched.labels, found)
                curve.append({"round": number + 1, "val_auc": float(auc)})

        result = federated.federate(
            model, sites, plan, seed=self.seed, keep=keep, after_round=watch
        )
        details |= {"curve": curve, "losses": result.losses, "bytes": result.bytes}
        return result


def described(site: Split) -> dict[str, Any]:
    """Return how many images a site has, of each class, and of how many patients."""
    counts = np.bincount(site.labels).tolist()
    patients = None if site.groups is None else len(np.unique(site.groups))
    return {"images": len(site), "classes": counts, "patients": patients}


@dataclass(frozen=True)
class Private(Job):
    """LeNet-5, trained with clipped and noisy gradients.

    Attributes
    ----------
    plan : PrivatePlan
        How.
    """

    plan: PrivatePlan = field(default_factory=PrivatePlan)

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train; see `Job.predictor`."""
        model = new_network("lenet5", {}, dataset, self.seed)
        train_privately(model, dataset.train, self.plan, seed=self.seed)
        images = len(dataset.train)
        spent = self.plan.epsilon(images, DELTA)
        details = {"plan": vars(self.plan), "images": images, "delta": DELTA}
        details["epsilon"] = None if np.isinf(spent) else spent
        return Network(model, dataset.task), details


# id: what differs from a federation of sites dealt at random, with group normalisation
ARMS: dict[str, dict[str, Any]] = {
    "pooled-group": {"pooled": True},
    "pooled-batch": {"pooled": True, "norm": "batch"},
    "pooled-wide": {"pooled": True, "plan": replace(PLAN, batch_size=160)},
    "iid-group": {},
    "iid-batch": {"norm": "batch"},
    "iid-group-1": {"plan": replace(PLAN, rounds=120, local_steps=1)},
    "iid-group-40": {"plan": replace(PLAN, rounds=3, local_steps=40)},
    "class-group": {"dealt": "class"},
    "class-batch": {"dealt": "class", "norm": "batch"},
    "class-prox": {"dealt": "class", "plan": replace(PLAN, proximal=0.1)},
    "class-group-1": {"dealt": "class", "plan": replace(PLAN, rounds=120, local_steps=1)},
    "class-group-40": {"dealt": "class", "plan": replace(PLAN, rounds=3, local_steps=40)},
    "scan-pooled": {"dealt": "scanners", "norm": "batch", "pooled": True},
    "scan-batch": {"dealt": "scanners", "norm": "batch"},
    "scan-group": {"dealt": "scanners"},
    "scan-own": {"dealt": "scanners", "norm": "batch", "own": True},
    "scan-alone": {"dealt": "scanners", "norm": "batch", "alone": True},
}
MALARIA: dict[str, dict[str, Any]] = {
    "pooled-group": {"dealt": "patients", "pooled": True},
    "patients-group": {"dealt": "patients"},
}

LONGER = {"norm": "batch", "dealt": "patients", "plan": replace(PLAN, rounds=30)}


def malaria_jobs() -> Iterator[Job]:
    """Yield the second set of arms on malaria50."""
    for seed in SEEDS:
        yield Federated("fed-patients-batch", "malaria50", seed, 0.45, CHAPTER, **LONGER)
        yield Federated("fed-pooled-batch", "malaria50", seed, 0.45, CHAPTER, pooled=True, **LONGER)
        for site in range(SITES):
            name = f"fed-alone-batch-{site}"
            yield Federated(name, "malaria50", seed, 0.13, CHAPTER, site=site, **LONGER)


def federated_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    for data, seed in product(("pneumoniamnist", "malaria50"), SEEDS):
        grey = data == "pneumoniamnist"
        for name, options in (ARMS if grey else MALARIA).items():
            minutes = 0.2 if grey else 0.4
            yield Federated(f"fed-{name}", data, seed, minutes, CHAPTER, **options)
        dealt = "iid" if grey else "patients"
        for site in range(SITES):
            alone = f"fed-alone-{site}"
            yield Federated(alone, data, seed, 0.12, CHAPTER, dealt=dealt, site=site)
    for seed in SEEDS:
        plans = {"none": replace(PRIVATE, clip=None, noise=0.0)}
        plans |= {"clip": replace(PRIVATE, noise=0.0)}
        plans |= {name: replace(PRIVATE, noise=noise) for name, noise in NOISES.items()}
        for name, plan in plans.items():
            plan = replace(plan, learning_rate=RATES[name])
            yield Private(f"private-{name}", "pneumoniamnist", seed, 0.33, CHAPTER, plan=plan)
    yield from malaria_jobs()

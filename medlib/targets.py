"""What a network is trained to say: the label of an image, the mask of its lesion, or both."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from medlib import validation
from medlib.augment import Augment, Draw
from medlib.losses import Loss
from medlib.models.heads import Heads
from medlib.recipe import Recipe, build_loss
from medlib.training_checks import TrainingError, check_classes, check_labels, check_masks

if TYPE_CHECKING:
    from medlib.data import Dataset, Split

LESION = "lesion"  # the class of a mask that does not tell lesions apart
BACKGROUND = "background"


@dataclass(frozen=True)
class LabelsAndMasks:
    """Labels ``(N,)`` or ``(N, K)`` and masks ``(N, H, W)`` of the same images."""

    labels: Tensor
    masks: Tensor

    def __getitem__(self, rows: Tensor) -> "LabelsAndMasks":
        return LabelsAndMasks(self.labels[rows], self.masks[rows])

    def split(self, size: int) -> "list[LabelsAndMasks]":
        """Cut into parts of `size` images."""
        pairs = zip(self.labels.split(size), self.masks.split(size), strict=True)
        return [LabelsAndMasks(*pair) for pair in pairs]


class LabelTarget:
    """The label of the image, or its several labels.

    Parameters
    ----------
    data : Dataset
        The set that is trained on.
    """

    name = "label"
    at_once = 512  # validation images

    def __init__(self, data: "Dataset") -> None:
        self.data = data

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the network's output for one image."""
        return {"label": (1, self.data.num_classes)}

    def check(self, recipe: Recipe) -> None:
        """Refuse splits that lack what is to be learned."""
        if recipe.select == "val_dice":
            raise TrainingError(
                "select='val_dice' needs masks: choose 'val_auc', or another target"
            )
        for name, split in (("train", self.data.train), ("val", self.data.val)):
            where = f"the {name} split of {self.data.name}"
            check_labels(where, split.labels, len(split.images), self.data)
        if recipe.select == "val_auc":
            check_classes(self.data)

    def select(self, recipe: Recipe) -> str:
        """Return by which score the epoch is chosen."""
        return recipe.select

    def read(self, split: "Split") -> Tensor:
        """Return what belongs to the images of a split."""
        return torch.from_numpy(np.ascontiguousarray(split.labels))

    def prepare(self, truth: Tensor, augment: Augment | None, draw: Draw | None) -> Tensor:
        """Return what belongs to augmented images: the label, or those of two mixed images."""
        if draw is None or not augment.mixes:
            return truth
        size = self.data.train.images.shape[-2:]
        return augment.mix_labels(truth, draw, self.data.num_classes, size)

    def loss(self, recipe: Recipe, truth: Tensor) -> Loss:
        """Return the loss of the network's output."""
        return build_loss(recipe, truth, self.data.num_classes)

    def validate(self, outputs: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> dict[str, float]:
        """Return the scores of the validation split from pairs of outputs and truth."""
        pairs = list(outputs)
        logits = torch.cat([output for output, _ in pairs]).float()
        labels = torch.cat([truth for _, truth in pairs])
        return {"val_loss": float(loss(logits, labels)), **validation.label_scores(logits, labels)}


class MaskTarget:
    """The mask of the image: the lesion, or the lesion by its class.

    Parameters
    ----------
    data : Dataset
        The set that is trained on; its splits have masks.
    by_class : bool
        Whether pixels of a lesion carry the class of the image (see `mask_classes`).
    """

    at_once = 64

    def __init__(self, data: "Dataset", by_class: bool = False) -> None:
        self.data, self.by_class = data, by_class
        self.name = "class_mask" if by_class else "mask"
        for name, split in (("train", data.train), ("val", data.val)):
            check_masks(f"the {name} split of {data.name}", split.masks, split.images)
        self.classes = mask_classes(data, self.name)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the network's output for one image."""
        return {"mask": (1, len(self.classes), *self.data.train.images.shape[2:])}

    def check(self, recipe: Recipe) -> None:
        """Refuse splits that lack what is to be learned."""
        for name, split in (("train", self.data.train), ("val", self.data.val)):
            if not split.masks.any() and (name == "train" or recipe.select != "last"):
                raise TrainingError(
                    f"all masks of the {name} split of {self.data.name} are empty, so that there "
                    "is nothing to find: split again, or choose target='label'"
                )

    def select(self, recipe: Recipe) -> str:
        """Return by which score the epoch is chosen."""
        return "val_dice" if recipe.select == "val_auc" else recipe.select

    def read(self, split: "Split") -> Tensor:
        """Return the class numbers of the pixels of a split, ``(N, H, W)`` uint8."""
        masks = np.asarray(split.masks).astype(np.uint8)
        if self.by_class:
            masks *= self._numbers(split)[:, None, None]
        return torch.from_numpy(masks)

    def prepare(self, truth: Tensor, augment: Augment | None, draw: Draw | None) -> Tensor:
        """Move the masks with their images; return them as int64."""
        return (truth if draw is None else augment.apply_to_masks(truth, draw)).long()

    def loss(self, recipe: Recipe, truth: Tensor) -> Loss:
        """Return the loss of the network's output."""
        return build_loss(recipe, truth, len(self.classes))

    def validate(self, outputs: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> dict[str, float]:
        """Return the scores of the validation split from pairs of outputs and truth."""
        losses, found, truths = [], [], []
        for logits, truth in outputs:
            losses.append(float(loss(logits.float(), truth.long())) * len(truth))
            found.append(logits.argmax(1))
            truths.append(truth)
        truth = torch.cat(truths)
        scores = validation.mask_scores(torch.cat(found), truth)
        return {"val_loss": sum(losses) / len(truth), **scores}

    def _numbers(self, split: "Split") -> np.ndarray:
        """Return the number of each image's class among the classes of lesions, uint8."""
        table = np.zeros(self.data.num_classes, dtype=np.uint8)
        lesions = lesion_classes(self.data)
        table[lesions] = 1 + np.arange(len(lesions))
        return table[split.labels]


class LabelAndMaskTarget:
    """The label of the image by one head, the lesion's mask by the other.

    Parameters
    ----------
    data : Dataset
        The set that is trained on; its splits have labels and masks.
    """

    name = "label_and_mask"
    at_once = 64

    def __init__(self, data: "Dataset") -> None:
        self.label, self.mask = LabelTarget(data), MaskTarget(data)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the network's outputs for one image."""
        return self.label.shapes | self.mask.shapes

    def check(self, recipe: Recipe) -> None:
        """Refuse splits that lack what is to be learned."""
        self.mask.check(recipe)
        self.label.check(replace(recipe, select="val_loss") if _by_dice(recipe) else recipe)

    def select(self, recipe: Recipe) -> str:
        """Return by which score the epoch is chosen."""
        return recipe.select

    def read(self, split: "Split") -> LabelsAndMasks:
        """Return labels and masks of a split."""
        return LabelsAndMasks(self.label.read(split), self.mask.read(split))

    def prepare(
        self, truth: LabelsAndMasks, augment: Augment | None, draw: Draw | None
    ) -> LabelsAndMasks:
        """Move the masks with their images; the labels stay."""
        return LabelsAndMasks(truth.labels, self.mask.prepare(truth.masks, augment, draw))

    def loss(self, recipe: Recipe, truth: LabelsAndMasks) -> Loss:
        """Return the mean of both heads' losses by `label_share`; the recipe names the masks'."""
        of_mask = self.mask.loss(
            replace(recipe, label_smoothing=0.0, class_weights=None), truth.masks
        )
        of_label = self.label.loss(replace(recipe, loss=None, loss_options=None), truth.labels)
        share = recipe.label_share

        def loss(outputs: Heads, truth: LabelsAndMasks) -> Tensor:
            label, mask = of_label(outputs.label, truth.labels), of_mask(outputs.mask, truth.masks)
            return share * label + (1 - share) * mask

        return loss

    def validate(
        self, outputs: Iterable[tuple[Heads, LabelsAndMasks]], loss: Loss
    ) -> dict[str, float]:
        """Return the scores of the validation split from pairs of outputs and truth."""
        losses, found, logits, truths = [], [], [], []
        for heads, truth in outputs:
            heads = Heads(heads.label.float(), heads.mask.float())
            whole = LabelsAndMasks(truth.labels, truth.masks.long())
            losses.append(float(loss(heads, whole)) * len(truth.labels))
            found.append(heads.mask.argmax(1))
            logits.append(heads.label)
            truths.append(truth)
        labels = torch.cat([truth.labels for truth in truths])
        masks = torch.cat([truth.masks for truth in truths])
        scores = validation.label_scores(torch.cat(logits), labels)
        scores |= validation.mask_scores(torch.cat(found), masks)
        return {"val_loss": sum(losses) / len(labels), **scores}


Target = LabelTarget | MaskTarget | LabelAndMaskTarget
TARGETS = {
    "label": LabelTarget,
    "mask": MaskTarget,
    "class_mask": lambda data: MaskTarget(data, by_class=True),
    "label_and_mask": LabelAndMaskTarget,
}


def target_named(name: str, data: "Dataset") -> Target:
    """Return what `fit` calls by name: a key of `TARGETS`.

    Raises
    ------
    TrainingError
        For an unknown name, and for data without the masks that it needs.
    """
    if name not in TARGETS:
        raise TrainingError(f"unknown target {name!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[name](data)


def mask_classes(data: "Dataset", target: str) -> tuple[str, ...]:
    """Name the classes of the pixels: as many outputs as a segmenter needs.

    Parameters
    ----------
    data : Dataset
        With masks.
    target : {"mask", "class_mask", "label_and_mask"}
        For ``"class_mask"`` the background is followed by those classes of images that have a
        lesion in some training image, in the order of the labels; else by ``lesion`` alone.
    """
    if target != "class_mask":
        return (BACKGROUND, LESION)
    return (BACKGROUND, *(data.class_names[k] for k in lesion_classes(data)))


def lesion_classes(data: "Dataset") -> np.ndarray:
    """Return the classes of images of which some training image has a lesion."""
    return np.unique(data.train.labels[data.train.masks.any((1, 2))])


def _by_dice(recipe: Recipe) -> bool:
    return recipe.select == "val_dice"

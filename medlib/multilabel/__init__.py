"""Multi-label classification on features, with all labels known or only a few (3.16, 3.17)."""

from medlib.multilabel.base import UNKNOWN, Method
from medlib.multilabel.chosen import Chosen, Prevalence, moved
from medlib.multilabel.completion import PseudoLabels, RoleHead, expected_positives, fill_in
from medlib.multilabel.consistency import ConsistencyHead
from medlib.multilabel.folds import OutOfFold, out_of_fold, patient_folds
from medlib.multilabel.heads import (
    Head,
    HeadRecipe,
    LabelGraphHead,
    LabelMessageHead,
    LinearHead,
    label_graph,
    train_head,
)
from medlib.multilabel.hiding import hide, hiding_chances
from medlib.multilabel.losses import (
    LOSSES,
    Role,
    assume_negative,
    asymmetric_terms,
    cross_entropy_terms,
    entropy_maximisation,
    focal_terms,
    growing_share,
    ignore_unknown,
    large_loss,
    weight_of_single_positive,
)
from medlib.multilabel.measures import (
    MacroMean,
    coverage_error,
    hamming_loss,
    macro_auc,
    macro_average_precision,
    micro_auc,
    micro_average_precision,
    ranking_loss,
    subset_accuracy,
)
from medlib.multilabel.patients import PatientCases, PatientPhantom, patient_cases
from medlib.multilabel.relatives import AlikeHead, Relatives
from medlib.multilabel.thresholds import choose_thresholds, decide
from medlib.multilabel.transforms import (
    BinaryRelevance,
    ClassifierChains,
    LabelPowerset,
    logistic,
)

__all__ = [
    "patient_cases",
    "Relatives",
    "PatientPhantom",
    "PatientCases",
    "ConsistencyHead",
    "AlikeHead",
    "LOSSES",
    "UNKNOWN",
    "BinaryRelevance",
    "Chosen",
    "ClassifierChains",
    "Head",
    "HeadRecipe",
    "LabelGraphHead",
    "LabelMessageHead",
    "LabelPowerset",
    "LinearHead",
    "MacroMean",
    "Method",
    "OutOfFold",
    "Prevalence",
    "PseudoLabels",
    "Role",
    "RoleHead",
    "assume_negative",
    "asymmetric_terms",
    "choose_thresholds",
    "coverage_error",
    "cross_entropy_terms",
    "decide",
    "entropy_maximisation",
    "expected_positives",
    "fill_in",
    "focal_terms",
    "growing_share",
    "hamming_loss",
    "hide",
    "hiding_chances",
    "ignore_unknown",
    "label_graph",
    "large_loss",
    "logistic",
    "macro_auc",
    "macro_average_precision",
    "micro_auc",
    "micro_average_precision",
    "moved",
    "out_of_fold",
    "patient_folds",
    "ranking_loss",
    "subset_accuracy",
    "train_head",
    "weight_of_single_positive",
]

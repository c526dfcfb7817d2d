"""The table of all long jobs: the benchmark of chapter 4.8, and the chapters of Parts 3 to 5."""

from book.workflow.long_architectures import (
    ablation_jobs,
    architecture_jobs,
    classical_jobs,
    mask_jobs,
    stock_jobs,
)
from book.workflow.long_audit import audit_jobs
from book.workflow.long_augment import augment_jobs
from book.workflow.long_cases import case_jobs
from book.workflow.long_explain import explain_jobs
from book.workflow.long_fairness import fairness_jobs
from book.workflow.long_features import feature_jobs
from book.workflow.long_federated import federated_jobs
from book.workflow.long_few_labels import few_label_jobs
from book.workflow.long_jobs import Job, combined_jobs, published_jobs, small_jobs
from book.workflow.long_multilabel import multilabel_jobs
from book.workflow.long_regularise import regularise_jobs
from book.workflow.long_running import running_jobs
from book.workflow.long_search import search_jobs
from book.workflow.long_selfsup import selfsup_jobs
from book.workflow.long_transfer import transfer_jobs
from book.workflow.long_trust import trust_jobs
from book.workflow.long_twelve import twelve_jobs
from book.workflow.long_vit import vit_jobs

JOBS: tuple[Job, ...] = (
    *small_jobs(),
    *combined_jobs(),
    *classical_jobs(),
    *architecture_jobs(),
    *ablation_jobs(),
    *mask_jobs(),
    *published_jobs(),
    *stock_jobs(),
    *feature_jobs(),
    *transfer_jobs(),
    *augment_jobs(),
    *regularise_jobs(),
    *search_jobs(),
    *multilabel_jobs(),
    *few_label_jobs(),
    *case_jobs(),
    *audit_jobs(),
    *explain_jobs(),
    *trust_jobs(),
    *running_jobs(),
    *twelve_jobs(),
    *vit_jobs(),
    *selfsup_jobs(),
    *federated_jobs(),
    *fairness_jobs(),
)

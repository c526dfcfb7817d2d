"""The table of all long jobs: the benchmark of chapter 4.8, and the architectures of Part 3."""

from book.workflow.long_architectures import (
    ablation_jobs,
    architecture_jobs,
    classical_jobs,
    mask_jobs,
    stock_jobs,
)
from book.workflow.long_jobs import Job, combined_jobs, published_jobs, small_jobs

JOBS: tuple[Job, ...] = (
    *small_jobs(),
    *combined_jobs(),
    *classical_jobs(),
    *architecture_jobs(),
    *ablation_jobs(),
    *mask_jobs(),
    *published_jobs(),
    *stock_jobs(),
)

"""What the report reads: a dataclass for each relation, whose fields are the columns that the page shows, by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SpaceStatus:
    """`space_status`: a space; `status` is draft, live or retired. `is_default`: search uses it where none is named.
    `is_given_up`: it was retired by hand, and no rollback goes back to it."""

    space_key: str
    is_active: bool
    status: str
    since_utc: datetime
    is_default: bool
    is_given_up: bool


@dataclass(frozen=True)
class Coverage:
    """`space_coverage`: a space and source type."""

    space_key: str
    source_type: str
    chunk_count: int
    current_count: int
    pending_count: int
    quarantined_count: int
    stale_count: int
    truncated_count: int
    coverage_percent: float | None


@dataclass(frozen=True)
class QueueHealth:
    """`job_queue_health`: a kind of job."""

    job_type: str
    due_count: int
    delayed_count: int
    running_count: int
    lapsed_count: int
    dead_count: int
    oldest_due_seconds: float | None
    succeeded_run_count: int
    failed_run_count: int
    jobs_per_hour: float
    failure_percent: float | None
    average_seconds: float | None


@dataclass(frozen=True)
class DeadJob:
    """`dead_letter`: a job that was given up."""

    job_id: str
    job_type: str
    space_key: str | None
    attempt_count: int
    dead_reason: str
    last_error: str | None
    completed_utc: datetime | None


@dataclass(frozen=True)
class Run:
    """`run_history`: an attempt at a job."""

    run_id: str
    job_type: str
    run_number: int
    status: str
    worker_id: str | None
    space_key: str | None
    started_utc: datetime | None
    seconds: float | None
    error: str | None


@dataclass(frozen=True)
class Asked:
    """How an evaluation asked: evaluations that share all of it are one series."""

    space_key: str
    query_set: str
    search_method: str | None
    policy_json: str | None
    filters_json: str | None
    top_k: int


@dataclass(frozen=True)
class Quality(Asked):
    """`retrieval_quality`: an evaluation and metric; without judged questions the metric is None."""

    evaluation_id: str
    evaluated_utc: datetime
    metric: str | None
    mean_score: float | None
    ci_lower: float | None
    ci_upper: float | None
    query_count: int
    unjudged_query_count: int
    missing_query_count: int


@dataclass(frozen=True)
class Trend(Asked):
    """`retrieval_quality_trend`: an evaluation and metric beside the evaluation before."""

    evaluation_id: str
    evaluated_utc: datetime
    metric: str
    mean_score: float
    previous_mean_score: float | None
    mean_difference: float | None
    common_query_count: int
    improved_query_count: int
    worsened_query_count: int


@dataclass(frozen=True)
class AskedAlike:
    """Two spaces, and how both were asked."""

    comparison_id: str
    space_key_a: str
    space_key_b: str
    query_set: str
    search_method: str | None
    asked_policy_json: str | None
    filters_json: str | None
    top_k: int


@dataclass(frozen=True)
class Comparison(AskedAlike):
    """`space_comparison`: two spaces and a metric."""

    metric: str
    mean_a: float
    mean_b: float
    mean_difference: float
    ci_lower: float
    ci_upper: float
    p_value: float
    query_count: int
    win_count: int
    loss_count: int
    tie_count: int
    verdict: str


@dataclass(frozen=True)
class Drift(AskedAlike):
    """`space_drift`: two spaces and a question."""

    query_id: str
    query_text: str
    overlap_at_10: float | None
    jaccard: float | None
    rank_biased_overlap: float | None
    mean_rank_shift: float | None


@dataclass(frozen=True)
class LoggedSearch:
    """`retrieval`: a search, with the key of its space."""

    retrieval_id: str
    space_key: str
    query_text: str
    query_sha256: str
    top_k: int
    filters_json: str | None
    policy_json: str | None
    candidate_count: int | None
    latency_ms: float
    created_utc: datetime


@dataclass(frozen=True)
class QueryQuality(Asked):
    """`retrieval_quality_query`: an evaluated search."""

    retrieval_id: str
    evaluation_id: str
    query_id: str
    query_text: str
    relevant_count: int
    source_count: int
    ndcg_at_10: float
    reciprocal_rank: float
    recall_at_10: float


@dataclass(frozen=True)
class MapPoint:
    """A chunk on the map of a space."""

    chunk_id: str
    source_id: str
    source_type: str
    title: str | None
    chunk_index: int | None
    content: str
    x: float
    y: float


@dataclass(frozen=True)
class SpaceMap:
    """Chunks of a space on a plane: the first by chunk id of `chunk_count` that have a vector. `shares` of the
    variance are what the two axes show, 0 to 1."""

    space_key: str
    chunk_count: int
    points: list[MapPoint]
    shares: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """All that the page shows. `search_language` is that of the warehouse's searches; `spaces` are the keys that were
    chosen, by key; `all_spaces` says that none was left out; `series` are those of `quality`, in the page's order.
    Lists that could be long are cut, and then beside the number of rows that there are; `worst` has the first series
    only."""

    made_utc: datetime
    engine: str
    schema: str
    search_language: str
    spaces: list[str]
    all_spaces: bool
    statuses: list[SpaceStatus]
    coverage: list[Coverage]
    queue: list[QueueHealth]
    dead: list[DeadJob]
    dead_count: int
    runs: list[Run]
    run_count: int
    quality: list[Quality]
    series: list[Asked]
    trend: list[Trend]
    comparisons: list[Comparison]
    drift: list[Drift]
    search_count: int
    slowest: list[LoggedSearch]
    worst: list[QueryQuality]
    maps: list[SpaceMap]

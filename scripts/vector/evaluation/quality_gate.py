"""The part of the gate that asks how well a space answers: thresholds of `publish_threshold_input`, against which
the evaluations in the log of searches are held (docs/search.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from vector.contracts.json_column import json_object
from vector.contracts.ledgers import utc_of
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Engine
from vector.evaluation.intervals import of_difference, of_mean, scores_of
from vector.evaluation.questions import DEFAULT_TOP_K
from vector.search.policy import BY_SOURCE, MODES
from vector.store import VectorStore
from vector.wording import THRESHOLDS


@dataclass(frozen=True)
class Check:
    """One condition of the gate: whether it holds, what was found in words, and in numbers."""

    name: str
    passed: bool
    detail: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Threshold:
    """A row of `publish_threshold_input`. `max_loss` None: the live space must not be significantly better. None of the
    others should be None, and `problem` says where one is."""

    query_set: str | None
    search_method: str | None
    metric: str | None
    min_score: float | None
    max_loss: float | None

    @property
    def problem(self) -> str | None:
        """Why nothing can be held against the row, if so."""
        empty = [name for name, value in asdict(self).items() if value is None and name != "max_loss"]
        if empty:
            return f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: correct {THRESHOLDS}"
        if self.search_method not in MODES:
            return f"{self.search_method} is no search method ({', '.join(MODES)}): correct {THRESHOLDS}"
        return None

    @property
    def option(self) -> str:
        """What `vector spaces evaluate KEY` needs besides, to ask by the method."""
        return "" if self.search_method == BY_SOURCE.mode else f" --mode {self.search_method}"

    @property
    def name(self) -> str:
        """As checks name it."""
        metric, query_set, method = (value or "?" for value in (self.metric, self.query_set, self.search_method))
        return f"{metric} on {query_set} ({method})"


@dataclass(frozen=True)
class _Evaluation:
    """One that asked all judged questions of a set; `asked_utc` is when it asked the first. `scores` are those of the
    threshold's metric, by question."""

    evaluation_id: str
    asked_utc: datetime
    scores: Mapping[str, float]


def quality_checks(
    store: VectorStore, space: EmbeddingSpace, live: EmbeddingSpace | None, skip_comparison: bool
) -> list[Check]:
    """Two checks for each threshold: the space's own score and, where another space is live, the difference to it.

    Raises ConfigurationError when the seeds are not built.
    """
    engine = store.engine
    store.require_built("eval_query_input", "eval_judgment_input", "publish_threshold_input")
    judged = _judged_questions(engine)
    thresholds = _thresholds(engine)
    if not thresholds:
        detail = "there are no judged questions and no thresholds: nothing to measure by"
        if judged:
            detail = (
                f"no threshold says what is good enough for {', '.join(judged)}: add rows to {THRESHOLDS}, `dbt build`"
            )
        return [Check("evaluation", not judged, detail, {"judged_questions": judged})]
    checks = []
    for threshold in thresholds:
        count = judged.get(threshold.query_set, 0)
        evaluation, check = _own_score(engine, space, threshold, count)
        checks.append(check)
        if live and skip_comparison:
            checks.append(Check(_against(threshold, live), True, "not compared (--skip-comparison)", {"skipped": True}))
        elif live and evaluation:
            checks.append(_compared(engine, space, live, threshold, evaluation))
    return checks


def _own_score(
    engine: Engine, space: EmbeddingSpace, threshold: Threshold, question_count: int
) -> tuple[_Evaluation | None, Check]:
    def failed(detail: str) -> tuple[None, Check]:
        return None, Check(threshold.name, False, detail, asdict(threshold))

    if threshold.problem:
        return failed(threshold.problem)
    if not question_count:
        return failed(f"query set {threshold.query_set} has no judged question: correct {THRESHOLDS}, or add judgments")
    evaluation = _latest_evaluation(engine, space, threshold)
    if evaluation is None:
        return failed(
            f"no evaluation of all {question_count} judged questions by plain {threshold.search_method} search for"
            f" {DEFAULT_TOP_K} hits, one a source:"
            f" run `vector spaces evaluate {space.space_key}{threshold.option}`"
        )
    if stale := _stale(engine, space, threshold, evaluation):
        return failed(stale)
    if not evaluation.scores:
        return failed(f"{threshold.metric} is not a metric of docs/search.md: correct {THRESHOLDS}")
    found = of_mean(evaluation.scores)
    figures = {
        **asdict(threshold), "evaluation_id": evaluation.evaluation_id, "top_k": DEFAULT_TOP_K,
        "mean_score": found.estimate, "ci_lower": found.ci_lower, "ci_upper": found.ci_upper,
        "query_count": found.query_count,
    }  # fmt: skip
    detail = (
        f"{found.estimate:.3f} (95% {found.ci_lower:.3f} to {found.ci_upper:.3f}, {found.query_count} questions);"
        f" at least {threshold.min_score:g}"
    )
    return evaluation, Check(threshold.name, found.estimate >= threshold.min_score, detail, figures)


def _compared(
    engine: Engine, space: EmbeddingSpace, live: EmbeddingSpace, threshold: Threshold, evaluation: _Evaluation
) -> Check:
    def failed(detail: str) -> Check:
        return Check(_against(threshold, live), False, detail, {"max_loss": threshold.max_loss})

    baseline = _latest_evaluation(engine, live, threshold)
    found = of_difference(evaluation.scores, baseline.scores) if baseline else None
    if baseline is None or found is None:
        return failed(
            f"{live.space_key} has not been asked the judged questions in the same way:"
            f" run `vector spaces evaluate {live.space_key}{threshold.option}`, or, if its model is gone,"
            " --skip-comparison"
        )
    if stale := _stale(engine, live, threshold, baseline):
        return failed(stale)
    # As the mart space_comparison has it, which tests/python/evaluation/test_evaluation.py compares.
    better = found.p_value < 0.05 and (space if found.ci_lower > 0 else live if found.ci_upper < 0 else None)
    if threshold.max_loss is None:
        passed, wanted = better is not live, "must not be significantly worse"
    else:
        passed, wanted = found.estimate >= -threshold.max_loss, f"may be worse by {threshold.max_loss:g}"
    detail = (
        f"{found.estimate:+.3f} (95% {found.ci_lower:+.3f} to {found.ci_upper:+.3f}, p {found.p_value:.3f}:"
        f" {f'{better.space_key} is better' if better else 'not distinguishable'}); {wanted}"
    )
    figures = {
        "max_loss": threshold.max_loss, "baseline_evaluation_id": baseline.evaluation_id,
        "mean_difference": found.estimate, "ci_lower": found.ci_lower, "ci_upper": found.ci_upper,
        "p_value": found.p_value, "query_count": found.query_count,
    }  # fmt: skip
    return Check(_against(threshold, live), passed, detail, figures)


def _against(threshold: Threshold, live: EmbeddingSpace) -> str:
    return f"{threshold.name}, against {live.space_key}"


def _stale(engine: Engine, space: EmbeddingSpace, threshold: Threshold, evaluation: _Evaluation) -> str | None:
    """What to do where the space may answer otherwise than when it was evaluated."""
    changed = _last_change(engine, space)
    if changed is None or evaluation.asked_utc >= changed:
        return None
    return (
        f"{space.space_key} was evaluated at {evaluation.asked_utc:%Y-%m-%d %H:%M:%S} UTC, and what it finds changed at"
        f" {changed:%Y-%m-%d %H:%M:%S}: run `vector spaces evaluate {space.space_key}{threshold.option}`"
    )


def _thresholds(engine: Engine) -> list[Threshold]:
    rows = engine.query(
        f"select query_set, search_method, metric, min_score, max_loss from {engine.table('publish_threshold_input')}"
        " order by query_set, search_method, metric"
    )
    return [Threshold(*row) for row in rows]


def _judged_questions(engine: Engine) -> dict[str, int]:
    """The number of questions with a relevant judgment, by query set."""
    rows = engine.query(
        f"select query_set, count(*) from {engine.table('eval_query_input')} where query_id in"
        f" (select query_id from {engine.table('eval_judgment_input')} where relevance > 0)"
        " group by query_set order by query_set"
    )
    return {query_set: int(count) for query_set, count in rows}


def _latest_evaluation(engine: Engine, space: EmbeddingSpace, threshold: Threshold) -> _Evaluation | None:
    """The latest unfiltered one that asked every judged question as `spaces evaluate` does, to which nothing was said
    but the threshold's method: the plain policy of the method, for as many hits."""
    rows = engine.query(
        f"select evaluation_id, evaluated_utc, asked_policy_json from {engine.table('evaluation')}"
        " where embedding_space_id = ? and query_set = ? and search_method = ? and filters_json is null and top_k = ?"
        " and missing_query_count = 0 order by evaluated_utc desc, evaluation_id",
        [space.embedding_space_id, threshold.query_set, threshold.search_method, DEFAULT_TOP_K],
    )
    plain = replace(BY_SOURCE, mode=threshold.search_method).in_warehouse(engine).asked_json(DEFAULT_TOP_K)
    for evaluation_id, asked_utc, policy_json in rows:
        # As objects: engines may write a number in several ways.
        if json_object(policy_json) == plain:
            return _Evaluation(
                evaluation_id, utc_of(asked_utc), scores_of(engine, evaluation_id).get(threshold.metric, {})
            )
    return None


def _last_change(engine: Engine, space: EmbeddingSpace) -> datetime | None:
    """When a search of the space could last come to find something else: the last vector that was written to it, or
    the last change of a chunk that has one, which was edited, retired, or came back."""
    ((written, changed),) = engine.query(
        "select max(embedding.created_utc), max(chunk.updated_utc)"
        f" from {engine.table('embedding')} as embedding"
        f" inner join {engine.table('chunk')} as chunk on chunk.chunk_id = embedding.chunk_id"
        " where embedding.embedding_space_id = ?",
        [space.embedding_space_id],
    )
    return max((utc_of(moment) for moment in (written, changed) if moment), default=None)

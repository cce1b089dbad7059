"""The part of the gate that asks how well a space answers: thresholds of the seed `publish_threshold`, against which
the evaluations in the log of searches are held (docs/evaluation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from vector.contracts.json_column import json_object
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Engine
from vector.errors import ConfigurationError
from vector.gate_check import Check
from vector.jobs.query_set import DEFAULT_TOP_K
from vector.search_policy import BY_SOURCE, MODES
from vector.store import VectorStore

_SEED = "seeds/evaluation/publish_threshold.csv"


@dataclass(frozen=True)
class Threshold:
    """A row of the seed. `max_loss` None: the live space must not be significantly better. None of the others should be
    None, and `problem` says where one is."""

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
            return f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: correct {_SEED}"
        if self.search_method not in MODES:
            return f"{self.search_method} is no search method ({', '.join(MODES)}): correct {_SEED}"
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
    """One that asked all judged questions of a set; `asked_utc` is when it asked the first, `policy_json` its asked
    policy as the marts write it."""

    evaluation_id: str
    policy_json: str
    asked_utc: datetime


def quality_checks(
    store: VectorStore, space: EmbeddingSpace, live: EmbeddingSpace | None, skip_comparison: bool
) -> list[Check]:
    """Two checks for each threshold: the space's own score and, where another space is live, the difference to it.

    Raises ConfigurationError when the seeds are not built.
    """
    engine = store.engine
    missing = engine.missing_relations(["eval_query", "eval_judgment", "publish_threshold"])
    if missing:
        raise ConfigurationError(f"the seed {missing[0]} is not built; run `dbt build` first")
    judged = _judged_questions(engine)
    thresholds = _thresholds(engine)
    if not thresholds:
        detail = "there are no judged questions and no thresholds: nothing to measure by"
        if judged:
            detail = f"no threshold says what is good enough for {', '.join(judged)}: add rows to {_SEED}, `dbt build`"
        return [Check("evaluation", not judged, detail, {"judged_questions": judged})]
    checks = []
    for threshold in thresholds:
        count = judged.get(threshold.query_set, 0)
        evaluation, check = _own_score(engine, space, threshold, count)
        checks.append(check)
        if live and skip_comparison:
            checks.append(Check(_against(threshold, live), True, "not compared (--skip-comparison)", {"skipped": True}))
        elif live and evaluation:
            checks.append(_compared(engine, space, live, threshold, count, evaluation))
    return checks


def _own_score(
    engine: Engine, space: EmbeddingSpace, threshold: Threshold, question_count: int
) -> tuple[_Evaluation | None, Check]:
    def failed(detail: str) -> tuple[None, Check]:
        return None, Check(threshold.name, False, detail, asdict(threshold))

    if threshold.problem:
        return failed(threshold.problem)
    if not question_count:
        return failed(f"query set {threshold.query_set} has no judged question: correct {_SEED}, or add judgments")
    evaluation = _latest_evaluation(engine, space, threshold, question_count)
    if evaluation is None:
        return failed(
            f"no evaluation of all {question_count} judged questions by plain {threshold.search_method} search for"
            f" {DEFAULT_TOP_K} hits, one a source:"
            f" run `vector spaces evaluate {space.space_key}{threshold.option}`"
        )
    changed = _last_change(engine, space)
    if changed and evaluation.asked_utc < changed:
        return failed(_stale(space, threshold, evaluation.asked_utc, changed))
    measured = engine.query(
        f"select mean_score, ci_lower, ci_upper, query_count from {engine.table('retrieval_quality')}"
        " where evaluation_id = ? and metric = ?",
        [evaluation.evaluation_id, threshold.metric],
    )
    if not measured:
        return failed(f"{threshold.metric} is not a metric of docs/evaluation.md: correct {_SEED}")
    ((mean, lower, upper, queries),) = measured
    figures = {
        **asdict(threshold), "evaluation_id": evaluation.evaluation_id, "top_k": DEFAULT_TOP_K, "mean_score": mean,
        "ci_lower": lower, "ci_upper": upper, "query_count": queries,
    }  # fmt: skip
    passed = mean >= threshold.min_score
    detail = f"{mean:.3f} (95% {lower:.3f} to {upper:.3f}, {queries} questions); at least {threshold.min_score:g}"
    return evaluation, Check(threshold.name, passed, detail, figures)


def _compared(
    engine: Engine,
    space: EmbeddingSpace,
    live: EmbeddingSpace,
    threshold: Threshold,
    question_count: int,
    evaluation: _Evaluation,
) -> Check:
    def failed(detail: str) -> Check:
        return Check(_against(threshold, live), False, detail, {"max_loss": threshold.max_loss})

    comparison = _comparison(engine, space, live, threshold, evaluation)
    again = f"run `vector spaces evaluate {space.space_key} {live.space_key}{threshold.option}`"
    if comparison is None or comparison["pair_count"] < question_count:
        pairs = comparison["pair_count"] if comparison else 0
        return failed(
            f"both spaces answered {pairs} of {question_count} judged questions in the same way: {again},"
            " or, if its model is gone, --skip-comparison"
        )
    for each, asked in ((live, comparison["asked_live"]), (space, comparison["asked_space"])):
        changed = _last_change(engine, each)
        if changed and asked < changed:
            return failed(_stale(each, threshold, asked, changed))
    difference, verdict = comparison["mean_difference"], comparison["verdict"]
    if threshold.max_loss is None:
        passed, wanted = verdict != "A better", "must not be significantly worse"
    else:
        passed, wanted = difference >= -threshold.max_loss, f"may be worse by {threshold.max_loss:g}"
    judgment = {"A better": f"{live.space_key} is better", "B better": f"{space.space_key} is better"}
    detail = (
        f"{difference:+.3f} (95% {comparison['ci_lower']:+.3f} to {comparison['ci_upper']:+.3f},"
        f" p {comparison['p_value']:.3f}: {judgment.get(verdict, verdict)}); {wanted}"
    )
    figures = {name: value for name, value in comparison.items() if not name.startswith("asked_")}
    return Check(_against(threshold, live), passed, detail, {"max_loss": threshold.max_loss, **figures})


def _against(threshold: Threshold, live: EmbeddingSpace) -> str:
    return f"{threshold.name}, against {live.space_key}"


def _stale(space: EmbeddingSpace, threshold: Threshold, asked: datetime, changed: datetime) -> str:
    return (
        f"{space.space_key} was evaluated at {asked:%Y-%m-%d %H:%M:%S} UTC, and what it finds changed at"
        f" {changed:%Y-%m-%d %H:%M:%S}: run `vector spaces evaluate {space.space_key}{threshold.option}`"
    )


def _thresholds(engine: Engine) -> list[Threshold]:
    rows = engine.query(
        f"select query_set, search_method, metric, min_score, max_loss from {engine.table('publish_threshold')}"
        " order by query_set, search_method, metric"
    )
    return [Threshold(*row) for row in rows]


def _judged_questions(engine: Engine) -> dict[str, int]:
    """The number of questions with a relevant judgment, by query set."""
    rows = engine.query(
        f"select query_set, count(*) from {engine.table('eval_query')} where query_id in"
        f" (select query_id from {engine.table('eval_judgment')} where relevance > 0)"
        " group by query_set order by query_set"
    )
    return {query_set: int(count) for query_set, count in rows}


def _latest_evaluation(
    engine: Engine, space: EmbeddingSpace, threshold: Threshold, question_count: int
) -> _Evaluation | None:
    """The latest unfiltered one that asked every judged question as `spaces evaluate` does, to which nothing was said
    but the threshold's method: the plain policy of the method, for as many hits."""
    rows = engine.query(
        "select evaluation_id, asked_policy_json, min(searched_utc) as asked_utc"
        f" from {engine.table('eval_retrieval')}"
        " where embedding_space_id = ? and query_set = ? and search_method = ? and filters_json is null"
        f" and top_k = ? and query_id in (select query_id from {engine.table('eval_judgment')} where relevance > 0)"
        " group by evaluation_id, asked_policy_json having count(*) >= ?"
        " order by asked_utc desc, evaluation_id",
        [
            space.embedding_space_id, threshold.query_set, threshold.search_method, DEFAULT_TOP_K, question_count,
        ],
    )  # fmt: skip
    plain = replace(BY_SOURCE, mode=threshold.search_method).in_warehouse(engine).asked_json(DEFAULT_TOP_K)
    # As objects: engines may write a number in several ways.
    evaluations = (_Evaluation(*row) for row in rows)
    return next((each for each in evaluations if json_object(each.policy_json) == plain), None)


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
    return max((moment for moment in (written, changed) if moment), default=None)


def _comparison(
    engine: Engine, space: EmbeddingSpace, live: EmbeddingSpace, threshold: Threshold, evaluation: _Evaluation
) -> dict[str, Any] | None:
    """What space_comparison says of the live space as A and the space as B, and when each was first asked."""
    pairs = engine.query(
        "select comparison_id, count(*), min(searched_utc_a), min(searched_utc_b)"
        f" from {engine.table('eval_pair')}"
        " where embedding_space_id_a = ? and embedding_space_id_b = ? and query_set = ? and asked_policy_json = ?"
        f" and filters_json is null and top_k = ? and query_id in"
        f" (select query_id from {engine.table('eval_judgment')} where relevance > 0) group by comparison_id",
        [
            live.embedding_space_id, space.embedding_space_id, threshold.query_set, evaluation.policy_json,
            DEFAULT_TOP_K,
        ],
    )  # fmt: skip
    if not pairs:
        return None
    comparison_id, pair_count, asked_live, asked_space = pairs[0]
    columns = "mean_a mean_b mean_difference ci_lower ci_upper p_value query_count verdict".split()
    rows: Sequence[tuple] = engine.query(
        f"select {', '.join(columns)} from {engine.table('space_comparison')} where comparison_id = ? and metric = ?",
        [comparison_id, threshold.metric],
    )
    return {
        "comparison_id": comparison_id, "pair_count": int(pair_count), "asked_live": asked_live,
        "asked_space": asked_space, **dict(zip(columns, rows[0], strict=True)),
    }  # fmt: skip

"""What earlier runs of a space tell about the next one."""

from __future__ import annotations

from dataclasses import dataclass

from vector.contracts.json_column import json_object, number_in
from vector.contracts.models import EmbeddingSpace
from vector.store import VectorStore

_RUNS = 5


@dataclass(frozen=True)
class EarlierRuns:
    """Rates of the space's last runs that finished: bytes of input a second of wall time, and tokens a byte. None
    where there was none, or no tokens were counted. `max_batch_texts` is what the last of them knew of the most texts a
    request; a run that sent larger ones and met no refusal has nothing to say."""

    bytes_per_second: float | None = None
    tokens_per_byte: float | None = None
    max_batch_texts: int | None = None


def earlier_runs(store: VectorStore, space: EmbeddingSpace) -> EarlierRuns:
    """The rates of the last five SUCCEEDED runs of the space that called a model."""
    rows = store.engine.query(
        f"select metrics_json from {store.engine.table('run')} where embedding_space_id = ? and status = 'SUCCEEDED'"
        " and metrics_json like ? and metrics_json not like ?"
        " order by completed_utc desc, run_id offset 0 rows fetch next ? rows only",
        [space.embedding_space_id, '%"input_bytes":%', '%"planned":0,%', 4 * _RUNS],
    )
    metrics = [json_object(text) for (text,) in rows]
    metrics = [each for each in metrics if number_in(each, "input_bytes") and number_in(each, "seconds")][:_RUNS]
    size = sum(number_in(each, "input_bytes") for each in metrics)
    # Without the check of the model, which takes as long for a small run as for a large one.
    seconds = sum(number_in(each, "seconds") - number_in(each, "canary_seconds") for each in metrics)
    counted = [each for each in metrics if each.get("tokens_counted")]
    counted_bytes = sum(number_in(each, "input_bytes") for each in counted)
    return EarlierRuns(
        size / seconds if seconds > 0 else None,
        sum(number_in(each, "input_tokens") for each in counted) / counted_bytes if counted_bytes else None,
        int(number_in(metrics[0], "max_batch_texts")) or None if metrics else None,
    )

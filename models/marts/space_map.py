"""The table space_map: see space_map.yml. dbt runs this file on its own, so it imports nothing of this project."""

import numpy as np
import pyarrow as pa

COLUMNS = {
    "embedding_space_id": pa.string(),
    "space_key": pa.string(),
    "chunk_id": pa.string(),
    "content_sha256": pa.string(),
    "source_id": pa.string(),
    "source_type": pa.string(),
    "x": pa.float64(),
    "y": pa.float64(),
    "x_variance_share": pa.float64(),
    "y_variance_share": pa.float64(),
    "space_chunk_count": pa.int32(),
}
# Chunk ids are digests, so the first of them are a sample that no property of a chunk decides.
SPACES = "select embedding_space_id, count(*) from vectors group by all order by all"
SAMPLE = """
    select chunk_id, input_content_sha256 as content_sha256, source_id, source_type, vector
    from vectors
    where embedding_space_id = '{space}' and embedding_id in (
        select embedding_id from vectors where embedding_space_id = '{space}' order by chunk_id limit {limit}
    )
    order by chunk_id
"""


def model(dbt, session):
    """A row for each current chunk of the sample of each space."""
    dbt.config(materialized="table")
    # dbt 1.10 has no meta_get in a Python model; dbt looks for the call itself, so it stands alone.
    meta = dbt.config.get("meta")
    limit = int(meta["max_chunks"])
    keys = dict(dbt.ref("vector_runtime", "embedding_space").project("embedding_space_id, space_key").fetchall())
    vectors = dbt.ref("vector_runtime", "embedding_current")
    maps = [pa.schema(COLUMNS.items()).empty_table()]
    for space, count in vectors.query("vectors", SPACES).fetchall():
        sample = vectors.query("vectors", SAMPLE.format(space=space, limit=limit)).to_arrow_table()
        maps.append(space_map(finite(sample), space, keys[space], count))
    return pa.concat_tables(maps)


def finite(sample):
    """The rows whose vectors are finite: one that is not, which a data test names, would leave no map of the others."""
    return sample.filter(pa.array(np.isfinite(vectors_of(sample)).all(axis=1)))


def vectors_of(sample):
    """The vectors of the rows, (n, dimensions); NaN for null."""
    numbers = sample["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return numbers.reshape(len(sample), -1) if len(sample) else np.zeros((0, 2))


def space_map(sample, space, key, count):
    """The rows of one space."""
    vectors = vectors_of(sample)
    coordinates, shares = project_plane(vectors)
    computed = {"x": coordinates[:, 0], "y": coordinates[:, 1]}
    same = {
        "embedding_space_id": space,
        "space_key": key,
        "x_variance_share": shares[0],
        "y_variance_share": shares[1],
        "space_chunk_count": count,
    }
    columns = {name: [value] * len(sample) for name, value in same.items()} | computed
    arrays = [
        pa.array(columns[name], type) if name in columns else sample[name].cast(type) for name, type in COLUMNS.items()
    ]
    return pa.table(arrays, names=list(COLUMNS))


def project_plane(vectors):
    """Coordinates of n vectors, (n, 2), and the share of their variance that each axis shows, (2,).

    Principal component analysis (Pearson 1901; Jolliffe 2002, chapter 1) of the centred vectors, in float64, by their
    singular values. An axis may point either way: it is turned so that its largest element in absolute value is
    positive, as scikit-learn does. Of vectors that are all alike, all is 0.
    """
    if not len(vectors):
        return np.zeros((0, 2)), np.zeros(2)
    centred = np.asarray(vectors, dtype=np.float64)
    scale = np.linalg.norm(centred)
    centred = centred - centred.mean(axis=0)
    # Two axes there are always, be it of length 0.
    centred = np.pad(centred, [(0, max(0, 2 - size)) for size in centred.shape])
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    # What is left of equal vectors is rounding, not variance.
    values = np.where(values > 1e-10 * scale, values, 0)
    axes = axes[:2] * (values[:2, None] > 1e-7 * values[0])
    turns = np.where(axes[[0, 1], np.abs(axes).argmax(axis=1)] < 0, -1, 1)
    return (centred @ axes.T * turns)[: len(vectors)], np.square(values[:2]) / (np.square(values).sum() or 1)

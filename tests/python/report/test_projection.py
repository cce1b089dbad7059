"""The plane of a space: principal components, by hand and by scikit-learn's definition, and the table of them."""

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support import PROJECT_DIR, VECTOR

from vector.contracts.models import VectorEmbedding

# dbt runs the file on its own: it is no module of a package.
_SPEC = spec_from_file_location("space_map", PROJECT_DIR / "models" / "marts" / "space_map.py")
space_map = module_from_spec(_SPEC)
_SPEC.loader.exec_module(space_map)
project_plane = space_map.project_plane
VECTORS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 12)),
    elements=st.floats(-1, 1, width=32, allow_subnormal=False),
)


def test_four_points_by_hand():
    """A cross, longer along (3, 4) / 5 than along (-4, 3) / 5: scatter 2 x 10^2 and 2 x 5^2, shares 0.8 and 0.2. The
    axes are turned to where their larger element, 4, is positive: (3, 4) / 5 and (4, -3) / 5."""
    centre = np.array([7, 1])
    points = centre + np.array([[6, 8], [-6, -8], [-4, 3], [4, -3]])
    coordinates, shares = project_plane(points)
    assert coordinates == pytest.approx(np.array([[10, 0], [-10, 0], [0, -5], [0, 5]]), abs=1e-12)
    assert shares == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize("zeros", [0, 5])
def test_points_on_a_line_have_one_axis(zeros):
    """Also where there are more dimensions than points."""
    points = np.array([[0, 0, 0], [1, 2, 2], [2, 4, 4]])
    coordinates, shares = project_plane(np.pad(points, ((0, 0), (0, zeros))))
    assert coordinates == pytest.approx(np.array([[-3, 0], [0, 0], [3, 0]]), abs=1e-7)
    assert shares == pytest.approx([1, 0])


@pytest.mark.parametrize("vectors", [[[0.1, 0.2, 0.3]], [[0.1, 0.2, 0.3]] * 7, [[0.0, 0.0]] * 3])
def test_equal_points_are_all_in_the_middle(vectors):
    coordinates, shares = project_plane(np.array(vectors, dtype=np.float32))
    assert not coordinates.any()
    assert not shares.any()


def test_a_space_of_one_dimension_is_a_line():
    coordinates, shares = project_plane(np.array([[1.0], [3.0]]))
    assert coordinates == pytest.approx(np.array([[-1, 0], [1, 0]]))
    assert shares == pytest.approx([1, 0])


@given(VECTORS)
def test_the_plane_is_that_of_the_singular_values(vectors):
    """No plane shows more of the variance than the singular values say, and this one shows as much."""
    coordinates, shares = project_plane(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    singular = np.append(np.linalg.svd(centred, compute_uv=False), [0, 0])[:2]
    assert np.square(coordinates).sum(axis=0) == pytest.approx(singular**2, abs=1e-9)
    assert coordinates.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert 0 <= shares[1] <= shares[0] <= 1 + 1e-9


@given(VECTORS, st.randoms(use_true_random=False))
def test_the_order_of_the_vectors_does_not_matter(vectors, random):
    """Where the axes are no tie: of equal variances, and of equal largest elements, any may come first."""
    order = list(range(len(vectors)))
    random.shuffle(order)
    coordinates, shares = project_plane(vectors)
    shuffled, shares_shuffled = project_plane(vectors[order])
    assert shares_shuffled == pytest.approx(shares, abs=1e-9)
    assert np.square(shuffled).sum(axis=0) == pytest.approx(np.square(coordinates).sum(axis=0), abs=1e-9)


# The table


def test_the_map_is_of_the_current_chunks_of_each_space(project, chunk, embedding):
    """A vector of an earlier text is not on the map, and a second space has axes of its own."""
    with project.store() as store:
        store.save_embedding(embedding)
        other = store.get_or_create_embedding_space("hash", "other", 8, is_active=False)
        store.save_embedding(
            VectorEmbedding.create_new(chunk.chunk_id, other.embedding_space_id, chunk.content_sha256, VECTOR)
        )
    with project.connect() as connection:
        connection.execute("update chunk set retired_utc = now() where source_id = 'page:io'")
    project.build("--select", "space_map")

    expected = project.query("select chunk_id, embedding_space_id, input_content_sha256 from embedding_current")
    assert set(project.query("select chunk_id, embedding_space_id, content_sha256 from space_map")) == set(expected)
    vectors = project.query("select vector from embedding_current where space_key = 'hash' order by chunk_id")
    rows = project.query(
        "select x, y, x_variance_share, y_variance_share, space_chunk_count from space_map where space_key = 'hash'"
        " order by chunk_id"
    )
    coordinates, shares = project_plane(np.array([vector for (vector,) in vectors]))
    assert np.array([row[:2] for row in rows]) == pytest.approx(coordinates, abs=1e-9)
    assert {row[2:] for row in rows} == {(*shares, len(vectors))}
    assert project.query("select x, y, space_chunk_count from space_map where space_key <> 'hash'") == [(0, 0, 1)]
    assert project.test("--select", "space_map").success


@pytest.mark.long
def test_a_large_space_is_mapped_by_a_sample(project):
    project.build("--select", "space_map", "--vars", "space_map_max_chunks: 20")
    first = project.query("select chunk_id from embedding_current order by chunk_id limit 20")
    count = project.query("select count(*) from embedding_current")[0][0]
    assert project.query("select chunk_id from space_map order by chunk_id") == first
    assert project.query("select distinct space_chunk_count from space_map") == [(count,)]


def test_a_warehouse_without_vectors_has_an_empty_map(project):
    with project.connect() as connection:
        connection.execute("delete from embedding")
    project.build("--select", "space_map")
    assert project.query("select * from space_map") == []
    columns = dict(project.query("select column_name, data_type from duckdb_columns() where table_name = 'space_map'"))
    assert (columns["x"], columns["space_chunk_count"], columns["chunk_id"]) == ("DOUBLE", "INTEGER", "VARCHAR")


def test_a_vector_that_is_not_finite_leaves_the_map_of_the_others():
    for numbers, kept in (([None, 1.0], 2), ([float("nan"), 1.0], 2), ([0.5, 0.5], 3)):
        vectors = [[1.0, 2.0], numbers, [3.0, 1.0]]
        columns = {name: ["a", "b", "c"] for name in ("chunk_id", "content_sha256", "source_id", "source_type")}
        sample = pa.table({**columns, "vector": pa.array(vectors, pa.list_(pa.float32()))})
        made = space_map.space_map(space_map.finite(sample), "space", "key", 3)
        assert len(made) == kept
        assert np.isfinite(made["x"].to_numpy()).all()
    assert len(space_map.space_map(space_map.finite(sample.slice(0, 0)), "space", "key", 0)) == 0

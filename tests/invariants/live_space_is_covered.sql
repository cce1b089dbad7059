{{ config(severity='warn') }}

-- The live space where it lacks vectors of more current chunks than `min_live_coverage` allows: search does not find
-- them. Where it is active, embedding mends that; an inactive one is never embedded again.
select
    coverage.space_key,
    sum(coverage.current_count) as current_count,
    sum(coverage.chunk_count) as chunk_count
from {{ ref('vector_runtime', 'space_coverage') }} as coverage
inner join {{ ref('vector_runtime', 'space_status') }} as space_status
    on coverage.embedding_space_id = space_status.embedding_space_id
where space_status.status = 'live'
group by coverage.space_key
having sum(coverage.current_count) < {{ var('min_live_coverage') }} * sum(coverage.chunk_count)

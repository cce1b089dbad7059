-- Characters of a registered source that are in no chunk: a gap before a chunk, or after the last one. Of Python's
-- sources, those that a declared policy cut.
select
    placed.source_id,
    placed.start_offset,
    placed.covered_until
from (
    select
        chunk.source_id,
        chunk.start_offset,
        chunk.end_offset,
        source_registry.char_count,
        coalesce(
            max(chunk.end_offset) over (
                partition by chunk.source_id
                order by chunk.start_offset
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as covered_until,
        max(chunk.end_offset) over (partition by chunk.source_id) as last_offset
    from {{ ref('chunk_catalog') }} as chunk
    inner join {{ ref('source_registry') }} as source_registry
        on chunk.source_id = source_registry.source_id
    left join {{ ref('chunk_policy') }} as chunk_policy
        on source_registry.policy_version = chunk_policy.policy_version
    where
        chunk.chunk_status = 'current'
        and not {{ is_true('source_registry.chunk_capped_flag') }}
        and (source_registry.managed_by = 'dbt' or chunk_policy.policy_version is not null)
) as placed
where
    placed.start_offset > placed.covered_until
    or placed.last_offset <> placed.char_count

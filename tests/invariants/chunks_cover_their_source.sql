-- Characters of a registered source that are in no chunk, a gap before a chunk or after the last one, other than those
-- of its blank windows. Of Python's sources, those that a declared policy cut.
select
    placed.source_id,
    sum(case
        when placed.start_offset > placed.covered_until then placed.start_offset - placed.covered_until
        else 0
    end)
    + max(placed.char_count) - max(placed.end_offset) as uncovered_chars,
    max(placed.blank_char_count) as blank_char_count
from (
    select
        chunk.source_id,
        chunk.start_offset,
        chunk.end_offset,
        source_registry.char_count,
        coalesce(source_registry.blank_char_count, 0) as blank_char_count,
        coalesce(
            max(chunk.end_offset) over (
                partition by chunk.source_id
                order by chunk.start_offset
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as covered_until
    from (
        select
            source_id,
            cast({{ json_text('offsets_json', '$.start_offset') }} as integer) as start_offset,
            cast({{ json_text('offsets_json', '$.end_offset') }} as integer) as end_offset
        from {{ ref('vector_runtime', 'chunk') }}
        where retired_utc is null
    ) as chunk
    inner join {{ ref('vector_runtime', 'source_registry') }} as source_registry
        on chunk.source_id = source_registry.source_id
    left join {{ ref('vector_runtime', 'chunk_policy_input') }} as chunk_policy
        on source_registry.policy_version = chunk_policy.policy_version
    where
        not {{ is_true('source_registry.chunk_capped_flag') }}
        and (source_registry.managed_by = 'dbt' or chunk_policy.policy_version is not null)
) as placed
group by placed.source_id
having
    sum(case
        when placed.start_offset > placed.covered_until then placed.start_offset - placed.covered_until
        else 0
    end)
    + max(placed.char_count) - max(placed.end_offset) <> max(placed.blank_char_count)

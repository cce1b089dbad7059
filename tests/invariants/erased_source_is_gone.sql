-- Sources that are back although they were erased, which nobody has lifted: run `vector erase` again.
with

erasures as (

    select * from {{ ref('vector_runtime', 'erasure') }}
    where
        kind = 'source'
        and lifted_utc is null
        and completed_utc is not null

),

sources as (

    select source_id from {{ ref('vector_runtime', 'source_registry') }}
    union
    select source_id from {{ ref('vector_runtime', 'chunk') }}

),

final as (

    select
        sources.source_id,
        erasures.erasure_id
    from sources
    inner join erasures
        on erasures.subject_sha256 = {{ sha256_hex("concat(erasures.salt, ':', sources.source_id)") }}

)

select * from final

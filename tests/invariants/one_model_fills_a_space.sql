-- Spaces of more than one model, by the digests of the runs that wrote their vectors and of the canaries that they are
-- pinned to, or of another than their own.
select
    embedding_space.space_key,
    count(distinct used.model_digest) as digest_count
from (
    select
        embedding.embedding_space_id,
        run.model_digest
    from {{ ref('vector_runtime', 'embedding') }} as embedding
    inner join {{ ref('vector_runtime', 'run') }} as run
        on embedding.run_id = run.run_id
    union
    select
        embedding_space_id,
        model_digest
    from {{ ref('vector_runtime', 'embedding_canary') }}
) as used
inner join {{ ref('vector_runtime', 'embedding_space') }} as embedding_space
    on used.embedding_space_id = embedding_space.embedding_space_id
where used.model_digest is not null
group by embedding_space.space_key
having
    count(distinct used.model_digest) > 1
    or max(case when used.model_digest <> embedding_space.model_digest then 1 else 0 end) = 1

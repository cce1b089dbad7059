-- Spaces with vectors of more than one model, by the digests that their runs recorded, or of another than their own.
select
    embedding_space.space_key,
    count(distinct run.model_digest) as digest_count
from {{ ref('embedding') }} as embedding
inner join {{ ref('run') }} as run
    on embedding.run_id = run.run_id
inner join {{ ref('embedding_space') }} as embedding_space
    on embedding.embedding_space_id = embedding_space.embedding_space_id
where run.model_digest is not null
group by embedding_space.space_key
having
    count(distinct run.model_digest) > 1
    or max(case when run.model_digest <> embedding_space.model_digest then 1 else 0 end) = 1

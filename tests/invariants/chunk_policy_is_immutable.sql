-- Policy versions that have cut chunks in more than one way: a changed policy needs a new policy_version. What others
-- save through the store, under policies of their own, is not looked at.
select chunk_catalog.policy_version
from {{ ref('vector_runtime', 'chunk_catalog') }} as chunk_catalog
inner join {{ ref('vector_runtime', 'chunk') }} as chunk
    on chunk_catalog.chunk_id = chunk.chunk_id
left join {{ ref('vector_runtime', 'chunk_policy_input') }} as chunk_policy
    on chunk_catalog.policy_version = chunk_policy.policy_version
where
    chunk.managed_by = 'dbt'
    or chunk_policy.policy_version is not null
group by chunk_catalog.policy_version
having count(distinct chunk.policy_json) > 1

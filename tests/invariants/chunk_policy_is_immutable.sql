-- Policy versions that have cut chunks in more than one way: a changed policy needs a new policy_version.
select chunk_catalog.policy_version
from {{ ref('chunk_catalog') }} as chunk_catalog
inner join {{ ref('chunk') }} as chunk
    on chunk_catalog.chunk_id = chunk.chunk_id
where chunk.managed_by = 'dbt'
group by chunk_catalog.policy_version
having count(distinct chunk.policy_json) > 1

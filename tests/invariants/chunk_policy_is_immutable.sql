-- Policy versions that have cut chunks in more than one way: a changed policy needs a new policy_version. What others
-- save through the store, under policies of their own, is not looked at.
select cut.policy_version
from (
    select
        {{ json_text('policy_json', '$.version') }} as policy_version,
        policy_json,
        managed_by
    from {{ ref('vector_runtime', 'chunk') }}
) as cut
left join {{ ref('vector_runtime', 'chunk_policy_input') }} as chunk_policy
    on cut.policy_version = chunk_policy.policy_version
where
    cut.managed_by = 'dbt'
    or chunk_policy.policy_version is not null
group by cut.policy_version
having count(distinct cut.policy_json) > 1

-- Publications that are not numbered without gaps, replace another space than the one that was live, put a space in its
-- own place, retire the live one, or roll back to one that was retired.
with publications as (
    select
        publication_id,
        publication_number,
        embedding_space_id,
        previous_space_id,
        action,
        row_number() over (order by publication_number) as expected_number,
        lag(action) over (partition by embedding_space_id order by publication_number) as last_action_of_space,
        max(case when action in ('publish', 'rollback') then publication_number end) over (
            order by publication_number rows between unbounded preceding and 1 preceding
        ) as switch_number
    from {{ ref('vector_runtime', 'space_publication') }}
),

history as (
    select
        publications.publication_id,
        publications.publication_number,
        publications.embedding_space_id,
        publications.previous_space_id,
        publications.action,
        publications.expected_number,
        publications.last_action_of_space,
        switch.embedding_space_id as live_space_id
    from publications
    left join {{ ref('vector_runtime', 'space_publication') }} as switch
        on publications.switch_number = switch.publication_number
)

select publication_id
from history
where
    publication_number <> expected_number
    or embedding_space_id = live_space_id
    or (action = 'rollback' and last_action_of_space = 'retire')
    or coalesce(previous_space_id, 'none') <> case
        when action = 'retire' then 'none' else coalesce(live_space_id, 'none')
    end

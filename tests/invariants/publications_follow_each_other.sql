-- Publications that are not numbered without gaps, replace another space than the one that was live, put a space in its
-- own place, retire the live one, or roll back to one that was retired.
select history.publication_id
from (
    select
        publications.publication_id,
        publications.publication_number,
        publications.embedding_space_id,
        publications.previous_space_id,
        publications.action,
        row_number() over (order by publications.publication_number) as expected_number,
        lag(publications.action) over (
            partition by publications.embedding_space_id order by publications.publication_number
        ) as last_action_of_space,
        (
            select earlier.embedding_space_id
            from {{ ref('vector_runtime', 'space_publication') }} as earlier
            where
                earlier.publication_number = (
                    select max(switch.publication_number)
                    from {{ ref('vector_runtime', 'space_publication') }} as switch
                    where
                        switch.action in ('publish', 'rollback')
                        and switch.publication_number < publications.publication_number
                )
        ) as live_space_id
    from {{ ref('vector_runtime', 'space_publication') }} as publications
) as history
where
    history.publication_number <> history.expected_number
    or history.embedding_space_id = history.live_space_id
    or (history.action = 'rollback' and history.last_action_of_space = 'retire')
    or coalesce(history.previous_space_id, 'none') <> case
        when history.action = 'retire' then 'none' else coalesce(history.live_space_id, 'none')
    end

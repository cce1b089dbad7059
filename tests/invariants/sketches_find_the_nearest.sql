{{ config(severity='warn') }}

-- Spaces of which searches by sketches find less than 98 of 100 hits of an exact search. `VECTOR_SEARCH=exact` compares
-- every vector; `vector spaces sketch KEY --renew` makes the sketches anew, and measures again.
select
    space_key,
    asked,
    recall_at_10
from {{ ref('vector_runtime', 'search_recall') }}
where recall_at_10 < 0.98

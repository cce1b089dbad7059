with

retrievals as (

    select * from {{ ref('vector_runtime', 'eval_retrieval') }}

),

queries as (

    select * from {{ ref('vector_runtime', 'eval_query_input') }}

),

judgments as (

    select distinct query_id
    from {{ ref('vector_runtime', 'eval_judgment_input') }}
    where relevance > 0

),

judged_queries as (

    select
        queries.query_id,
        queries.query_set
    from queries
    inner join judgments
        on queries.query_id = judgments.query_id

),

judged_sets as (

    select
        query_set,
        count(*) as query_count
    from judged_queries
    group by query_set

),

asked as (

    select
        retrievals.evaluation_id,
        retrievals.embedding_space_id,
        retrievals.space_key,
        retrievals.run_id,
        retrievals.query_set,
        retrievals.search_method,
        retrievals.asked_policy_json,
        retrievals.filters_json,
        retrievals.top_k,
        retrievals.evaluated_utc,
        count(*) as query_count,
        count(judged_queries.query_id) as judged_query_count
    from retrievals
    left join judged_queries
        on retrievals.query_id = judged_queries.query_id
    group by
        retrievals.evaluation_id, retrievals.embedding_space_id, retrievals.space_key, retrievals.run_id,
        retrievals.query_set, retrievals.search_method, retrievals.asked_policy_json, retrievals.filters_json,
        retrievals.top_k, retrievals.evaluated_utc

),

final as (

    select
        asked.evaluation_id,
        asked.embedding_space_id,
        asked.space_key,
        asked.run_id,
        asked.query_set,
        asked.search_method,
        asked.asked_policy_json,
        asked.filters_json,
        asked.top_k,
        cast(asked.evaluated_utc as date) as evaluated_date,
        asked.evaluated_utc,
        cast(asked.query_count as integer) as query_count,
        cast(asked.query_count - asked.judged_query_count as integer) as unjudged_query_count,
        cast(coalesce(judged_sets.query_count, 0) - asked.judged_query_count as integer) as missing_query_count
    from asked
    left join judged_sets
        on asked.query_set = judged_sets.query_set

)

select * from final

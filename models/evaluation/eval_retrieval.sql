with

retrievals as (

    select * from {{ ref('vector_runtime', 'retrieval') }}
    where eval_query_id is not null

),

queries as (

    select
        query_id,
        query_set,
        {{ sha256_hex('query_text') }} as query_sha256
    from {{ ref('vector_runtime', 'eval_query_input') }}

),

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

-- What was asked before the question was worded anew is an answer to another question.
evaluated as (

    select
        retrievals.*,
        queries.query_set,
        spaces.space_key,
        {{ json_text('retrievals.policy_json', '$.method') }} as search_method,
        {{ json_without('retrievals.policy_json', 'distance_metric') }} as asked_policy_json,
        concat(
            retrievals.embedding_space_id, ':', coalesce(retrievals.run_id, {{ iso_date('retrievals.created_utc') }}),
            ':', queries.query_set, ':', retrievals.top_k, ':', coalesce(retrievals.policy_json, ''), ':',
            coalesce(retrievals.filters_json, '')
        ) as evaluation
    from retrievals
    inner join queries
        on
            retrievals.eval_query_id = queries.query_id
            and retrievals.query_sha256 = queries.query_sha256
    inner join spaces
        on retrievals.embedding_space_id = spaces.embedding_space_id

),

with_id as (

    select
        *,
        {{ sha256_hex('evaluation') }} as evaluation_id
    from evaluated

),

-- A run that was taken up again may have asked twice.
numbered as (

    select
        *,
        min(created_utc) over (partition by evaluation_id) as evaluated_utc,
        row_number() over (partition by evaluation_id, eval_query_id order by created_utc desc, retrieval_id asc)
            as recency
    from with_id

),

final as (

    select
        retrieval_id,
        evaluation_id,
        embedding_space_id,
        space_key,
        run_id,
        query_set,
        eval_query_id as query_id,
        search_method,
        policy_json,
        asked_policy_json,
        filters_json,
        top_k,
        evaluated_utc,
        created_utc as searched_utc
    from numbered
    where recency = 1

)

select * from final

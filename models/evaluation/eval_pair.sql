with

retrievals as (

    select * from {{ ref('eval_retrieval') }}

),

numbered as (

    select
        *,
        coalesce(asked_policy_json, '') as asked_policy,
        coalesce(filters_json, '') as asked_filters,
        row_number() over (
            partition by embedding_space_id, query_id, asked_policy_json, filters_json, top_k
            order by searched_utc desc, retrieval_id asc
        ) as recency
    from retrievals

),

latest as (

    select *
    from numbered
    where recency = 1

),

-- The metric follows from the space, and may differ; all else that was asked is the same.
final as (

    select
        {{ sha256_hex(
            "concat(a.embedding_space_id, ':', b.embedding_space_id, ':', a.query_set, ':', a.top_k, ':',"
            " a.asked_policy, ':', a.asked_filters)"
        ) }} as comparison_id,
        a.query_id,
        a.query_set,
        a.search_method,
        a.asked_policy_json,
        a.filters_json,
        a.top_k,
        a.embedding_space_id as embedding_space_id_a,
        b.embedding_space_id as embedding_space_id_b,
        a.space_key as space_key_a,
        b.space_key as space_key_b,
        a.retrieval_id as retrieval_id_a,
        b.retrieval_id as retrieval_id_b,
        a.searched_utc as searched_utc_a,
        b.searched_utc as searched_utc_b
    from latest as a
    inner join latest as b
        on
            a.query_id = b.query_id
            and a.top_k = b.top_k
            and a.asked_policy = b.asked_policy
            and a.asked_filters = b.asked_filters
            and a.embedding_space_id <> b.embedding_space_id

)

select * from final

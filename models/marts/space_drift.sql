with

pairs as (

    select * from {{ ref('eval_pair') }}

),

queries as (

    select * from {{ ref('eval_query') }}

),

rank_overlaps as (

    select * from {{ ref('eval_rank_overlap') }}

),

hits as (

    select * from {{ ref('retrieval_hit') }}

),

score_ranges as (

    select
        retrieval_id,
        min(score) as lowest_score,
        avg(score) as mean_score,
        max(score) as highest_score
    from hits
    group by retrieval_id

),

final as (

    select
        pairs.comparison_id,
        pairs.query_id,
        queries.query_text,
        pairs.query_set,
        pairs.search_method,
        pairs.asked_policy_json,
        pairs.filters_json,
        pairs.top_k,
        pairs.embedding_space_id_a,
        pairs.embedding_space_id_b,
        pairs.space_key_a,
        pairs.space_key_b,
        pairs.retrieval_id_a,
        pairs.retrieval_id_b,
        pairs.searched_utc_a,
        pairs.searched_utc_b,
        rank_overlaps.source_count_a,
        rank_overlaps.source_count_b,
        rank_overlaps.common_source_count,
        rank_overlaps.overlap_at_10,
        rank_overlaps.jaccard,
        rank_overlaps.rank_biased_overlap,
        rank_overlaps.mean_rank_shift,
        scores_a.lowest_score as lowest_score_a,
        scores_a.mean_score as mean_score_a,
        scores_a.highest_score as highest_score_a,
        scores_b.lowest_score as lowest_score_b,
        scores_b.mean_score as mean_score_b,
        scores_b.highest_score as highest_score_b
    from pairs
    inner join queries
        on pairs.query_id = queries.query_id
    inner join rank_overlaps
        on
            pairs.retrieval_id_a = rank_overlaps.retrieval_id_a
            and pairs.retrieval_id_b = rank_overlaps.retrieval_id_b
    left join score_ranges as scores_a
        on pairs.retrieval_id_a = scores_a.retrieval_id
    left join score_ranges as scores_b
        on pairs.retrieval_id_b = scores_b.retrieval_id

)

select * from final

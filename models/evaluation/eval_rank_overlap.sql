{%- set persistence = var('rbo_persistence') | string ~ 'e0' -%}

with

pairs as (

    select * from {{ ref('eval_pair') }}

),

ranking as (

    select * from {{ ref('eval_ranking') }}

),

lengths as (

    select
        retrieval_id,
        count(*) as source_count
    from ranking
    group by retrieval_id

),

longest as (

    select max(source_count) as source_count
    from lengths
    having count(*) > 0

),

depths as (

    select depth_numbers.n + 1 as depth
    from longest
    {{ cross_join_series('longest.source_count', 'depth_numbers') }}

),

-- Sums over the depths 1 to `depth` of p^d, and of p^d / d.
weights as (

    select
        depth,
        sum(power({{ persistence }}, depth)) over (order by depth rows unbounded preceding) as weight_sum,
        sum(power({{ persistence }}, depth) / depth) over (order by depth rows unbounded preceding)
            as averaged_weight_sum
    from depths

),

paired_lengths as (

    select
        pairs.retrieval_id_a,
        pairs.retrieval_id_b,
        coalesce(lengths_a.source_count, 0) as source_count_a,
        coalesce(lengths_b.source_count, 0) as source_count_b,
        case
            when lengths_a.source_count <= lengths_b.source_count then lengths_a.source_count
            when lengths_b.source_count < lengths_a.source_count then lengths_b.source_count
            else 0
        end as shorter_length,
        case
            when lengths_a.source_count >= lengths_b.source_count then lengths_a.source_count
            when lengths_b.source_count > lengths_a.source_count then lengths_b.source_count
            else coalesce(lengths_a.source_count, lengths_b.source_count, 0)
        end as longer_length
    from pairs
    left join lengths as lengths_a
        on pairs.retrieval_id_a = lengths_a.retrieval_id
    left join lengths as lengths_b
        on pairs.retrieval_id_b = lengths_b.retrieval_id

),

-- A common source is in both lists from the deeper of its ranks on.
common_sources as (

    select
        pairs.retrieval_id_a,
        pairs.retrieval_id_b,
        abs(ranking_a.source_rank - ranking_b.source_rank) as rank_shift,
        case
            when ranking_a.source_rank > ranking_b.source_rank then ranking_a.source_rank
            else ranking_b.source_rank
        end as common_from_depth
    from pairs
    inner join ranking as ranking_a
        on pairs.retrieval_id_a = ranking_a.retrieval_id
    inner join ranking as ranking_b
        on
            pairs.retrieval_id_b = ranking_b.retrieval_id
            and ranking_a.source_id = ranking_b.source_id

),

-- The sum over d of p^d x (overlap at d) / d, source by source: each counts from its depth to the end.
common as (

    select
        common_sources.retrieval_id_a,
        common_sources.retrieval_id_b,
        count(*) as common_count,
        sum(case when common_sources.common_from_depth <= 10 then 1 else 0 end) as common_count_at_10,
        sum(
            case when common_sources.common_from_depth <= paired_lengths.shorter_length then 1.0e0 else 0.0e0 end
        ) as common_count_at_shorter,
        avg(1.0e0 * common_sources.rank_shift) as mean_rank_shift,
        sum(longer_weights.averaged_weight_sum - coalesce(earlier_weights.averaged_weight_sum, 0.0e0))
            as weighted_agreement
    from common_sources
    inner join paired_lengths
        on
            common_sources.retrieval_id_a = paired_lengths.retrieval_id_a
            and common_sources.retrieval_id_b = paired_lengths.retrieval_id_b
    inner join weights as longer_weights
        on paired_lengths.longer_length = longer_weights.depth
    left join weights as earlier_weights
        on earlier_weights.depth = common_sources.common_from_depth - 1
    group by common_sources.retrieval_id_a, common_sources.retrieval_id_b

),

-- RBO_EXT of lists of two lengths: equation 32 of Webber, Moffat and Zobel (2010).
extrapolated as (

    select
        common.retrieval_id_a,
        common.retrieval_id_b,
        (1 - {{ persistence }}) / {{ persistence }} * (
            common.weighted_agreement
            + 1.0e0 * common.common_count_at_shorter / paired_lengths.shorter_length * (
                longer_weights.weight_sum - shorter_weights.weight_sum
                - paired_lengths.shorter_length
                * (longer_weights.averaged_weight_sum - shorter_weights.averaged_weight_sum)
            )
        )
        + power({{ persistence }}, paired_lengths.longer_length) * (
            (1.0e0 * common.common_count - common.common_count_at_shorter) / paired_lengths.longer_length
            + 1.0e0 * common.common_count_at_shorter / paired_lengths.shorter_length
        ) as rank_biased_overlap
    from common
    inner join paired_lengths
        on
            common.retrieval_id_a = paired_lengths.retrieval_id_a
            and common.retrieval_id_b = paired_lengths.retrieval_id_b
    inner join weights as shorter_weights
        on paired_lengths.shorter_length = shorter_weights.depth
    inner join weights as longer_weights
        on paired_lengths.longer_length = longer_weights.depth

),

-- Of two empty lists nothing can be said.
final as (

    select
        paired_lengths.retrieval_id_a,
        paired_lengths.retrieval_id_b,
        common.mean_rank_shift,
        cast(paired_lengths.source_count_a as integer) as source_count_a,
        cast(paired_lengths.source_count_b as integer) as source_count_b,
        cast(coalesce(common.common_count, 0) as integer) as common_source_count,
        case
            when paired_lengths.longer_length >= 10 then 1.0e0 * coalesce(common.common_count_at_10, 0) / 10
            else 1.0e0 * coalesce(common.common_count_at_10, 0) / nullif(paired_lengths.longer_length, 0)
        end as overlap_at_10,
        1.0e0 * coalesce(common.common_count, 0)
        / nullif(
            paired_lengths.source_count_a + paired_lengths.source_count_b - coalesce(common.common_count, 0), 0
        ) as jaccard,
        case
            when paired_lengths.longer_length > 0 then coalesce(extrapolated.rank_biased_overlap, 0.0e0)
        end as rank_biased_overlap
    from paired_lengths
    left join common
        on
            paired_lengths.retrieval_id_a = common.retrieval_id_a
            and paired_lengths.retrieval_id_b = common.retrieval_id_b
    left join extrapolated
        on
            paired_lengths.retrieval_id_a = extrapolated.retrieval_id_a
            and paired_lengths.retrieval_id_b = extrapolated.retrieval_id_b

)

select * from final

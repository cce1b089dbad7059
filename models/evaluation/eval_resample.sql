with

queries as (

    select * from {{ ref('eval_query') }}

),

query_sets as (

    select
        query_set,
        count(*) as query_count
    from queries
    group by query_set

),

-- As many positions as the largest set has questions.
largest as (

    select max(query_count) as query_count
    from query_sets
    having count(*) > 0

),

digests as (

    select
        replicates.n as replicate,
        positions.n as position,
        {{ sha256_hex("concat('" ~ var('bootstrap_seed') ~ "', ':', replicates.n, ':', positions.n)") }} as digest
    from largest
    {{ cross_join_series(var('bootstrap_replicates') | int, 'replicates') }}
    {{ cross_join_series('largest.query_count', 'positions') }}

),

final as (

    select
        replicate,
        position,
        {{ hex_integer('substring(digest, 1, 8)') }} as draw,
        case when {{ hex_integer('substring(digest, 9, 8)') }} % 2 = 0 then 1 else -1 end as sign
    from digests

)

select * from final

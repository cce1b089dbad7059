with

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

publications as (

    select * from {{ ref('vector_runtime', 'space_publication') }}

),

-- A space is live until the next switch.
switches as (

    select
        publication_id,
        publication_number,
        embedding_space_id,
        published_utc,
        lead(publication_id) over (order by publication_number) as replaced_by_publication_id,
        lead(published_utc) over (order by publication_number) as replaced_utc,
        row_number() over (partition by embedding_space_id order by publication_number desc) as recency
    from publications
    where action in ('publish', 'rollback')

),

retirements as (

    select
        publication_id,
        publication_number,
        embedding_space_id,
        published_utc,
        row_number() over (partition by embedding_space_id order by publication_number desc) as recency
    from publications
    where action = 'retire'

),

joined as (

    select
        spaces.embedding_space_id,
        spaces.space_key,
        spaces.is_active,
        spaces.created_utc,
        switches.publication_id as switch_id,
        switches.publication_number as switch_number,
        switches.published_utc as live_utc,
        switches.replaced_by_publication_id,
        switches.replaced_utc,
        retirements.publication_id as retirement_id,
        retirements.publication_number as retirement_number,
        retirements.published_utc as retired_utc,
        count(switches.publication_id) over () as published_space_count,
        sum(
            case when {{ is_true('spaces.is_active') }} and retirements.publication_id is null then 1 else 0 end
        ) over () as active_draft_count
    from spaces
    left join switches
        on
            spaces.embedding_space_id = switches.embedding_space_id
            and switches.recency = 1
    left join retirements
        on
            spaces.embedding_space_id = retirements.embedding_space_id
            and retirements.recency = 1

),

with_status as (

    select
        *,
        case
            when switch_id is not null and replaced_by_publication_id is null then 'live'
            when retirement_number > coalesce(switch_number, 0) then 'retired'
            when switch_id is not null then 'superseded'
            else 'draft'
        end as status
    from joined

),

final as (

    select
        embedding_space_id,
        space_key,
        is_active,
        status,
        case status
            when 'live' then live_utc
            when 'superseded' then replaced_utc
            when 'retired' then retired_utc
            else created_utc
        end as since_utc,
        case status
            when 'live' then switch_id
            when 'superseded' then replaced_by_publication_id
            when 'retired' then retirement_id
        end as publication_id,
        {{ boolean_of(
            "status = 'live'"
            " or (published_space_count = 0 and active_draft_count = 1 and status = 'draft' and "
            ~ is_true('is_active') ~ ")"
        ) }} as is_default
    from with_status

)

select * from final

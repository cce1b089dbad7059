with

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

measured as (

    select
        *,
        row_number() over (partition by embedding_space_id, asked order by created_utc desc) as place
    from {{ ref('vector_runtime', 'embedding_sketch_recall') }}

),

final as (

    select
        spaces.space_key,
        measured.embedding_space_id,
        measured.asked,
        measured.question_count,
        {{ as_double('measured.found_count') }} / nullif(measured.expected_count, 0) as recall_at_10,
        measured.vector_count,
        measured.sketch_version,
        measured.created_utc as measured_utc
    from measured
    inner join spaces
        on measured.embedding_space_id = spaces.embedding_space_id
    where measured.place = 1

)

select * from final

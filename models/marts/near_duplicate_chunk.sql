with

spaces as (

    select * from {{ ref('embedding_space') }}

),

vectors as (

    select * from {{ ref('embedding_current') }}

),

chunks as (

    select * from {{ ref('chunk') }}

),

-- Chunks of one text have one vector: the first of them stands for all.
texts as (

    select
        embedding_space_id,
        input_content_sha256,
        min(chunk_id) as chunk_id
    from vectors
    group by embedding_space_id, input_content_sha256

),

-- Chunk ids are digests, so the first of them are a sample that no property of a chunk decides.
numbered as (

    select
        embedding_space_id,
        chunk_id,
        row_number() over (partition by embedding_space_id order by chunk_id) as place,
        count(*) over (partition by embedding_space_id) as text_count
    from texts

),

compared as (

    select
        numbered.embedding_space_id,
        numbered.chunk_id,
        numbered.place,
        vectors.vector,
        {{ vector_sum_of_squares('vectors.vector') }} as sum_of_squares
    from numbered
    inner join vectors
        on
            numbered.embedding_space_id = vectors.embedding_space_id
            and numbered.chunk_id = vectors.chunk_id
    where numbered.place <= {{ var('near_duplicate_max_chunks') | int }}

),

pairs as (

    {{ vector_pairs('compared') | indent(4) }}

),

alike as (

    select
        pairs.embedding_space_id,
        compared_a.chunk_id as chunk_id_a,
        compared_b.chunk_id as chunk_id_b,
        0 as is_equal,
        pairs.inner_product
        / nullif(sqrt(compared_a.sum_of_squares * compared_b.sum_of_squares), 0) as similarity
    from pairs
    inner join compared as compared_a
        on
            pairs.embedding_space_id = compared_a.embedding_space_id
            and pairs.place_a = compared_a.place
    inner join compared as compared_b
        on
            pairs.embedding_space_id = compared_b.embedding_space_id
            and pairs.place_b = compared_b.place
    where
        pairs.inner_product >= {{ var('near_duplicate_min_similarity') }}
        * sqrt(compared_a.sum_of_squares * compared_b.sum_of_squares)
        and compared_a.sum_of_squares > 0
        and compared_b.sum_of_squares > 0

),

equal_texts as (

    select
        texts.embedding_space_id,
        texts.chunk_id as chunk_id_a,
        vectors.chunk_id as chunk_id_b,
        1 as is_equal,
        1.0e0 as similarity
    from texts
    inner join vectors
        on
            texts.embedding_space_id = vectors.embedding_space_id
            and texts.input_content_sha256 = vectors.input_content_sha256
            and texts.chunk_id < vectors.chunk_id

),

duplicates as (

    select * from alike
    union all
    select * from equal_texts

),

text_counts as (

    select
        embedding_space_id,
        count(*) as text_count,
        sum(case when place <= {{ var('near_duplicate_max_chunks') | int }} then 1 else 0 end) as compared_text_count
    from numbered
    group by embedding_space_id

),

final as (

    select
        spaces.space_key,
        duplicates.embedding_space_id,
        duplicates.chunk_id_a,
        duplicates.chunk_id_b,
        chunks_a.source_id as source_id_a,
        chunks_b.source_id as source_id_b,
        chunks_a.source_type as source_type_a,
        chunks_b.source_type as source_type_b,
        chunks_a.content as content_a,
        chunks_b.content as content_b,
        duplicates.similarity,
        cast(text_counts.compared_text_count as integer) as compared_text_count,
        cast(text_counts.text_count as integer) as text_count,
        case when duplicates.is_equal = 1 then 'equal text' else 'similar' end as duplicate_kind,
        case when chunks_a.source_id = chunks_b.source_id then 'same source' else 'other source' end as source_relation
    from duplicates
    inner join spaces
        on duplicates.embedding_space_id = spaces.embedding_space_id
    inner join chunks as chunks_a
        on duplicates.chunk_id_a = chunks_a.chunk_id
    inner join chunks as chunks_b
        on duplicates.chunk_id_b = chunks_b.chunk_id
    inner join text_counts
        on duplicates.embedding_space_id = text_counts.embedding_space_id

)

select * from final

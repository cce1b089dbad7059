with

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}
    where retired_utc is null

),

spaces as (

    select
        embedding_space_id,
        space_key
    from {{ ref('vector_runtime', 'embedding_space') }}

),

final as (

    select
        embeddings.embedding_id,
        embeddings.chunk_id,
        embeddings.embedding_space_id,
        spaces.space_key,
        embeddings.dimensions,
        embeddings.input_content_sha256,
        embeddings.vector,
        embeddings.vector_sha256,
        embeddings.created_utc,
        chunks.source_id,
        chunks.source_type,
        chunks.context as chunk_context,
        chunks.updated_utc as chunk_updated_utc
    from embeddings
    inner join chunks
        on
            embeddings.chunk_id = chunks.chunk_id
            and embeddings.input_content_sha256 = chunks.content_sha256
    left join spaces
        on embeddings.embedding_space_id = spaces.embedding_space_id

)

select * from final

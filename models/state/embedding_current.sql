with

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}
    where retired_utc is null

),

final as (

    select
        embeddings.embedding_id,
        embeddings.chunk_id,
        embeddings.embedding_space_id,
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

)

select * from final

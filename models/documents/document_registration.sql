with

all_documents as (

    select
        *,
        chunk_size - overlap as step
    from {{ ref('vector_runtime', 'document') }}

),

{{ registration_ctes() }}

select * from registrations

with

all_documents as (

    select * from {{ ref('vector_runtime', 'document') }}

),

{{ chunk_window_ctes() }}

select * from chunk_windows

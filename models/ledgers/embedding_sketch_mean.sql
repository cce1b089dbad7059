{{ config(
    materialized='ledger',
    unique_key=['embedding_space_id', 'sketch_version'],
    tags='vector_runtime_filled_by_python'
) }}

{{ empty_ledger() }}

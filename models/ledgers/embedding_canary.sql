{{ config(
    materialized='ledger',
    unique_key=['embedding_space_id', 'canary_index'],
    tags='vector_runtime_filled_by_python'
) }}

{{ empty_ledger() }}

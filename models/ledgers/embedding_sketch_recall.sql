{{ config(
    materialized='ledger',
    unique_key=['embedding_space_id', 'asked', 'created_utc'],
    tags='vector_runtime_filled_by_python'
) }}

{{ empty_ledger() }}

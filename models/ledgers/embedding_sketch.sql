{{ config(materialized='ledger', unique_key='embedding_id', tags='vector_runtime_filled_by_python') }}

{{ empty_ledger() }}

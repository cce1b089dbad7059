{{ config(materialized='ledger', unique_key=['embedding_space_id', 'canary_index']) }}

{{ empty_ledger() }}

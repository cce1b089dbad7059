{{ config(materialized='ledger', unique_key=['retrieval_id', 'rank']) }}

{{ empty_ledger() }}

{{ config(materialized='ledger', unique_key='embedding_failure_id') }}

{{ empty_ledger() }}

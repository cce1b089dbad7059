{{ config(materialized='ledger', unique_key='retrieval_id') }}

{{ empty_ledger() }}

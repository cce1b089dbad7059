{{ config(materialized='ledger', unique_key='job_id') }}

{{ empty_ledger() }}

-- Not tagged as filled by Python: `document` reads it, and what stands on that is tested before embed.
{{ config(materialized='ledger', unique_key='erasure_id') }}

{{ empty_ledger() }}

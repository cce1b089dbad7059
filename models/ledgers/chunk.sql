-- depends_on: {{ ref('vector_runtime', 'source_registry') }}
{{ config(materialized='ledger', unique_key='chunk_id') }}

{{ ledger_changes(
    current=ref('vector_runtime', 'chunk_window'),
    unique_key='chunk_id',
    columns=[
        'source_id', 'source_type', 'source_ref_json', 'offsets_json', 'content', 'context', 'content_sha256',
        'byte_count', 'policy_json', 'managed_by'
    ],
    compare=['source_type', 'source_ref_json', 'context', 'content_sha256', 'policy_json', 'managed_by']
) }}

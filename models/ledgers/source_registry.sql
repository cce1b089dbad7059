{{ config(materialized='ledger', unique_key='source_id') }}

{{ ledger_changes(
    current=ref('vector_runtime', 'document_registration'),
    unique_key='source_id',
    columns=[
        'source_type', 'source_ref_json', 'title', 'content_sha256', 'char_count', 'policy_version', 'chunk_count',
        'chunk_capped_flag', 'blank_char_count', 'tags_json', 'status', 'error_message', 'managed_by', 'source_updated_utc',
        'last_indexed_utc'
    ],
    compare=[
        'source_type', 'source_ref_json', 'title', 'content_sha256', 'char_count', 'policy_version', 'chunk_count',
        'chunk_capped_flag', 'blank_char_count', 'tags_json', 'status', 'error_message', 'managed_by', 'source_updated_utc'
    ]
) }}

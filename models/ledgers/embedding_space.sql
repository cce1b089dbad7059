{{ config(materialized='ledger', unique_key='embedding_space_id') }}

{%- set columns = [
    'space_key', 'provider', 'model_name', 'model_tag', 'model_digest', 'dimensions', 'normalize_flag',
    'distance_metric', 'preprocess_policy_json', 'transform_ref', 'description', 'is_active',
    'price_per_million_tokens'
] -%}

-- A key whose identity changed in the seed is left out here and reported by space_key_keeps_its_identity.
-- declared_spaces: the default, bge-small, is not active where minilm, the default of version 0.1, is.
select change.*
from (
    {{ ledger_changes(
        current=declared_spaces(
            ref('vector_runtime', 'embedding_space_identity'),
            columns,
            default='063e21dd-9528-3163-fe7a-f5884eb825dc',
            former='390d583f-32ba-2be6-9405-dec2dbd7add3'
        ),
        unique_key='embedding_space_id',
        columns=columns,
        compare=['description', 'is_active', 'price_per_million_tokens'],
        retire=false
    ) }}
) as change
where not exists (
    select 1
    from {{ this }} as ledger
    where
        ledger.space_key = change.space_key
        and ledger.embedding_space_id <> change.embedding_space_id
)

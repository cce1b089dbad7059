{% test space_key_keeps_its_identity(model, column_name) %}

select
    declared.space_key,
    declared.embedding_space_id as declared_id,
    ledger.embedding_space_id as ledger_id
from {{ model }} as declared
inner join {{ ref('vector_runtime', 'embedding_space') }} as ledger
    on declared.space_key = ledger.space_key
where declared.embedding_space_id <> ledger.embedding_space_id

{% endtest %}

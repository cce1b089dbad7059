{% test is_in_one_document_model(model, column_name) %}

{# dbt shows no rows of a test, so the log names them. #}
{% set shared_ids %}
    select
        {{ column_name }},
        min(document_model) as first_model,
        max(document_model) as last_model,
        count(*) as row_count
    from {{ model }}
    group by {{ column_name }}
    having count(*) > 1
{% endset %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% for row in run_query(shared_ids).rows[:5] %}
        {% do log("is_in_one_document_model: " ~ column_name ~ " " ~ row[0] ~ " is in " ~ row[1]
            ~ (" and " ~ row[2] if row[1] != row[2] else ", " ~ row[3] ~ " times"), info=true) %}
    {% endfor %}
{% endif %}
{{ shared_ids }}

{% endtest %}

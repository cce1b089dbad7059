{% macro ledger_change_counts(relation, sql, unique_key) -%}
    {%- set query -%}
        select
            count(*) as total_count,
            count(ledger.{{ unique_key[0] }}) as updated_count,
            min({{ vector_runtime.ledger_unfit_value() }}) as unfit_value
        from (
            {{ sql }}
        ) as change
        left join {{ relation }} as ledger
            on {{ vector_runtime.ledger_key_match('ledger', 'change', unique_key) }}
    {%- endset -%}
    {%- set row = run_query(query).rows[0] -%}
    {%- if row[2] is not none -%}
        {% do exceptions.raise_compiler_error(
            model.name ~ ": " ~ row[2].replace('\n', '\\n').replace('\r', '\\r')
            ~ ". Correct it in the source, or in the model that reads it; nothing was written.") %}
    {%- endif -%}
    {%- set total = row[0] | int -%}
    {%- set updated = row[1] | int -%}
    {{ return({'inserted': total - updated, 'updated': updated}) }}
{%- endmacro %}

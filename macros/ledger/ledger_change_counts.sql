{#- How many rows of a ledger's SQL are new and how many change one that is there: {inserted, updated}. -#}
{% macro ledger_change_counts(relation, sql, unique_key) -%}
    {%- set query -%}
        select
            count(*) as total_count,
            count(ledger.{{ unique_key[0] }}) as updated_count
        from (
            {{ sql }}
        ) as change
        left join {{ relation }} as ledger
            on {{ ledger_key_match('ledger', 'change', unique_key) }}
    {%- endset -%}
    {%- set row = run_query(query).rows[0] -%}
    {%- set total = row[0] | int -%}
    {%- set updated = row[1] | int -%}
    {{ return({'inserted': total - updated, 'updated': updated}) }}
{%- endmacro %}

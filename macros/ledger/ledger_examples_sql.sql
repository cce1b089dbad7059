{% macro ledger_examples_sql(ledger, source, names, cases) -%}
    {%- set key = vector_runtime.ledger_key_columns(ledger) | select('in', names) | list -%}
    select
        count(refused.example) as row_count,
        min(refused.example) as example
    from (
        select
            case
                {%- for condition, name, trouble in cases %}
                when {{ condition }}
                    then concat({{ vector_runtime.ledger_shown([name] if name else [], 'change') }}, ' {{ trouble }}, in the row of ', {{ vector_runtime.ledger_shown(key, 'change') }})
                {%- endfor %}
            end as example
        from {{ source }} as change
    ) as refused
{%- endmacro %}

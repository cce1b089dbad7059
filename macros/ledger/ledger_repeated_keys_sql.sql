{% macro ledger_repeated_keys_sql(ledger, fit, constraint) -%}
    select
        count(*) as row_count,
        min(repeated.example) as example
    from (
        select concat({{ vector_runtime.ledger_shown(constraint.columns, 'change') }}, ' is of more than one row, which {{ constraint.name }} refuses') as example
        from (
            {{ fit }}
        ) as change
        where
            {%- for name in constraint.columns %}
            change.{{ name }} is not null{{ ' and' if not loop.last }}
            {%- endfor %}
        group by change.{{ constraint.columns | join(', change.') }}
        having count(*) > 1
    ) as repeated
{%- endmacro %}

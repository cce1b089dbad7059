{% macro ledger_check_same_rows(ledger, before_sql, after_sql) -%}
    {%- set query -%}
        select
            (select count(*) from ({{ before_sql }}) as before_row) as before_count,
            (select count(*) from ({{ after_sql }}) as after_row) as after_count,
            (
                select count(*)
                from ({{ before_sql }}) as before_row
                where not exists (
                    select 1
                    from ({{ after_sql }}) as after_row
                    where {{ vector_runtime.ledger_key_match('before_row', 'after_row', vector_runtime.ledger_key_columns(ledger)) }}
                )
            ) as lost_count
    {%- endset -%}
    {%- set before_count, after_count, lost_count = run_query(query).rows[0].values() -%}
    {%- if before_count != after_count or lost_count -%}
        {% do exceptions.raise_compiler_error(
            "Ledger " ~ ledger.name ~ ": of " ~ before_count ~ " rows the rebuild has " ~ after_count ~ ", and " ~ lost_count
            ~ " keys are missing. Nothing was changed; please report this.") %}
    {%- endif -%}
{%- endmacro %}

{% macro is_distinct(left_value, right_value, data_type) -%}
    {{ return(adapter.dispatch('is_distinct', 'vector_runtime')(left_value, right_value, data_type)) }}
{%- endmacro %}

{% macro default__is_distinct(left_value, right_value, data_type) -%}
    {{ left_value }} is distinct from {{ right_value }}
{%- endmacro %}

{% macro sqlserver__is_distinct(left_value, right_value, data_type) -%}
    {%- if 'char' in vector_runtime.ledger_type(data_type) -%}
    {#- Whatever collation either has, and blanks at the end count. A number's text may be shorter than the number. -#}
    not exists (
        select cast(cast({{ left_value }} as nvarchar(max)) as varbinary(max))
        intersect
        select cast(cast({{ right_value }} as nvarchar(max)) as varbinary(max))
    )
    {%- else -%}
    not exists (
        select {{ left_value }}
        intersect
        select {{ right_value }}
    )
    {%- endif -%}
{%- endmacro %}

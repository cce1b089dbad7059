{#- A condition: two values differ, nulls counting as a value; texts compare by their code units. -#}
{% macro is_distinct(left_value, right_value) -%}
    {{ return(adapter.dispatch('is_distinct')(left_value, right_value)) }}
{%- endmacro %}

{% macro default__is_distinct(left_value, right_value) -%}
    {{ left_value }} is distinct from {{ right_value }}
{%- endmacro %}

{% macro sqlserver__is_distinct(left_value, right_value) -%}
    not exists (
        select cast(cast({{ left_value }} as nvarchar(max)) as varbinary(max))
        intersect
        select cast(cast({{ right_value }} as nvarchar(max)) as varbinary(max))
    )
{%- endmacro %}

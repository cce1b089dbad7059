{% macro boolean_of(condition) -%}
    {{ return(adapter.dispatch('boolean_of', 'vector_runtime')(condition)) }}
{%- endmacro %}

{% macro default__boolean_of(condition) -%}
    coalesce({{ condition }}, false)
{%- endmacro %}

{% macro sqlserver__boolean_of(condition) -%}
    cast(case when {{ condition }} then 1 else 0 end as bit)
{%- endmacro %}

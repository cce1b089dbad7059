{% macro text_literal(value) -%}
    {{ return(adapter.dispatch('text_literal', 'vector_runtime')(value | string | replace("'", "''"))) }}
{%- endmacro %}

{% macro default__text_literal(value) -%}
    '{{ value }}'
{%- endmacro %}

{% macro sqlserver__text_literal(value) -%}
    N'{{ value }}'
{%- endmacro %}

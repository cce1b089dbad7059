{% macro vector_length(vector) -%}
    {{ return(adapter.dispatch('vector_length', 'vector_runtime')(vector)) }}
{%- endmacro %}

{% macro default__vector_length(vector) -%}
    len({{ vector }})
{%- endmacro %}

{% macro sqlserver__vector_length(vector) -%}
    (select count(*) from openjson({{ vector }}))
{%- endmacro %}

{% macro spark__vector_length(vector) -%}
    size({{ vector }})
{%- endmacro %}

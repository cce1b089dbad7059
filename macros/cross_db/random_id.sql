{% macro random_id() -%}
    {{ return(adapter.dispatch('random_id', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__random_id() -%}
    cast(uuid() as varchar)
{%- endmacro %}

{% macro sqlserver__random_id() -%}
    lower(cast(newid() as varchar(36)))
{%- endmacro %}

{% macro spark__random_id() -%}
    uuid()
{%- endmacro %}

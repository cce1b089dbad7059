{% macro utf8_byte_count(text) -%}
    {{ return(adapter.dispatch('utf8_byte_count', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__utf8_byte_count(text) -%}
    strlen({{ text }})
{%- endmacro %}

{% macro sqlserver__utf8_byte_count(text) -%}
    datalength({{ vector_runtime.utf8_text(text) }})
{%- endmacro %}

{% macro spark__utf8_byte_count(text) -%}
    octet_length({{ text }})
{%- endmacro %}

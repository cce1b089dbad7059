{% macro is_text_type(type) -%}
    {{ return('char' in type or 'enum' in type or type in ('text', 'ntext', 'string', 'sysname', 'json')) }}
{%- endmacro %}

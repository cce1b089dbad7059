{% macro hex_digits(code_point) -%}
    {#- By hand, as dbt v2 formats no hexadecimal number. -#}
    {%- set digits = '0123456789ABCDEF' -%}
    {%- for place in (4096, 256, 16, 1) -%} {{ digits[code_point // place % 16] }} {%- endfor -%}
{%- endmacro %}

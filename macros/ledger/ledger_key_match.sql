{% macro ledger_key_match(left_alias, right_alias, unique_key) -%}
    {%- for column in unique_key -%}
        {{ left_alias }}.{{ column }} = {{ right_alias }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro ledger_shown(names, alias) -%}
    {%- set parts = [] -%}
    {%- for name in names -%}
        {%- set text = vector_runtime.substring_chars(vector_runtime.as_text(alias ~ '.' ~ name), '0', '80') -%}
        {%- do parts.append("'" ~ (', ' if not loop.first else '') ~ name ~ " \"', coalesce(" ~ text ~ ", ''), '\"'") -%}
    {%- endfor -%}
    {{ parts | join(', ') or "''" }}
{%- endmacro %}

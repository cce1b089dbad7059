{% macro character_class(ranges) -%}
    {{ return(adapter.dispatch('character_class', 'vector_runtime')(ranges)) }}
{%- endmacro %}

{% macro default__character_class(ranges) -%}
    {%- for range_ends in ranges -%}
        {%- for code_point in range_ends | unique -%}
            {{ '-' if not loop.first }}{{ '\\x{' ~ vector_runtime.hex_digits(code_point) ~ '}' }}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{% macro sqlserver__character_class(ranges) -%}
    {#- An expression, as no client's code page should come between; without ranges, whose order a collation says. -#}
    {%- set parts = [] -%}
    {%- for first, last in ranges -%}
        {%- for code_point in range(first, last + 1) -%} {%- do parts.append('nchar(' ~ code_point ~ ')') -%} {%- endfor -%}
    {%- endfor -%}
    {{ parts | join(', ') }}
{%- endmacro %}

{% macro spark__character_class(ranges) -%}
    {%- for range_ends in ranges -%}
        {%- for code_point in range_ends | unique -%}
            {{ '-' if not loop.first }}{{ '\\\\x{' ~ vector_runtime.hex_digits(code_point) ~ '}' }}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between', 'vector_runtime')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    cast(date_diff('millisecond', {{ earlier }}, {{ later }}) / 1000.0 as double)
{%- endmacro %}

{% macro sqlserver__seconds_between(earlier, later) -%}
    (1.0e0 * datediff_big(millisecond, {{ earlier }}, {{ later }}) / 1000)
{%- endmacro %}

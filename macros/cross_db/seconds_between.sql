{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between', 'vector_runtime')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    cast(date_diff('millisecond', {{ earlier }}, {{ later }}) / 1000.0 as double)
{%- endmacro %}

{% macro sqlserver__seconds_between(earlier, later) -%}
    (1.0e0 * datediff_big(millisecond, {{ earlier }}, {{ later }}) / 1000)
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    {#- As milliseconds that have begun, which is how the others count. -#}
    (
        (
            floor(unix_micros(cast({{ later }} as timestamp)) / 1000)
            - floor(unix_micros(cast({{ earlier }} as timestamp)) / 1000)
        ) / cast(1000 as double)
    )
{%- endmacro %}

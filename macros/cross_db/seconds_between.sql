{#- Seconds from one timestamp to another. -#}
{% macro seconds_between(from_time, to_time) -%}
    {{ return(adapter.dispatch('seconds_between')(from_time, to_time)) }}
{%- endmacro %}

{% macro default__seconds_between(from_time, to_time) -%}
    date_diff('second', {{ from_time }}, {{ to_time }})
{%- endmacro %}

{% macro sqlserver__seconds_between(from_time, to_time) -%}
    datediff_big(second, {{ from_time }}, {{ to_time }})
{%- endmacro %}

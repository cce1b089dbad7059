{% macro retention_start(days) -%}
    {#- One moment for every statement; run_started_at is in UTC. -#}
    {{ return((run_started_at - modules.datetime.timedelta(days=days)).strftime('%Y-%m-%d %H:%M:%S')) }}
{%- endmacro %}

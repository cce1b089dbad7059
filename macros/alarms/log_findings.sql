{% macro log_findings(query) -%}
    {%- if execute and flags.WHICH in ('build', 'test') -%}
        {%- for row in run_query(query) -%}
            {% do log(model.name ~ ": " ~ row[0], info=true) %}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

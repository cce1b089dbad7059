{% macro has_blank_run(text, length) -%}
    {{ return(adapter.dispatch('has_blank_run', 'vector_runtime')(text, length)) }}
{%- endmacro %}

{% macro default__has_blank_run(text, length) -%}
    regexp_matches({{ text }}, '[{{ vector_runtime.blank_class() }}]{{ '{' ~ length ~ '}' }}')
{%- endmacro %}

{% macro sqlserver__has_blank_run(text, length) -%}
    {{ text }} collate Latin1_General_100_BIN2
    like concat(N'%', replicate(concat(N'[', {{ vector_runtime.blank_class() }}, N']'), {{ length }}), N'%')
{%- endmacro %}

{% macro spark__has_blank_run(text, length) -%}
    {{ text }} rlike '[{{ vector_runtime.blank_class() }}]{{ '{' ~ length ~ '}' }}'
{%- endmacro %}

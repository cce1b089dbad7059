{% macro vector_is_finite(vector) -%}
    {{ return(adapter.dispatch('vector_is_finite', 'vector_runtime')(vector)) }}
{%- endmacro %}

{% macro default__vector_is_finite(vector) -%}
    (len({{ vector }}) > 0 and len(list_filter({{ vector }}, lambda x: x is null or not isfinite(x))) = 0)
{%- endmacro %}

{% macro sqlserver__vector_is_finite(vector) -%}
    {#- OPENJSON raises an error on what is no JSON, and nothing says that `isjson` is asked first. -#}
    {%- set elements = 'openjson(case when isjson(' ~ vector ~ ') = 1 then ' ~ vector ~ ' end)' -%}
    (
        exists (select 1 from {{ elements }})
        and not exists (select 1 from {{ elements }} where [type] <> 2 or try_cast([value] as real) is null)
    )
{%- endmacro %}

{% macro spark__vector_is_finite(vector) -%}
    (
        size({{ vector }}) > 0
        and not exists({{ vector }}, x -> x is null or isnan(x) or abs(x) = float('infinity'))
    )
{%- endmacro %}

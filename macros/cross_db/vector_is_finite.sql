{#- A condition: a stored vector has elements, and none of them is null, infinite or not a number. -#}
{% macro vector_is_finite(vector) -%}
    {{ return(adapter.dispatch('vector_is_finite')(vector)) }}
{%- endmacro %}

{% macro default__vector_is_finite(vector) -%}
    (len({{ vector }}) > 0 and len(list_filter({{ vector }}, lambda x: x is null or not isfinite(x))) = 0)
{%- endmacro %}

{% macro sqlserver__vector_is_finite(vector) -%}
    (
        isjson({{ vector }}) = 1
        and exists (select 1 from openjson({{ vector }}))
        and not exists (select 1 from openjson({{ vector }}) where [type] <> 2 or try_cast([value] as real) is null)
    )
{%- endmacro %}
